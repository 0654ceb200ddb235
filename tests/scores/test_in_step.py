import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.devices import make_mesh, replicated, sharded
from jaxgan.scores import in_step
from jaxgan.scores.background import submit_shards
from jaxgan.scores.in_step import score_in_step
from jaxgan.scores.pool import ScorePool

SAMPLES = 4000
NAMES = ("si_sdr", "pesq_wb")
MAPS = (lambda raw: raw / 10, lambda raw: (raw + 0.5) / 5)


@pytest.fixture(scope="module")
def pool():
    with ScorePool(NAMES, workers=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def batch():
    """reference, estimate int16 [8, SAMPLES], lengths int32 [8]; one row silent, one padding."""
    random = np.random.default_rng(0)
    reference = random.normal(0, 3000, (8, SAMPLES))
    estimate = reference + random.normal(0, 900, reference.shape)
    estimate[5] = 0
    lengths = np.array([SAMPLES, 4000, 0, 3900, SAMPLES, SAMPLES, 1, SAMPLES], np.int32)
    return reference.astype(np.int16), estimate.astype(np.int16), lengths


def place(batch, mesh):
    return [jax.device_put(array, sharded(mesh)) for array in batch]


@pytest.mark.parametrize("devices", [1, 8])
def test_both_ways_equal_the_pool_called_directly(pool, batch, devices):
    mesh = make_mesh(devices)
    placed = place(batch, mesh)
    expected = pool.score_batch(*batch)
    missing = [False, False, True, False, False, True, True, False]
    assert np.isnan(expected[:, 0]).tolist() == missing

    step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh, NAMES, MAPS))
    raw, mapped = step(*placed)
    beside = submit_shards(pool, *placed).collect()
    for scores in (raw, beside):
        np.testing.assert_array_equal(scores, expected)
        assert scores.dtype == jnp.float32
        assert scores.sharding.is_equivalent_to(sharded(mesh), 2)
    np.testing.assert_array_equal(mapped[:, 0], expected[:, 0] / 10)
    np.testing.assert_array_equal(mapped[:, 1], (expected[:, 1] + 0.5) / 5)


def test_scores_are_constants_under_differentiation(pool, batch):
    mesh = make_mesh(8)
    reference, estimate, lengths = place((batch[0], batch[1] / np.float32(32768), batch[2]), mesh)

    def loss(weight, scores):
        heard = weight * estimate
        if scores is None:
            scores = score_in_step(pool, reference, heard, lengths, mesh, NAMES[:1], MAPS[:1])[0]
        target = jnp.where(jnp.isnan(scores), 0.0, scores)
        return jnp.mean(jnp.square(jnp.square(heard).mean(axis=1) - target[:, 0]))

    weight = jnp.float32(0.5)
    half = np.asarray(estimate) / 2
    scores = jnp.asarray(pool.score_batch(batch[0], half, batch[2], NAMES[:1]))
    gradient = jax.jit(jax.grad(loss))(weight, None)
    np.testing.assert_allclose(gradient, jax.grad(loss)(weight, scores), rtol=1e-5)
    assert gradient != 0.0


def test_some_of_the_scores_in_another_order(pool, batch):
    mesh = make_mesh(2)
    placed = place(batch, mesh)
    swapped = NAMES[::-1]
    expected = pool.score_batch(*batch)[:, ::-1]
    step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh, swapped, MAPS[::-1])[0])
    np.testing.assert_array_equal(step(*placed), expected)
    np.testing.assert_array_equal(submit_shards(pool, *placed, swapped).collect(), expected)
    one = submit_shards(pool, *placed, ("pesq_wb",)).collect()
    np.testing.assert_array_equal(one, expected[:, :1])


def test_implicit_transfers_may_be_forbidden(pool, batch):
    mesh = make_mesh(8)
    placed = place(batch, mesh)
    step = jax.jit(lambda *arrays: score_in_step(pool, *arrays, mesh, NAMES, MAPS))
    with jax.transfer_guard("disallow"):
        jax.block_until_ready((step(*placed), submit_shards(pool, *placed).collect()))


