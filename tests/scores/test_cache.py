import numpy as np
import pytest

from jaxgan.scores.cache import ScoreCache
from jaxgan.scores.pool import ScorePool


def test_each_utterance_is_scored_once():
    random = np.random.default_rng(0)
    clean, noisy = random.normal(size=(2, 3, 4000))
    noisy += clean
    noisy[2] = 0.0
    with ScorePool(["si_sdr"], workers=1) as pool:
        cache = ScoreCache(pool)
        for _ in range(2):
            for number in range(3):
                cache.request(number, clean[number], noisy[number])
        scores = cache.scores(np.array([1, 0, -1, 1, 2]))
        expected = pool.score_batch(clean, noisy, np.full(3, 4000))
        assert pool.counts["scored"] + pool.counts["unscorable"] == 6
        with pytest.raises(KeyError):
            cache.scores(np.array([7]))
    np.testing.assert_array_equal(scores, expected[[1, 0, 2, 1, 2]])
    assert scores.dtype == np.float32
    assert np.isnan(scores).tolist() == [False, False, True, False, True]
