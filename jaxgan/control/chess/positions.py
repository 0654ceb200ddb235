"""Positions and moves as arrays, and moves made on the device.

A position is uint8 [64], one code for each square from a1, b1, ... to h8, as the player who is to
move sees it: for Black the board is mirrored, so that the player's pieces always start on the
lowest rows. The codes:

    0        empty
    1 to 6   the player's pawn, knight, bishop, rook, queen, king
    7 to 12  the same pieces of the opponent
    13, 14   a rook with which the player, or the opponent, may still castle
    15       the empty square on which the player can capture en passant

A move is from + 64 to + 4096 promotion, seen by the same player; the promotion is the code of the
new piece or 0.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.control.chess.rules import chess

SQUARES, CODES = 64, 16
PLANES = CODES - 1
"""The paper's 12 planes of pieces, and one for each of the codes 13 to 15."""
PAWN, ROOK, KING = 1, 4, 6
CASTLING_ROOK, EN_PASSANT = 13, 15
# What each bitboard of `bitboards` adds to the code of its squares.
_AMOUNTS = np.array([*range(1, 13), CASTLING_ROOK - ROOK, 14 - (6 + ROOK), EN_PASSANT], np.uint8)


def bitboards(board: chess.Board, view: chess.Color) -> list[int]:
    """Returns a position as 15 bitboards, not mirrored; `squares_of` makes an array of them.

    They are the player's six kinds of pieces, the opponent's, the rooks with which either may
    castle, and the square of an en passant capture if it is the player's to make.

    Args:
        board: the position.
        view: the player who sees it.
    """
    own, other = board.occupied_co[view], board.occupied_co[not view]
    pieces = (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)
    rooks = board.clean_castling_rights()
    capture = 0
    if board.ep_square is not None and board.turn == view and board.has_legal_en_passant():
        capture = chess.BB_SQUARES[board.ep_square]
    return [
        *[kind & own for kind in pieces],
        *[kind & other for kind in pieces],
        *[rooks & own, rooks & other, capture],
    ]


def squares_of(boards: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Returns positions, uint8 [n, 64].

    Args:
        boards: uint64 [n, 15]; see `bitboards`.
        mirrored: bool [n], whether Black sees the position.
    """
    in_bytes = boards.astype("<u8").reshape(-1, PLANES, 1).view(np.uint8)
    in_bytes = np.where(mirrored[:, None, None], in_bytes[..., ::-1], in_bytes)
    bits = np.unpackbits(in_bytes, axis=-1, bitorder="little")
    return np.einsum("nps,p->ns", bits, _AMOUNTS)


def encode(board: chess.Board, view: chess.Color | None = None) -> np.ndarray:
    """Returns a position, uint8 [64], as a player sees it; by default the one who is to move."""
    seen_by = board.turn if view is None else view
    boards = np.array([bitboards(board, seen_by)], np.uint64)
    return squares_of(boards, np.array([seen_by == chess.BLACK]))[0]


def encode_move(move: chess.Move, turn: chess.Color) -> int:
    """Returns a move of the player `turn` as a number."""
    start, end = move.from_square, move.to_square
    if turn == chess.BLACK:
        start, end = start ^ 56, end ^ 56
    return start + 64 * end + 4096 * (move.promotion or 0)


def after(squares: jax.Array, moves: jax.Array) -> jax.Array:
    """Returns the positions after moves, seen by the player who made them: uint8 [..., 64].

    Args:
        squares: uint8 [..., 64], before the moves.
        moves: integers [...], legal ones.
    """
    moves = moves.astype(jnp.int32)[..., None]
    start, end, promotion = moves % 64, moves // 64 % 64, moves // 4096
    place = jnp.arange(SQUARES)
    squares = squares.astype(jnp.int32)

    def code_at(where: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(place == where, squares, 0), axis=-1, keepdims=True)

    piece, captured = code_at(start), code_at(end)
    king = piece == KING
    castles, to_the_right = king & (jnp.abs(end - start) == 2), end > start
    rook_start, rook_end = (
        jnp.where(castles, jnp.where(to_the_right, right, left), -1)
        for right, left in ((end + 1, end - 2), (end - 1, end + 1))
    )
    passed = jnp.where((piece == PAWN) & (captured == EN_PASSANT), end - 8, -1)
    piece = jnp.where(promotion > 0, promotion, jnp.where(piece == CASTLING_ROOK, ROOK, piece))

    found = jnp.where(squares == EN_PASSANT, 0, squares)
    found = jnp.where(king & (found == CASTLING_ROOK), ROOK, found)
    emptied = (place == start) | (place == rook_start) | (place == passed)
    found = jnp.where(emptied, 0, found)
    found = jnp.where(place == rook_end, ROOK, found)
    return jnp.where(place == end, piece, found).astype(jnp.uint8)


def planes(squares: jax.Array, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Returns positions, uint8 [..., 64], as 15 planes of zeros and ones, [..., 960]."""
    found = squares[..., None] == jnp.arange(1, CODES, dtype=jnp.uint8)
    return found.astype(dtype).reshape(*squares.shape[:-1], SQUARES * PLANES)
