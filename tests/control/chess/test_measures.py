"""The measures of rankings and of style."""

import numpy as np
import pytest

from jaxgan.control.chess.dataset import Moves
from jaxgan.control.chess.measures import auc, by_game, ranking


def test_ranking_of_the_played_move():
    values = np.array([[3.0, 1.0, 2.0, 9.0], [1.0, 1.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    legal = np.array([[True, True, True, False], [True, True, True, True], [True] + [False] * 3])
    accuracy, places = ranking(values, legal, np.array([2, 0, 0]))
    np.testing.assert_allclose(accuracy, [1 / 2, (2 + 1 / 2) / 3, np.nan])
    np.testing.assert_allclose(places, [1, 1 / 2, 0])


def test_auc_is_the_share_of_pairs_in_order():
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 6, 40) / 2, random.random(40) < 0.3
    pairs = scores[positive][:, None] - scores[~positive]
    assert auc(scores, positive) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_the_style_of_a_game_is_a_mean_in_which_early_moves_weigh_more():
    moves = Moves(
        np.arange(5, dtype=np.int32),
        np.array([2, 2, 7, 7, 7], np.int32),
        np.array([True, True, False, False, False]),
        np.array([0, 1, 9, 10, 11], np.int32),
    )
    style = np.array([1.0, 3.0, 0.0, 2.0, 6.0])
    scores, own = by_game(style, moves)
    ratio = np.exp(-1 / 10)
    expected = [
        (1 + 3 * ratio) / (1 + ratio),
        (2 * ratio + 6 * ratio**2) / (1 + ratio + ratio**2),
    ]
    np.testing.assert_allclose(scores, expected)
    assert own.tolist() == [True, False]
    scores, own = by_game(style, moves, skipped=10)
    np.testing.assert_allclose(scores, [(2 + 6 * ratio) / (1 + ratio)])
    assert own.tolist() == [False]
    assert np.isnan(auc(scores, own))
