"""Plays chess as a trained run, from any chess program that speaks UCI.

    python -m jaxgan.control.chess.uci --workdir=RUN [--checkpoint=best|last|ROUND]

Give this as the command of an engine. It plays the legal move after which the run's evaluator has
the highest value, without any search, so limits of time or depth do not matter. It ignores what it
does not understand, as the protocol asks, and stays with the last position that it could read.
"""

import io
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

import jax
import numpy as np

from jaxgan.control.chess.commands import load_trained
from jaxgan.control.chess.positions import after, encode, encode_move
from jaxgan.control.chess.rules import chess
from jaxgan.control.systems.chess_style import make_system
from jaxgan.core import command, devices
from jaxgan.core import config as configs
from jaxgan.core.command import Parser
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute

NAME = "jaxgan chess_style"
MOST_MOVES = 218
"""No position of chess has more legal moves."""

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(a position, uint8 [64], moves, uint16 [m]) -> the values of the positions after them, [m]."""


def load_values(workdir: str, checkpoint: str) -> Values:
    """Returns the trained evaluator of a run, compiled.

    Raises:
        UserError: the folder does not hold such a run.
    """
    folder, mesh = absolute(workdir), devices.make_mesh(1)
    config = configs.read(folder)
    if config.get("recipe") != "chess_style":
        raise UserError(
            f"--workdir={workdir} holds a run of {config.get('recipe')!r}, not of chess"
        )
    networks, players = load_trained(folder, config, checkpoint, make_system, mesh)
    program = jax.jit(lambda squares, moves: networks.value(players, after(squares[None], moves)))

    def values(squares: np.ndarray, moves: np.ndarray) -> np.ndarray:
        padded = np.resize(moves, MOST_MOVES)  # one shape, which is compiled once
        return np.asarray(program(squares, padded))[: len(moves)]

    values(encode(chess.Board()), np.zeros(1, np.uint16))
    return values


class Engine:
    """Answers the commands of a chess program.

    Args:
        values: see `Values`.
        write: receives each line of the answers.

    Attributes:
        board: the position to play in.
    """

    def __init__(self, values: Values, write: Callable[[str], None]) -> None:
        self.board = chess.Board()
        self._values, self._write = values, write
        self._held: str | None = None

    def run(self, lines: Iterable[str]) -> None:
        """Answers commands until `quit` or the end of the lines."""
        for line in lines:
            name, *rest = line.split() or [""]
            if name == "quit":
                return
            if name == "uci":
                for answer in (f"id name {NAME}", "id author the authors of jaxgan", "uciok"):
                    self._write(answer)
            elif name == "isready":
                self._write("readyok")
            elif name == "ucinewgame":
                self.board = chess.Board()
            elif name == "position":
                self._set_position(rest)
            elif name == "go":
                self._go(rest)
            elif name in ("stop", "ponderhit") and self._held:
                self._write(self._held)
                self._held = None

    def choose(self, allowed: Iterable[chess.Move] = ()) -> chess.Move | None:
        """Returns the move of the highest value; None if there is no legal one.

        Args:
            allowed: chooses among these if any of them is legal.
        """
        legal = list(self.board.legal_moves)
        moves = [move for move in allowed if move in legal] or legal
        if not moves:
            return None
        codes = np.array([encode_move(move, self.board.turn) for move in moves], np.uint16)
        return moves[int(np.argmax(self._values(encode(self.board), codes)))]

    def _set_position(self, words: list[str]) -> None:
        place = words.index("moves") if "moves" in words else len(words)
        start, moves = words[:place], words[place + 1 :]
        try:
            if start == ["startpos"]:
                board = chess.Board()
            elif start[:1] == ["fen"]:
                board = chess.Board(" ".join(start[1:]))
            else:
                raise ValueError("expected startpos or fen")
            if not board.is_valid():
                raise ValueError("the position cannot occur")
            for move in moves:
                board.push_uci(move)
        except ValueError as error:
            self._write(f"info string the position is ignored: {error}")
            return
        self.board = board

    def _go(self, words: list[str]) -> None:
        allowed = []
        if "searchmoves" in words:
            for word in words[words.index("searchmoves") + 1 :]:
                try:
                    allowed.append(chess.Move.from_uci(word))
                except ValueError:
                    break  # another argument of `go`
        move = self.choose(allowed)
        answer = f"bestmove {move.uci() if move else '(none)'}"
        if "infinite" in words or "ponder" in words:
            self._held = answer  # the protocol wants no answer before `stop` or `ponderhit`
        else:
            self._write(answer)


def play(arguments: list[str] | None, lines: TextIO) -> None:
    """Reads the flags, loads the run, and answers the lines."""
    parser = Parser(description="Plays chess as a trained run, by the protocol UCI.")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    flags = parser.parse_args(arguments)
    values = load_values(flags.workdir, flags.checkpoint)
    Engine(values, lambda line: print(line, flush=True)).run(lines)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    return command.run(lambda: play(arguments, sys.stdin))


if __name__ == "__main__":
    sys.exit(main())
