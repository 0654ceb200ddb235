"""The parts that all commands share: reading flags, and ending with a message and a status."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from jaxgan.core import signals
from jaxgan.core.errors import NonFiniteError, UserError

ONE_SEED = "only systems of images and of control train several seeds in one run"
"""Why other systems refuse --seed_index."""

NOTHING_TO_CONTINUE = "this system does not continue or write a given text"
"""Why most systems refuse --text, --prime and --bias."""


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviated flags and reports mistakes in one line."""

    def __init__(self, description: str, epilog: str = "") -> None:
        super().__init__(description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises UserError with argparse's message."""
        raise UserError(f"{message}; see {self.prog} --help")

    def add_seed_index(self) -> None:
        """Adds the flag --seed_index."""
        self.add_argument(
            "--seed_index",
            type=int,
            default=0,
            metavar="S",
            help="images and control: which seed to use, if config.seeds is above 1; default: 0",
        )


def refuse_flags(why: str, **flags: object) -> None:
    """Raises UserError, naming the flag, if a flag that a command cannot use was given.

    Args:
        why: the reason, as a clause.
        flags: the value of each flag; None if it was not given.
    """
    for flag, value in flags.items():
        if value is not None:
            raise UserError(f"--{flag}={value}: {why}; leave --{flag} out")


def run(action: Callable[[], None], stopped: str = "stopped") -> int:
    """Runs a command and prints why it ended early in one line.

    Args:
        action: what the command does.
        stopped: the message after Ctrl-C or SIGTERM.

    Returns:
        The exit status: 0 if done, 1 if a value is not finite, 2 after a user mistake, 130
        after Ctrl-C or SIGTERM.
    """
    with signals.raised(stopped):
        try:
            action()
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
        except NonFiniteError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(stopped, file=sys.stderr)
            return signals.INTERRUPTED
    return 0
