import concurrent.futures
import os
import socket
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.devices import make_mesh, replicated, sharded
from jaxgan.scores.bridge import score_in_step, submit_shards
from jaxgan.scores.pool import ScorePool

SAMPLES = 4000


@pytest.fixture(scope="module")
def pool():
    with ScorePool(["si_sdr", "pesq_wb"], workers=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def batch():
    """reference, estimate float32 [8, SAMPLES], lengths int32 [8]; one row silent, one padding."""
    random = np.random.default_rng(0)
    reference = random.normal(0, 0.1, (8, SAMPLES)).astype(np.float32)
    estimate = reference + random.normal(0, 0.03, reference.shape).astype(np.float32)
    estimate[5] = 0.0
    lengths = np.array([SAMPLES, 3000, 0, 2500, SAMPLES, SAMPLES, 1, SAMPLES], np.int32)
    return reference, estimate, lengths


def place(batch, mesh):
    return [jax.device_put(array, sharded(mesh)) for array in batch]


def to_int16(batch):
    return [(side * 32768).round().astype(np.int16) for side in batch[:2]] + [batch[2]]


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("convert", [list, to_int16])
def test_both_paths_equal_the_pool_called_directly(pool, batch, devices, convert):
    batch = convert(batch)
    mesh = make_mesh(devices)
    placed = place(batch, mesh)
    expected = pool.score_batch(*batch)
    assert np.isnan(expected).tolist() == [False, False, True, False, False, True, True, False]

    step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh=mesh))
    for scores in (step(*placed), submit_shards(pool, *placed).collect()):
        np.testing.assert_array_equal(scores, expected)
        assert scores.dtype == jnp.float32
        assert scores.sharding.is_equivalent_to(sharded(mesh), 1)
        assert scores.committed


def test_scores_are_constants_under_differentiation(pool, batch):
    mesh = make_mesh(8)
    reference, estimate, lengths = place(batch, mesh)

    def loss(weight, scores):
        heard = weight * estimate
        if scores is None:
            scores = score_in_step(pool, reference, heard, lengths, mesh)
        target = jnp.where(jnp.isnan(scores), 0.0, scores)
        return jnp.mean(jnp.square(jnp.square(heard).mean(axis=1) - target))

    weight = jnp.float32(0.5)
    scores = jnp.asarray(pool.score_batch(batch[0], batch[1] / 2, batch[2]))
    gradient = jax.jit(jax.grad(loss))(weight, None)
    np.testing.assert_allclose(gradient, jax.grad(loss)(weight, scores), rtol=1e-5)
    assert gradient != 0.0


def test_another_score_of_the_pool(pool, batch):
    mesh = make_mesh(2)
    placed = place(batch, mesh)
    expected = pool.score_batch(*batch, score="pesq_wb")
    in_step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh, "pesq_wb"))(*placed)
    pending = submit_shards(pool, *placed)
    np.testing.assert_array_equal(in_step, expected)
    np.testing.assert_array_equal(pending.collect("pesq_wb"), expected)
    np.testing.assert_array_equal(pending.collect(), pool.score_batch(*batch))


def test_implicit_transfers_may_be_forbidden(pool, batch):
    mesh = make_mesh(8)
    placed = place(batch, mesh)
    step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh=mesh))
    before = jax.config.jax_transfer_guard
    jax.config.update("jax_transfer_guard", "disallow")
    try:
        results = step(*placed), submit_shards(pool, *placed).collect()
        jax.block_until_ready(results)
    finally:
        jax.config.update("jax_transfer_guard", before)


def test_replicated_rows_are_scored_once(batch):
    mesh = make_mesh(8)
    placed = [jax.device_put(array, replicated(mesh)) for array in batch]
    with ScorePool(["si_sdr"], workers=2) as pool:
        scores = submit_shards(pool, *placed).collect()
        assert sum(pool.counts.values()) == 7  # of 8 rows, one is padding
        np.testing.assert_array_equal(scores, pool.score_batch(*batch))
    assert scores.sharding.is_equivalent_to(replicated(mesh), 1)


