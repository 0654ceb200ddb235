"""What the commands of the top level have in common: how flags are read."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from jaxgan.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """Flags in full, and a mistake in them told in one line."""

    def __init__(self, description: str, epilog: str = "") -> None:
        super().__init__(description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises UserError with argparse's message."""
        raise UserError(f"{message}; see {self.prog} --help")


def run(action: Callable[[], None], stopped: str = "stopped") -> int:
    """Does what a command does, and tells a mistake of the user's in one line.

    Args:
        action: what it does.
        stopped: what is told after Ctrl-C.

    Returns:
        The exit status: 0 done, 2 a mistake of the user's, 130 cut by Ctrl-C.
    """
    try:
        action()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    return 0
