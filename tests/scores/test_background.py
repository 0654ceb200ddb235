import concurrent.futures
import threading

import jax
import numpy as np

from jaxgan.core.devices import make_mesh, replicated, sharded
from jaxgan.scores.background import submit_shards
from jaxgan.scores.pool import ScorePool

# tests/scores/test_in_step.py compares this way with the one inside a step.
LENGTHS = np.array([900, 800, 0, 700, 900, 900, 1, 900], np.int32)


def make_batch():
    random = np.random.default_rng(0)
    reference = random.normal(0, 0.1, (8, 900)).astype(np.float32)
    estimate = reference + random.normal(0, 0.03, reference.shape).astype(np.float32)
    return reference, estimate, LENGTHS


def test_replicated_rows_are_scored_once():
    mesh = make_mesh(8)
    batch = make_batch()
    placed = [jax.device_put(array, replicated(mesh)) for array in batch]
    with ScorePool(["si_sdr"], workers=1) as pool:
        scores = submit_shards(pool, *placed).collect()
        assert sum(pool.counts.values()) == 7  # of 8 rows, one is padding
        np.testing.assert_array_equal(scores, pool.score_batch(*batch))
    assert scores.sharding.is_equivalent_to(replicated(mesh), 2)


class WaitingPool:
    """A pool that accepts rows only when it is allowed to."""

    scores = ("length",)

    def __init__(self):
        self.may_continue = threading.Event()

    def submit_batch(self, reference, estimate, lengths, scores):
        assert self.may_continue.wait(20)
        futures = [concurrent.futures.Future() for _ in lengths]
        for future, length in zip(futures, lengths, strict=True):
            future.set_result({"length": float(length)})
        return futures


def test_submitting_waits_for_nothing():
    pool = WaitingPool()
    placed = [jax.device_put(array, sharded(make_mesh(4))) for array in make_batch()]
    pending = submit_shards(pool, *placed)  # would wait 20 s and fail if it waited
    pool.may_continue.set()
    np.testing.assert_array_equal(pending.collect()[:, 0], LENGTHS.astype(np.float32))