class SlowPool:
    """A pool that accepts rows only once it is told to."""

    scores = ("x",)

    def __init__(self):
        self.may_go_on = threading.Event()

    def submit_batch(self, reference, estimate, lengths, scores):
        assert self.may_go_on.wait(20)
        futures = [concurrent.futures.Future() for _ in lengths]
        for future, length in zip(futures, lengths, strict=True):
            future.set_result({"x": float(length)})
        return futures


def test_submitting_waits_for_nothing(batch):
    pool = SlowPool()
    placed = place(batch, make_mesh(4))
    pending = submit_shards(pool, *placed)  # would wait 20 s and fail if it waited
    pool.may_go_on.set()
    np.testing.assert_array_equal(pending.collect(), batch[2].astype(np.float32))


def test_wrong_use_is_refused(pool, batch):
    mesh = make_mesh(8)
    placed = place(batch, mesh)
    grid = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    with pytest.raises(ValueError, match="one axis 'data'"):
        score_in_step(pool, *placed, grid)
    with pytest.raises(ValueError, match="stoi"):
        score_in_step(pool, *placed, mesh, "stoi")
    with pytest.raises(ValueError, match="stoi"):
        submit_shards(pool, *placed, ("stoi",))
    with pytest.raises(ValueError, match="alike"):
        submit_shards(pool, placed[0], jax.device_put(batch[1], replicated(mesh)), placed[2])


MANY_DISPATCHES = """
import os
os.environ.pop("NPROC", None)
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
import jax, jax.numpy as jnp, numpy as np
from jaxgan.core.devices import guard_callbacks, make_mesh, sharded
from jaxgan.scores.bridge import score_in_step

guard_callbacks()

class Sums:
    scores = ("sum",)
    def score_batch(self, reference, estimate, lengths, score):
        return (reference.sum(1) + 2 * estimate.sum(1) + lengths).astype(np.float32)

mesh = make_mesh()
rows, samples = 16, 150_000  # float32: 1,200,000 bytes an operand and device
reference = np.arange(rows * samples, dtype=np.float32).reshape(rows, samples) % 7
reference, estimate = (jax.device_put(x, sharded(mesh)) for x in (reference, reference[::-1]))
lengths = jax.device_put(np.arange(rows, dtype=np.int32), sharded(mesh))

@jax.jit
def step(total, reference, estimate, lengths):
    scores = score_in_step(Sums(), reference, estimate, lengths, mesh)
    return total + scores.mean()  # a collective right behind the callbacks

total = jnp.float32(0)
for _ in range(60):
    total = step(total, reference, estimate, lengths)
expected = 60 * (3 * np.asarray(reference).sum(1).mean() + lengths.mean())
np.testing.assert_allclose(total, expected, rtol=1e-4)
print("done")
"""


def run(script: str, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def outputs(processes: list[subprocess.Popen], seconds: float) -> list[str]:
    try:
        return [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_large_operands_on_eight_devices_do_not_deadlock():
    assert outputs([run(MANY_DISPATCHES)], 120) == ["done\n"]


TWO_PROCESSES = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import jax, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from jax.experimental import multihost_utils
from jaxgan.core.devices import make_mesh, put_sharded
from jaxgan.scores.bridge import score_in_step, submit_shards
from jaxgan.scores.pool import ScorePool

random = np.random.default_rng(0)
reference = random.normal(size=(8, 2000)).astype(np.float32)
estimate = reference + random.normal(size=(8, 2000)).astype(np.float32)
lengths = np.array([2000] * 7 + [0], np.int32)
mesh = make_mesh()
placed = put_sharded((reference, estimate, lengths), mesh)
with ScorePool(["si_sdr"], workers=1) as pool:
    beside = submit_shards(pool, *placed).collect()
    counts = dict(pool.counts)
    inside = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh))(*placed)
    whole = [multihost_utils.process_allgather(x, tiled=True) for x in (beside, inside)]
    expected = pool.score_batch(reference, estimate, lengths)
for scores in whole:
    np.testing.assert_array_equal(scores, expected)
print(counts["scored"])
"""


def test_each_of_two_processes_scores_its_own_rows():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    processes = [run(TWO_PROCESSES, address, str(number)) for number in range(2)]
    last_lines = [output.splitlines()[-1] for output in outputs(processes, 120)]
    assert last_lines == ["4", "3"]
