"""What the commands of the top level have in common: how flags are read."""

import argparse
from typing import NoReturn

from jaxgan.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """Flags in full, and a mistake in them told in one line."""

    def __init__(self, description: str, epilog: str = "") -> None:
        super().__init__(description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises UserError with argparse's message."""
        raise UserError(f"{message}; see {self.prog} --help")
