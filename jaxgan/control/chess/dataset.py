"""The data of a run: games, which side of each is the player's, and what is held out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.control.chess import scripted
from jaxgan.control.chess.games import Games, encode_games
from jaxgan.control.chess.pgn import read_games
from jaxgan.core.data_files import Problem, printable, refuse
from jaxgan.core.errors import UserError

TRAIN, VALID, TEST = PARTS = ("train", "valid", "test")
DIGEST_FILE = "data.json"
NAMED = 5
"""The number of problems that the report names; it only counts the others."""


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves of one part of the data that belong to the player or to others.

    Attributes:
        rows: int32 [n], positions of `Games`, in order; the player or the other is to move.
        games: int32 [n], the game of each.
        own: bool [n], whether the player is to move.
        turns: int32 [n], how many moves the same side has made before in the game.
    """

    rows: np.ndarray
    games: np.ndarray
    own: np.ndarray
    turns: np.ndarray

    def of(self, own: bool) -> np.ndarray:
        """Returns the rows of the player's moves, or of the others'."""
        return self.rows[self.own == own]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The games of a run.

    Attributes:
        games: all of them.
        parts: the moves of TRAIN, VALID and TEST.
    """

    games: Games
    parts: dict[str, Moves]

    @property
    def files(self) -> dict[str, bytes]:
        """For `Recipe.files`: what identifies the data."""
        digests = {
            part: {"moves": len(moves.rows), "games": _joined(self.games, moves)}
            for part, moves in self.parts.items()
        }
        return {DIGEST_FILE: (json.dumps(digests) + "\n").encode()}


def open_dataset(config: ConfigDict, say: Callable[[str], None] | None = None) -> Dataset:
    """Returns the data of a config.

    Args:
        config: the config of the run.
        say: receives the report; None: it is printed by the first process.

    Raises:
        UserError: the data cannot be used; the message says why.
    """
    data, problems = config.data, tuple[Problem, ...]()
    if data.kind == "scripted":
        games = encode_games(scripted.make_games(data.count, data.seed))
        player, other = scripted.ATTACKER, scripted.DEFENDER
    else:
        if not data.root:
            raise UserError("config.data.root is not set: give a PGN file or a folder of them")
        if not data.player:
            raise UserError("config.data.player is not set: give the player's name or a part of it")
        games, problems = read_games(Path(data.root).expanduser())
        player, other = data.player, data.other
    found = divide(games, player, other, data.valid_share, data.test_share)
    text = report(found, player, other, problems)
    if say:
        say(text)
    elif jax.process_index() == 0:
        print(text)
    if data.strict:
        refuse(problems)
    return found


def divide(games: Games, player: str, other: str, valid_share: float, test_share: float) -> Dataset:
    """Returns games with the moves of a player and of others, divided into three parts.

    A digest of its moves decides which part a game belongs to, so that the same game is in the same
    part in every collection. Of a game in which the player takes part, only the player's moves are
    used. Of the other games, the moves of `other` are used; if it is empty, those of both sides for
    training, and those of one side, which the digest decides, in the other parts. A game is not
    used if both of its players fit the same name, or if neither fits a name.

    Args:
        games: all of them.
        player: the name or a part of it; capitals do not matter.
        other: the same for the player to compare with, or "".
        valid_share: the share of the games, from 0 to 1.
        test_share: the share of the games, from 0 to 1.

    Raises:
        UserError: a part has no moves of the player or none of others.
    """
    sides = np.char.lower(games.players)
    own = np.char.find(sides, player.lower()) >= 0
    others = np.char.find(sides, other.lower()) >= 0  # all of them if it is empty
    numbers = [int(digest, 16) for digest in games.digests]
    place = np.array([number / 2**64 for number in numbers])
    part_of = np.where(place < valid_share, 1, np.where(place < valid_share + test_share, 2, 0))
    others &= ~own.any(axis=1, keepdims=True)
    if other:
        others &= ~others.all(axis=1, keepdims=True)
    else:
        chosen = np.array([number % 2 for number in numbers])[:, None] == np.arange(2)
        others &= chosen | (part_of == 0)[:, None]
    own &= ~own.all(axis=1, keepdims=True)

    lengths = np.diff(games.first)
    game_of = np.repeat(np.arange(len(games), dtype=np.int32), lengths)
    plies = np.arange(len(game_of), dtype=np.int32) - games.first[game_of]
    side_of = plies % 2
    is_own, is_other = own[game_of, side_of], others[game_of, side_of]
    parts = {}
    for number, name in enumerate(PARTS):
        rows = np.flatnonzero((is_own | is_other) & (part_of[game_of] == number))
        parts[name] = Moves(rows.astype(np.int32), game_of[rows], is_own[rows], plies[rows] // 2)
        for kind, wanted in (("player", True), ("other", False)):
            if not len(parts[name].of(wanted)):
                value = player if kind == "player" else other
                raise UserError(
                    f"config.data.{kind}={value!r}: no game for the {name} part has moves of "
                    f"{'the player' if wanted else 'another player'}; give more games or another "
                    "name"
                )
    return Dataset(games, parts)


def report(dataset: Dataset, player: str, other: str, problems: tuple[Problem, ...]) -> str:
    """Returns one line for each part of the data, and one for what cannot be used."""
    lines = []
    for name, moves in dataset.parts.items():
        counts = [
            f"{(moves.own == own).sum()} moves of {who} in {_count(moves.games[moves.own == own])}"
            for own, who in ((True, player), (False, other or "others"))
        ]
        lines.append(f"{name}: {', '.join(counts)}")
    if problems:
        named = "; ".join(map(str, problems[:NAMED]))
        more = len(problems) - NAMED
        lines.append(f"left out: {named}{f'; and {more} more' if more > 0 else ''}")
    return printable("\n".join(lines))


def _count(games: np.ndarray) -> str:
    count = len(np.unique(games))
    return "1 game" if count == 1 else f"{count} games"


def _joined(games: Games, moves: Moves) -> str:
    """Returns one digest of the games of a part and of the sides that are used."""
    digest = hashlib.sha256(moves.own.tobytes())
    for game in np.unique(moves.games):
        digest.update(str(games.digests[game]).encode())
    return digest.hexdigest()