class SlowPool:
    """Scores the first row at once, and the others after the deadline of the callback."""

    scores = ("slow",)

    def __init__(self, pool):
        self.pool = pool

    def score_batch(self, reference, estimate, lengths, scores, deadline_seconds):
        assert deadline_seconds < 40  # XLA ends the program then
        return self.pool.score_batch(reference, estimate, lengths, scores, 1.0)


def test_rows_that_miss_the_deadline_have_no_score(batch):
    with ScorePool(["step_scores:slow"], workers=1, deadline_seconds=20) as pool:
        pool.wait_until_ready()
        mesh = make_mesh(1)
        names = ("step_scores:slow",)
        stand_in = SlowPool(pool)
        stand_in.scores = names
        step = jax.jit(lambda *arrays: score_in_step(stand_in, *arrays, mesh, names, MAPS[:1])[0])
        scores = np.asarray(step(*place(batch, mesh)))
        assert pool.counts["timed_out"] > 0
    assert np.isfinite(scores[0])
    assert np.isnan(scores[-1])


def test_wrong_use_is_refused(pool, batch):
    mesh = make_mesh(8)
    placed = place(batch, mesh)
    grid = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    with pytest.raises(ValueError, match="one axis 'data'"):
        score_in_step(pool, *placed, grid, NAMES, MAPS)
    with pytest.raises(ValueError, match="stoi"):
        score_in_step(pool, *placed, mesh, ("stoi",), MAPS[:1])
    with pytest.raises(ValueError, match="stoi"):
        submit_shards(pool, *placed, ("stoi",))
    with pytest.raises(ValueError, match="alike"):
        submit_shards(pool, placed[0], jax.device_put(batch[1], replicated(mesh)), placed[2])


MANY_DISPATCHES = """
import os
os.environ.pop("NPROC", None)
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
import jax, jax.numpy as jnp, numpy as np
from jaxgan.core.devices import guarantee_threads, make_mesh, sharded
from jaxgan.scores.in_step import score_in_step

guarantee_threads()

class Sums:
    scores = ("sum",)
    def score_batch(self, reference, estimate, lengths, scores, deadline_seconds):
        sums = reference.sum(1) + 2 * estimate.sum(1) + lengths
        return sums.astype(np.float32)[:, None]

mesh = make_mesh()
rows, samples = 16, 150_000  # float32: 1,200,000 bytes an operand and device
reference = np.arange(rows * samples, dtype=np.float32).reshape(rows, samples) % 7
reference, estimate = (jax.device_put(x, sharded(mesh)) for x in (reference, reference[::-1]))
lengths = jax.device_put(np.arange(rows, dtype=np.int32), sharded(mesh))

@jax.jit
def step(total, reference, estimate, lengths):
    raw, _ = score_in_step(Sums(), reference, estimate, lengths, mesh, ("sum",), (lambda x: x,))
    return total + raw.mean()  # a collective directly after the callbacks

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


def test_waveforms_reach_the_host_in_pieces_that_cannot_deadlock():
    waveforms = jnp.zeros((2, 100_000), jnp.float32)
    pieces = in_step._pieces(waveforms)
    assert max(piece.nbytes for piece in pieces) < 100_000
    np.testing.assert_array_equal(in_step._joined(pieces), np.zeros(200_000))


TWO_PROCESSES = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import jax, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from jax.experimental import multihost_utils
from jaxgan.core.devices import make_mesh, put_sharded
from jaxgan.scores.background import submit_shards
from jaxgan.scores.in_step import score_in_step
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
    maps = (lambda raw: raw,)
    inside, _ = jax.jit(lambda *a: score_in_step(pool, *a, mesh, ("si_sdr",), maps))(*placed)
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
