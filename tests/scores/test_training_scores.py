import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.devices import make_mesh, sharded
from jaxgan.core.errors import UserError
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.training_scores import TrainingScores, choose_place, sharded_device_score

SAMPLES = 4000
ON_DEVICES = """
import jax.numpy as jnp

def measure(reference, estimate, sample_rate):
    return float(abs(reference - estimate).mean())

def on_devices(reference, estimate, lengths):
    inside = jnp.arange(reference.shape[1]) < lengths[:, None]
    return jnp.where(inside, jnp.abs(reference - estimate), 0.0).sum(1) / lengths

measure.lowest, measure.highest, measure.higher_is_better = 0.0, 1.0, False
measure.device = on_devices
"""


@pytest.fixture(scope="module")
def pool():
    with ScorePool(["si_sdr", "lsd"], workers=1) as pool:
        yield pool


@pytest.fixture(name="batch")
def noisy_batch():
    """reference, estimate int16 [8, SAMPLES], lengths int32 [8]; one row silent, one padding."""
    random = np.random.default_rng(0)
    reference = random.normal(0, 3000, (8, SAMPLES))
    estimate = reference + random.normal(0, 900, reference.shape)
    estimate[5] = 0
    lengths = np.array([SAMPLES, 3000, 0, 2500, SAMPLES, SAMPLES, 1200, SAMPLES], np.int32)
    return reference.astype(np.int16), estimate.astype(np.int16), lengths


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("where", ["host", "device"])
def test_every_way_gives_the_same_scores(pool, batch, devices, where):
    mesh = make_mesh(devices)
    placed = [jax.device_put(array, sharded(mesh)) for array in batch]
    scores = TrainingScores(["si_sdr"], "range", where, pool, mesh)
    expected = pool.score_batch(*batch, ["si_sdr"])
    assert np.isnan(expected[:, 0]).tolist() == [
        False,
        False,
        True,
        False,
        False,
        True,
        *[False] * 2,
    ]
    raw, mapped = jax.jit(scores.in_step)(*placed)
    with jax.transfer_guard("disallow"):
        beside = scores.submit(*placed)()
    for found in (raw, beside):
        np.testing.assert_allclose(found, expected, atol=2e-3)
        assert found.sharding.is_equivalent_to(sharded(mesh), 2)
    np.testing.assert_allclose(mapped, scores.normalise(expected), atol=2e-4)


def test_host_and_device_scores_keep_the_order_of_the_config(pool, batch, monkeypatch):
    mesh = make_mesh(2)
    placed = [jax.device_put(array, sharded(mesh)) for array in batch]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for names in (["lsd", "si_sdr"], ["si_sdr", "lsd"]):
        scores = TrainingScores(names, "paper", "auto", pool, mesh)
        assert list(scores.device_scores) == ["si_sdr"]
        expected = pool.score_batch(*batch, names)
        raw, mapped = jax.jit(scores.in_step)(*placed)
        np.testing.assert_allclose(raw, expected, atol=2e-3)
        np.testing.assert_allclose(scores.submit(*placed)(), expected, atol=2e-3)
        np.testing.assert_allclose(mapped, scores.normalise(expected), atol=2e-4)


def test_host_is_chosen_unless_an_accelerator_can_compute_the_score(monkeypatch):
    assert choose_place("host", "pesq_wb") == "host"
    assert choose_place("device", "pesq_wb") == "device"
    assert choose_place("auto", "pesq_wb") == "host"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_place("auto", "pesq_wb") == "device"


def test_a_users_score_may_have_a_jax_function(tmp_path, monkeypatch):
    (tmp_path / "with_device.py").write_text(ON_DEVICES)
    monkeypatch.syspath_prepend(tmp_path)
    score = sharded_device_score("with_device:measure", make_mesh(1))
    scores = score(jnp.ones((2, 4)), jnp.zeros((2, 4)), jnp.array([4, 2]))
    np.testing.assert_allclose(scores, [1.0, 1.0])


def test_a_score_without_a_jax_function_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "without_device.py").write_text(
        ON_DEVICES.replace("measure.device = on_devices", "")
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_place("auto", "without_device:measure") == "host"
    with pytest.raises(UserError, match="without_device:measure"):
        sharded_device_score("without_device:measure", make_mesh(1))
