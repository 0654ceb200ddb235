"""Positions and moves as arrays, against python-chess."""

import random

import chess
import jax
import numpy as np
import pytest

from jaxgan.control.chess.positions import SQUARES, after, encode, encode_move, planes

CASTLING = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"
EN_PASSANT = "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3"
PROMOTION = "1n6/P6k/8/8/8/8/p6K/1N6 b - - 0 1"


def random_positions():
    """Positions of games at random, and some with special moves."""
    special = (CASTLING, CASTLING.replace(" w ", " b "), EN_PASSANT, PROMOTION)
    yield from (chess.Board(fen) for fen in (*special, PROMOTION.replace(" b ", " w ")))
    draws = random.Random(0)
    for _ in range(4):
        board = chess.Board()
        while board.ply() < 100 and not board.is_game_over():
            yield board.copy(stack=False)
            board.push(draws.choice(list(board.legal_moves)))


def test_moves_on_the_device_equal_those_of_python_chess():
    positions, moves, expected = [], [], []
    for board in random_positions():
        for move in board.legal_moves:
            positions.append(encode(board))
            moves.append(encode_move(move, board.turn))
            following = board.copy(stack=False)
            following.push(move)
            expected.append(encode(following, board.turn))
    assert len(moves) > 8000
    found = jax.jit(after)(np.array(positions), np.array(moves, np.uint16))
    np.testing.assert_array_equal(found, np.array(expected))


def test_black_sees_the_mirrored_board():
    for board in random_positions():
        np.testing.assert_array_equal(encode(board), encode(board.mirror()))
        for move in board.legal_moves:
            mirrored = chess.Move(
                chess.square_mirror(move.from_square),
                chess.square_mirror(move.to_square),
                move.promotion,
            )
            assert encode_move(move, board.turn) == encode_move(mirrored, not board.turn)


def test_the_codes_of_the_first_position():
    found = encode(chess.Board()).reshape(8, 8)
    assert found[0].tolist() == [13, 2, 3, 5, 6, 3, 2, 13]
    assert found[7].tolist() == [14, 8, 9, 11, 12, 9, 8, 14]
    assert (found[1] == 1).all()
    assert (found[6] == 7).all()
    assert not found[2:6].any()


def test_rights_to_castle_are_in_the_codes():
    found = encode(chess.Board(CASTLING.replace("KQkq", "Kq")))
    assert [found[square] for square in (chess.A1, chess.H1)] == [4, 13]
    assert [found[square] for square in (chess.A8, chess.H8)] == [14, 10]


def test_a_square_for_capture_en_passant_counts_only_if_the_capture_is_legal():
    board = chess.Board(EN_PASSANT)
    assert encode(board)[chess.F6] == 15
    assert 15 not in encode(board, chess.BLACK)
    board.set_fen(EN_PASSANT.replace("3pPp2", "4Pp2").replace("f6", "-"))
    assert 15 not in encode(board)


@pytest.mark.parametrize("end", [chess.A8, chess.B8])
def test_promotion_replaces_the_pawn(end):
    board = chess.Board(PROMOTION.replace(" b ", " w "))
    for piece in (chess.QUEEN, chess.KNIGHT):
        code = encode_move(chess.Move(chess.A7, end, piece), chess.WHITE)
        found = jax.jit(after)(encode(board), np.uint16(code))
        assert found[end] == piece
        assert found[chess.A7] == 0


def test_planes_are_zeros_and_ones():
    squares = encode(chess.Board())
    found = np.asarray(jax.jit(planes)(squares)).reshape(SQUARES, 15)
    assert found.sum() == 32
    for square, code in enumerate(squares):
        assert found[square].tolist() == [float(code == plane) for plane in range(1, 16)]
