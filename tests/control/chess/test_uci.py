"""A game with a chess program, and everything that one might send."""

import shutil
import sys
import time

import chess
import chess.engine
import numpy as np
import pytest
from agents import train

from configs.chess_style import get_config
from jaxgan.control.chess import uci
from jaxgan.control.chess.positions import encode, encode_move
from jaxgan.core import config as configs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = get_config("tiny")
    config.rounds = 1
    return train(config, tmp_path_factory.mktemp("run"))


def lowest(squares, moves):
    """Prefers the move with the lowest number."""
    return -moves.astype(float)


def session(*lines):
    answers = []
    uci.Engine(lowest, answers.append).run(lines)
    return answers


def best(board):
    return min(board.legal_moves, key=lambda move: encode_move(move, board.turn)).uci()


def test_the_greeting():
    assert session("uci", "isready", "quit", "uci") == [
        f"id name {uci.NAME}",
        "id author the authors of jaxgan",
        "uciok",
        "readyok",
    ]


@pytest.mark.parametrize(
    "limits",
    ["", "depth 3", "movetime 100", "wtime 1 btime 1 winc 0 binc 0 movestogo 4", "nodes x", "%"],
)
def test_go_answers_at_once_whatever_the_limits(limits):
    board = chess.Board()
    board.push_uci("e2e4")
    assert session("position startpos moves e2e4", f"go {limits}") == [f"bestmove {best(board)}"]


def test_go_infinite_answers_after_stop():
    move = f"bestmove {best(chess.Board())}"
    assert session("go infinite") == []
    assert session("go infinite", "stop", "stop") == [move]
    assert session("go ponder", "ponderhit") == [move]
    assert session("stop", "ponderhit") == []


def test_searchmoves_restricts_the_choice():
    assert session("go searchmoves e2e4 e2e5 depth 2") == ["bestmove e2e4"]
    assert session("go searchmoves") == [f"bestmove {best(chess.Board())}"]


def test_without_a_legal_move_there_is_none():
    assert session("position fen 7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "go") == ["bestmove (none)"]


@pytest.mark.parametrize(
    "bad",
    [
        "position startpos moves e2e5",
        "position startpos moves hello",
        "position fen not a position",
        "position fen 8/8/8/8/8/8/8/8 w - - 0 1",
        "position",
        "position somewhere",
    ],
)
def test_a_bad_position_changes_nothing(bad):
    board = chess.Board()
    board.push_uci("d2d4")
    explained, answer = session("position startpos moves d2d4", bad, "go")
    assert explained.startswith("info string the position is ignored: ")
    assert answer == f"bestmove {best(board)}"


def test_unknown_commands_are_ignored():
    lines = ("", "   ", "hello", "setoption name Hash value 1", "debug on", "register later", "\0")
    assert session(*lines, "isready") == ["readyok"]


def test_ucinewgame_starts_again():
    answers = session("position startpos moves e2e4", "ucinewgame", "go")
    assert answers == [f"bestmove {best(chess.Board())}"]


def test_a_run_plays_the_move_of_its_highest_value(run):
    values = uci.load_values(str(run), "last")
    board = chess.Board()
    codes = [encode_move(move, board.turn) for move in board.legal_moves]
    found = values(encode(board), np.array(codes, np.uint16))
    assert found.shape == (20,)
    assert len(np.unique(found)) > 10
    engine = uci.Engine(values, print)
    assert engine.choose() == list(board.legal_moves)[int(np.argmax(found))]


def test_python_chess_plays_a_game_against_a_run(run):
    command = [sys.executable, "-m", "jaxgan.control.chess.uci", f"--workdir={run}"]
    board = chess.Board()
    with chess.engine.SimpleEngine.popen_uci(command, timeout=120) as engine:
        assert engine.id["name"] == uci.NAME
        engine.ping()
        for _ in range(20):
            start = time.monotonic()
            played = engine.play(board, chess.engine.Limit(time=0.1)).move
            assert time.monotonic() - start < 1
            assert played in board.legal_moves
            board.push(played)
        engine.quit()
        assert engine.returncode.result(timeout=60) == 0


def test_mistakes_are_one_line(run, tmp_path, capsys):
    assert uci.main([f"--workdir={tmp_path}"]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    config = get_config("tiny")
    config.recipe = "dqn"
    configs.write(config, tmp_path)
    assert uci.main([f"--workdir={tmp_path}"]) == 2
    assert "holds a run of 'dqn', not of chess" in capsys.readouterr().err
    changed = shutil.copytree(run, tmp_path / "run")
    config = configs.read(changed)
    config.widths = (5,)
    configs.write(config, changed)
    assert uci.main([f"--workdir={changed}"]) == 2
    assert "config.json does not describe the networks" in capsys.readouterr().err
