"""The scores of noisy speech that a BatchScorer keeps; see also systems/test_metricgan.py."""

import types

import numpy as np
import pytest
import tiny_runs
from corpora import pair_corpus

from jaxgan.speech.data.batching import Rows
from jaxgan.speech.scored_batches import BatchScorer

NAN = np.float32(np.nan)


@pytest.fixture
def scorer():
    """The scorer of a corpus of three utterances."""
    training = types.SimpleNamespace(
        corpus=pair_corpus([9, 9, 9]),
        scores=types.SimpleNamespace(names=("score",)),
        denoiser=None,
        by_rows=lambda function: function,
    )
    return BatchScorer(tiny_runs.tiny_config(noisy_teaches=True), training)


def test_a_lost_noisy_score_is_asked_for_once_more_and_not_for_ever(scorer):
    rows = Rows(np.array([2, 0, 1, -1]), np.ones(4), np.array([9, 9, 9, 0]))

    def learn(*scores):
        """Remembers the scores of the rows; returns what is known then."""
        scorer.remember([rows], [np.array(scores, np.float32)[:, None, None]])
        labels, known = scorer.known(rows)
        return labels[:, 0], known.tolist()

    assert not scorer.known(rows)[1].any()
    labels, known = learn(0.5, NAN, NAN, NAN)
    assert known == [True, False, False, False]
    labels, known = learn(0.5, 0.7, NAN, NAN)
    np.testing.assert_array_equal(labels, np.array([0.5, 0.7, NAN, NAN], np.float32))
    assert known == [True, True, True, False]
