"""Games of two scripted players with opposite styles, made from a seed.

"Attacker" likes captures, checks and moves towards the opponent; "Defender" avoids them. Each plays
half of the games, with White and Black in turn, against an opponent who moves at random. A player
draws the next move with probability proportional to the exponential of what the move is worth.
"""

import math
import random

from jaxgan.control.chess.games import Record
from jaxgan.control.chess.rules import chess

ATTACKER, DEFENDER, ANYONE = "Attacker", "Defender", "Random"
CAPTURE, CHECK, ADVANCE = 2.0, 2.0, 0.5
"""What a capture, a check and one row towards the opponent are worth to Attacker."""
PLIES = 40
"""The most moves of White and Black together; a longer game is cut off."""
TASTES = {ATTACKER: 1.0, DEFENDER: -1.0, ANYONE: 0.0}


def worth(board: chess.Board, move: chess.Move) -> float:
    """Returns what a legal move is worth to Attacker; Defender thinks the opposite."""
    rows = chess.square_rank(move.to_square) - chess.square_rank(move.from_square)
    forward = rows if board.turn == chess.WHITE else -rows
    return CAPTURE * board.is_capture(move) + CHECK * board.gives_check(move) + ADVANCE * forward


def play(white: str, black: str, draws: random.Random) -> Record:
    """Returns a game of two players, who are keys of `TASTES`."""
    board = chess.Board()
    while board.ply() < PLIES and not board.is_game_over():
        taste = TASTES[white if board.turn == chess.WHITE else black]
        moves = list(board.legal_moves)
        weights = [math.exp(taste * worth(board, move)) if taste else 1.0 for move in moves]
        board.push(draws.choices(moves, weights)[0])
    return Record(white, black, board.move_stack)


def make_games(count: int, seed: int) -> list[Record]:
    """Returns games, in turn of Attacker and of Defender, who each have White in every other one.

    Args:
        count: how many.
        seed: any number.
    """
    games = []
    for number in range(count):
        player = (ATTACKER, DEFENDER)[number % 2]
        sides = (player, ANYONE) if number // 2 % 2 else (ANYONE, player)
        games.append(play(*sides, random.Random(f"{seed}/{number}")))
    return games
