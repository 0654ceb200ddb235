"""Reads games from a user's PGN files, and keeps their arrays in the user's cache folder."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxgan.control.chess.games import Games, Record, encode_games
from jaxgan.control.chess.rules import chess
from jaxgan.core import cache
from jaxgan.core.data_files import Problem, find
from jaxgan.core.errors import UserError

KEY = "config.data.root"
OPENERS: dict[str, Callable[..., io.BufferedIOBase]] = {
    ".pgn": open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
"""How a file is opened, by its last suffix; before a suffix of a compressed file stands .pgn."""
SHORTEST = 10
"""Plies; shorter games say little about a player and are often not real."""
RULES = "positions 1"
"""Part of the cache key; changed whenever the reading or the encoding of games changes."""
_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)
_PIECE = 1 << 20


class _Reader(chess.pgn.GameBuilder):
    """Collects the errors of a game without logging them."""

    def handle_error(self, error: Exception) -> None:
        self.game.errors.append(error)


def read_games(root: Path) -> tuple[Games, tuple[Problem, ...]]:
    """Reads every game of a file or folder, from the user's cache folder if they are there.

    Args:
        root: a PGN file, or a folder that holds some at any depth, perhaps compressed.

    Returns:
        The games, and what could not be used.

    Raises:
        UserError: there is no such file or folder, or it holds no game that can be used.
    """
    if not root.exists():
        raise UserError(f"{KEY}={root}: there is no such file or folder")
    folder = root if root.is_dir() else root.parent
    names = [root.name] if root.is_file() else find(root, OPENERS)
    names = [name for name in names if _is_pgn(Path(name.lower()))]
    if not names:
        raise UserError(f"{KEY}={root}: give a .pgn file or a folder that holds some")
    rules = (RULES, str(SHORTEST), root.name)
    entry = cache.entry_of_files("chess", folder.resolve(), names, *rules)
    found = cache.read(entry, _load, "reading the games again")
    if found is None:
        problems: list[Problem] = []
        records = (record for name in names for record in _games_of(folder / name, problems))
        games = encode_games(records)
        found = games, tuple(problems)
        cache.put_for_files(entry, lambda temporary: _save(temporary, games, problems))
    games, unusable = found
    if not len(games):
        example = f", for example {unusable[0]}" if unusable else ""
        raise UserError(f"{KEY}={root}: no game can be used{example}")
    return games, unusable


def _is_pgn(path: Path) -> bool:
    return path.suffix in OPENERS and ".pgn" in path.suffixes[-2:]


def _load(folder: Path) -> tuple[Games, tuple[Problem, ...]]:
    problems = json.loads((folder / "problems.json").read_text())
    return Games.load(folder), tuple(Problem(*problem) for problem in problems)


def _save(folder: Path, games: Games, problems: Sequence[Problem]) -> None:
    games.save(folder)
    rows = [(problem.path, problem.reason, problem.action) for problem in problems]
    (folder / "problems.json").write_text(json.dumps(rows))


def _games_of(path: Path, problems: list[Problem]) -> Iterator[Record]:
    """Yields the usable games of a file, and appends what cannot be used to the problems.

    The games of a file that cannot be used for the same reason are one problem.
    """
    text, broken = _text(path)
    file, reasons, examples, count = io.StringIO(text), Counter[str](), dict[str, int](), 0
    while (game := chess.pgn.read_game(file, Visitor=_Reader)) is not None:
        count += 1
        headers, moves = game.headers, list(game.mainline_moves())
        reason = _objection(game, moves)
        if not reason:
            yield Record(headers.get("White", "?"), headers.get("Black", "?"), moves)
            continue
        reasons[reason] += 1
        examples.setdefault(reason, count)
    for reason, number in reasons.items():
        games = f"game {examples[reason]}" if number == 1 else f"{number} games"
        problems.append(Problem(str(path), f"{games}: {reason}"))
    if broken:
        problems.append(Problem(str(path), broken, "used as far as it can be read"))
    elif not count:
        problems.append(Problem(str(path), "holds no game"))


def _objection(game: chess.pgn.Game, moves: Sequence[chess.Move]) -> str:
    """Returns why a game cannot be used, or ""."""
    headers = game.headers
    if headers.get("Variant", "Standard").lower() not in ("standard", "chess", "normal"):
        return "another variant of chess"
    if "FEN" in headers or headers.get("SetUp") == "1":
        return "does not start from the usual position"
    if game.errors:
        return "a move is not legal or not readable"
    if not all(moves):
        return "a player passes"
    if len(moves) < SHORTEST:
        return f"fewer than {SHORTEST} moves of White and Black"
    return ""


def _text(path: Path) -> tuple[str, str]:
    """Returns the text of a file as far as it can be read, and what is wrong with the rest or "".

    PGN files are ISO 8859-1 by their standard, and UTF-8 in practice.
    """
    found, broken = bytearray(), ""
    try:
        with OPENERS[path.suffix.lower()](path, "rb") as file:
            while piece := file.read1(_PIECE):
                found += piece
    except _BROKEN as error:
        broken = f"cannot be read to its end ({error})"
    data = bytes(found)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace"), broken
    try:
        return data.decode("utf-8-sig"), broken
    except UnicodeDecodeError:
        return data.decode("latin-1"), broken
