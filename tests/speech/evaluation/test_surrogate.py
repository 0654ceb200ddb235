import numpy as np
import pytest

from jaxgan.speech.evaluation.surrogate import surrogate_metrics


def test_one_score_by_hand():
    labels = np.array([[0.4], [0.8], [0.3], [np.nan], [np.nan]])
    predictions = np.array([[0.5], [0.9], [0.1], [7.0], [0.0]])
    raw = np.array([[1.5], [3.5], [1.0], [np.nan], [np.nan]])
    filled = np.array([True, True, True, True, False])
    # The labels 0.4, 0.8, 0.3 and the predictions 0.5, 0.9, 0.1 both have the mean 0.5.
    correlation = (0.4 * 0.3 + 0.4 * 0.2) / np.sqrt((2 * 0.4**2) * (0.1**2 + 0.3**2 + 0.2**2))
    assert surrogate_metrics(["pesq_wb"], labels, predictions, raw, filled) == pytest.approx(
        {
            "label": 0.5,
            "score": 2.0,
            "d_mae": 0.4 / 3,
            "d_correlation": correlation,
            "unscorable": 1.0,
        }
    )


def test_several_scores_have_their_names():
    labels = np.array([[0.5, np.nan], [0.5, 0.25]])
    found = surrogate_metrics(["a", "b"], labels, labels + 0.1, labels, np.array([True, True]))
    # Neither equal labels nor a single one have a correlation.
    assert found == pytest.approx(
        {
            "label_a": 0.5,
            "score_a": 0.5,
            "d_mae_a": 0.1,
            "label_b": 0.25,
            "score_b": 0.25,
            "d_mae_b": 0.1,
            "unscorable": 1.0,
        }
    )


def test_a_round_without_scores_has_only_their_count():
    nothing = np.full((2, 1), np.nan)
    found = surrogate_metrics(["a"], nothing, np.zeros((2, 1)), nothing, np.array([True, False]))
    assert found == {"unscorable": 1.0}
