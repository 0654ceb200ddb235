"""The rules of chess, from the package `chess` (python-chess): `pip install 'jaxgan[chess]'`."""

from jaxgan.core.errors import UserError

try:
    import chess
    import chess.pgn
except ImportError as error:
    raise UserError(
        f"chess needs python-chess ({error}): pip install 'jaxgan[chess]', or pip install chess"
    ) from error

__all__ = ["chess"]
