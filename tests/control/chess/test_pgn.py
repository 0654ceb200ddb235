"""PGN files of every kind that users have."""

import gzip
import lzma

import chess
import numpy as np
import pytest

from jaxgan.control.chess import pgn
from jaxgan.control.chess.positions import encode, encode_move
from jaxgan.core.errors import UserError

MOVES = "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7 6. Re1 b5 1-0"
OTHER = MOVES.replace("1. e4 e5 2. Nf3", "1. Nf3 e5 2. e4")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


def game(moves=MOVES, white="Tal, Mihail", tags=""):
    return f'[White "{white}"]\n[Black "Anyone"]\n{tags}[Result "1-0"]\n\n{moves}\n\n'


def test_a_game_becomes_positions_with_their_legal_moves(tmp_path):
    path = tmp_path / "games.pgn"
    path.write_text(game())
    games, problems = pgn.read_games(path)
    assert problems == ()
    assert games.players.tolist() == [["Tal, Mihail", "Anyone"]]
    board = chess.Board()
    sans = [word for word in MOVES.split() if not word.endswith(".")][:-1]
    assert games.first.tolist() == [0, len(sans)]
    for row, san in enumerate(sans):
        move = board.parse_san(san)
        legal = games.legal[games.starts[row] : games.starts[row + 1]]
        np.testing.assert_array_equal(games.squares[row], encode(board))
        assert legal.tolist() == [encode_move(each, board.turn) for each in board.legal_moves]
        assert legal[games.played[row]] == encode_move(move, board.turn)
        board.push(move)


def test_a_game_that_occurs_twice_is_used_once(tmp_path):
    (tmp_path / "a.pgn").write_text(game() + game(OTHER))
    (tmp_path / "b.pgn").write_text(game(white="Another"))
    games, problems = pgn.read_games(tmp_path)
    assert problems == ()
    assert games.players[:, 0].tolist() == ["Tal, Mihail", "Tal, Mihail"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (game(MOVES.replace("Nf6", "Nf4")), "game 1: a move is not legal or not readable"),
        (game(MOVES.replace("Nf6", "Nxz9")), "game 1: a move is not legal or not readable"),
        (game("1. e4 -- 2. d4 -- 3. c4 -- 4. f4 -- 5. g4 --"), "game 1: a player passes"),
        (game(tags='[Variant "Chess960"]\n'), "game 1: another variant of chess"),
        (game(tags='[Variant "No such"]\n'), "game 1: another variant of chess"),
        (
            game(tags='[FEN "8/8/4k3/8/8/4K3/4P3/8 w - - 0 1"]\n'),
            "game 1: does not start from the usual position",
        ),
        (game("1. e4 1-0"), "game 1: fewer than 10 moves of White and Black"),
        (game("1. e4 1-0") * 3, "3 games: fewer than 10 moves of White and Black"),
    ],
)
def test_a_bad_game_is_reported_and_the_others_are_used(bad, reason, tmp_path, capfd):
    path = tmp_path / "games.pgn"
    path.write_text(bad + game(OTHER))
    games, problems = pgn.read_games(path)
    assert len(games) == 1
    assert [str(problem) for problem in problems] == [f"{path}: {reason}; skipped"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(encoding, tmp_path):
    path = tmp_path / "games.pgn"
    path.write_bytes(game(white="Müller").encode(encoding))
    assert pgn.read_games(path)[0].players[0, 0] == "Müller"


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_compressed_files_are_read_as_far_as_possible(suffix, compress, tmp_path):
    path = tmp_path / f"games.pgn.{suffix}"
    path.write_bytes(compress(game().encode()))
    assert pgn.read_games(path)[1] == ()
    many = "".join(
        game(white=f"{number:x}" * 99) + game(OTHER, f"{number:o}" * 99) for number in range(999)
    )
    data = compress(many.encode())
    path.write_bytes(data[: len(data) // 2])
    games, problems = pgn.read_games(path)
    assert len(games) == 2
    assert "cannot be read to its end" in str(problems[-1])


def test_files_without_games(tmp_path):
    (tmp_path / "empty.pgn").write_text("")
    (tmp_path / "bytes.pgn").write_bytes(bytes(range(256)))
    (tmp_path / "games.pgn").write_text(game())
    games, problems = pgn.read_games(tmp_path)
    assert len(games) == 1
    assert {problem.path.rpartition("/")[2] for problem in problems} == {"bytes.pgn", "empty.pgn"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing", None, "there is no such file or folder"),
        ("games.txt", game(), "give a .pgn file or a folder that holds some"),
        ("games.pgn.zip", game(), "give a .pgn file or a folder that holds some"),
        ("games.pgn", "", "no game can be used, for example "),
    ],
)
def test_a_root_without_games_is_refused(name, text, message, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as error:
        pgn.read_games(path)
    assert str(error.value).startswith(f"config.data.root={path}: {message}")


def test_games_are_read_once_until_a_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "games.pgn"
    path.write_text(game("1. e4 1-0") + game())
    first, problems = pgn.read_games(path)
    with monkeypatch.context() as patch:
        patch.setattr(pgn, "_games_of", None)
        again, same = pgn.read_games(path)
    assert same == problems
    np.testing.assert_array_equal(first.squares, again.squares)
    path.write_text(game() + game(OTHER))
    assert len(pgn.read_games(path)[0]) == 2
