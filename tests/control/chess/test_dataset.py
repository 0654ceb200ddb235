"""Which games are held out, and whose moves are used."""

import random

import chess
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.chess_style import get_config
from jaxgan.control.chess.dataset import PARTS, TEST, TRAIN, VALID, divide, open_dataset
from jaxgan.control.chess.games import Record, encode_games
from jaxgan.control.chess.scripted import ATTACKER, DEFENDER, make_games, worth
from jaxgan.core.errors import UserError


def random_games(sides, seed=0):
    """Random games of 6 moves between the players of each pair."""
    records, draws = [], random.Random(seed)
    for white, black in sides:
        board = chess.Board()
        for _ in range(6):
            board.push(draws.choice(list(board.legal_moves)))
        records.append(Record(white, black, board.move_stack))
    return records


SIDES = [("Tal", "x"), ("x", "Tal"), ("Petrosian", "y"), ("y", "Petrosian")] * 15
EXTRA = [("Tal", "Tal"), ("Petrosian", "Tal"), ("y", "z"), ("Petrosian", "Petrosian")]


def test_the_sides_of_the_player_and_of_the_other():
    games = encode_games(random_games(SIDES + EXTRA))
    found = divide(games, "tal", "PETROSIAN", 0.2, 0.2)
    for moves in found.parts.values():
        columns = moves.rows, moves.games, moves.own, moves.turns
        for row, game, own, turn in zip(*columns, strict=True):
            ply = row - games.first[game]
            assert turn == ply // 2
            mover = games.players[game, ply % 2]
            assert mover == ("Tal" if own else "Petrosian")
            if own:
                assert (games.players[game] == "Tal").sum() == 1
            else:
                assert "Tal" not in games.players[game]
                assert (games.players[game] == "Petrosian").sum() == 1


def test_without_another_player_the_games_of_others_count_one_side_when_held_out():
    games = encode_games(random_games(SIDES))
    found = divide(games, "Tal", "", 0.3, 0.3)
    for part, moves in found.parts.items():
        for game in np.unique(moves.games[~moves.own]):
            plies = moves.rows[moves.games == game] - games.first[game]
            assert len(np.unique(plies % 2)) == (2 if part == TRAIN else 1)


def test_the_parts_are_disjoint_and_depend_on_the_moves_only():
    records = random_games(SIDES)
    part_of = {}
    for order in (records, records[::-1]):
        games = encode_games([*order, *order])  # every game twice
        assert len(games) == len(records)
        found = divide(games, "Tal", "Petrosian", 0.25, 0.25)
        for part in PARTS:
            for game in np.unique(found.parts[part].games):
                assert part_of.setdefault(games.digests[game], part) == part
    shares = [list(part_of.values()).count(part) / len(records) for part in (TRAIN, VALID, TEST)]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.15)


@pytest.mark.parametrize(
    ("player", "other", "message"),
    [
        ("Fischer", "", "config.data.player='Fischer': no game for the train part has moves of "),
        ("Tal", "Fischer", "config.data.other='Fischer': no game for the train part has moves of"),
    ],
)
def test_a_player_without_games_is_refused(player, other, message):
    with pytest.raises(UserError) as error:
        divide(encode_games(random_games(SIDES)), player, other, 0.2, 0.2)
    assert str(error.value).startswith(message)


def test_settings_that_are_not_set_are_refused(tmp_path):
    config = get_config("tiny")
    config.data.kind = "pgn"
    with pytest.raises(UserError, match=r"config\.data\.root is not set"):
        open_dataset(config)
    config.data.root = str(tmp_path)
    with pytest.raises(UserError, match=r"config\.data\.player is not set"):
        open_dataset(config)


def test_the_report_and_strict(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
    path, texts = tmp_path / "games.pgn", []
    for white, black, moves in random_games(SIDES):
        board = chess.Board()
        extra = list(moves)
        while len(extra) < 10:
            after = chess.Board()
            for move in extra:
                after.push(move)
            extra.append(next(iter(after.legal_moves)))
        texts.append(f'[White "{white}"]\n[Black "{black}"]\n\n{board.variation_san(extra)} *\n\n')
    path.write_text("".join(texts) + '[White "a"]\n\n1. e5 *\n')
    config = get_config("tiny")
    config.data.update(kind="pgn", root=str(path), player="Tal", other="Petrosian")
    lines = []
    found = open_dataset(config, lines.append)
    assert len(found.games) == len(SIDES)
    report = lines[0].splitlines()
    assert report[0].startswith("train: ")
    assert " moves of Tal in " in report[0]
    assert report[-1] == (
        f"left out: {path}: game 61: a move is not legal or not readable; skipped"
    )
    config.data.strict = True
    with pytest.raises(UserError, match=r"config\.data\.strict=True refuses 1 file"):
        open_dataset(config, lines.append)


def test_scripted_games_are_repeated_and_show_two_styles():
    games = make_games(12, 1)
    assert games == make_games(12, 1)
    assert games != make_games(12, 2)
    means = {ATTACKER: [], DEFENDER: []}
    for white, black, moves in games:
        board = chess.Board()
        for move in moves:
            mover = white if board.turn == chess.WHITE else black
            if mover in means:
                means[mover].append(worth(board, move))
            assert move in board.legal_moves
            board.push(move)
    assert np.mean(means[ATTACKER]) > np.mean(means[DEFENDER]) + 1
    config = ConfigDict({"data": get_config("tiny").data})
    assert open_dataset(config, print).files == open_dataset(config, print).files
