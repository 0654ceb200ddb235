"""Games as arrays, in which every position knows its legal moves and the one that was played."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.control.chess.positions import after, bitboards, encode_move, squares_of
from jaxgan.control.chess.rules import chess
from jaxgan.core import devices


class Record(NamedTuple):
    """The record of one game from the standard first position.

    Attributes:
        white: the name of the player.
        black: the name of the player.
        moves: legal ones.
    """

    white: str
    black: str
    moves: Sequence[chess.Move]


class Resident(NamedTuple):
    """The positions of all games on the devices; see `Games`."""

    squares: jax.Array
    legal: jax.Array
    starts: jax.Array
    played: jax.Array


@dataclass(frozen=True, eq=False)
class Games:
    """Games of which no two have the same moves.

    Attributes:
        squares: uint8 [P, 64], the position before each move, in order; see `positions`.
        legal: uint16 [L], the legal moves of all positions.
        starts: int32 [P + 1]; those of position p are legal[starts[p]:starts[p + 1]].
        played: uint8 [P], which of them was played.
        first: int32 [G + 1]; the positions of game g are first[g] to first[g + 1] - 1. White moves
            in the first of them.
        players: str [G, 2], the names of White and Black.
        digests: str [G], of the moves of each game.
    """

    squares: np.ndarray
    legal: np.ndarray
    starts: np.ndarray
    played: np.ndarray
    first: np.ndarray
    players: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        """The number of games."""
        return len(self.digests)

    def place(self, mesh: Mesh) -> Resident:
        """Puts all positions on every device of the mesh."""
        arrays = self.squares, self.legal, self.starts, self.played
        return Resident(*devices.put_replicated(arrays, mesh))

    def save(self, folder: Path) -> None:
        """Writes one .npy file for each array."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> "Games":
        """Returns what `save` has written.

        Raises:
            OSError: a file is missing or damaged.
            ValueError: the same.
        """
        names = [field.name for field in fields(cls)]
        found = cls(*[np.load(folder / f"{name}.npy", allow_pickle=False) for name in names])
        if not len(found.squares) == len(found.played) == len(found.starts) - 1 == found.first[-1]:
            raise ValueError("its arrays do not belong together")
        return found


def digest_of(moves: Iterable[chess.Move]) -> str:
    """Returns a digest of the moves of a game, 16 hexadecimal digits."""
    text = " ".join(move.uci() for move in moves)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def encode_games(records: Iterable[Record]) -> Games:
    """Returns games as arrays; one whose moves have occurred before is left out."""
    boards: list[list[int]] = []
    legal: list[int] = []
    starts, first = [0], [0]
    played: list[int] = []
    turns: list[bool] = []
    names: dict[str, tuple[str, str]] = {}
    for white, black, moves in records:
        digest = digest_of(moves)
        if digest in names:
            continue
        names[digest] = (white, black)
        board = chess.Board()
        for move in moves:
            possible = [encode_move(other, board.turn) for other in board.legal_moves]
            boards.append(bitboards(board, board.turn))
            turns.append(board.turn)
            played.append(possible.index(encode_move(move, board.turn)))
            legal += possible
            starts.append(len(legal))
            board.push(move)
        first.append(len(boards))
    return Games(
        squares=squares_of(np.array(boards, np.uint64).reshape(-1, 15), ~np.array(turns, bool)),
        legal=np.array(legal, np.uint16),
        starts=np.array(starts, np.int32),
        played=np.array(played, np.uint8),
        first=np.array(first, np.int32),
        players=np.array(list(names.values()), np.str_).reshape(-1, 2),
        digests=np.array(list(names), np.str_),
    )


def candidates(
    data: Resident, rows: jax.Array, key: jax.Array, count: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns positions, those after the move that was played and after random other ones.

    Args:
        data: all positions.
        rows: int32 [B], which of them.
        key: decides the moves, which are drawn uniformly and with replacement.
        count: K, how many for each position.

    Returns:
        uint8 [B, 64], the positions; uint8 [B, 1 + K, 64], those after the played move and then
        after the others; bool [B, 1 + K], whether each of these exists: where only one move is
        legal, there is no other.
    """
    played = data.played[rows].astype(jnp.int32)[:, None]
    others = (data.starts[rows + 1] - data.starts[rows])[:, None] - 1
    drawn = jax.random.uniform(key, (len(rows), count)) * others
    drawn = drawn.astype(jnp.int32)
    drawn += drawn >= played
    chosen = jnp.concatenate([played, jnp.minimum(drawn, others)], axis=1)
    exists = (others > 0) | (jnp.arange(count + 1) == 0)
    squares = data.squares[rows]
    moves = data.legal[data.starts[rows][:, None] + chosen]
    return squares, after(squares[:, None], moves), exists
