import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.devices import make_mesh, sharded
from jaxgan.core.errors import UserError
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.scorer import (
    choose_place,
    score_on_devices,
    score_on_host,
    sharded_twin,
)

SAMPLES = 4000
TWINNED = """
import jax.numpy as jnp

def measure(reference, estimate, sample_rate):
    return float(abs(reference - estimate).mean())

def twin(reference, estimate, lengths):
    inside = jnp.arange(reference.shape[1]) < lengths[:, None]
    return jnp.where(inside, jnp.abs(reference - estimate), 0.0).sum(1) / lengths

measure.lowest, measure.highest, measure.higher_is_better = 0.0, 1.0, False
measure.device = twin
"""


@pytest.fixture(scope="module")
def pool():
    with ScorePool(["si_sdr"], workers=1) as pool:
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
def test_every_place_gives_the_same_scores(pool, batch, devices):
    mesh = make_mesh(devices)
    placed = [jax.device_put(array, sharded(mesh)) for array in batch]
    scorers = [
        score_on_devices("si_sdr", mesh),
        score_on_host("si_sdr", pool, mesh, delay=0),
        score_on_host("si_sdr", pool, mesh, delay=1),
    ]
    expected = pool.score_batch(*batch)
    assert np.isnan(expected).tolist() == [False, False, True, False, False, True, False, False]
    for scorer in scorers:
        scores = scorer(*placed)()
        np.testing.assert_allclose(scores, expected, atol=2e-3)
        assert scores.sharding.is_equivalent_to(sharded(mesh), 1)


def test_host_is_chosen_unless_an_accelerator_knows_the_score(monkeypatch):
    assert choose_place("host", "pesq_wb") == "host"
    assert choose_place("device", "pesq_wb") == "device"
    assert choose_place("auto", "pesq_wb") == "host"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_place("auto", "pesq_wb") == "device"


def test_a_score_of_the_users_brings_its_own_twin(tmp_path, monkeypatch):
    (tmp_path / "twinned.py").write_text(TWINNED)
    monkeypatch.syspath_prepend(tmp_path)
    twin = sharded_twin("twinned:measure", make_mesh(1))
    scores = twin(jnp.ones((2, 4)), jnp.zeros((2, 4)), jnp.array([4, 2]))
    np.testing.assert_allclose(scores, [1.0, 1.0])


def test_a_score_without_twin_is_refused_by_name(tmp_path, monkeypatch):
    source = TWINNED.replace("measure.device = twin", "")
    (tmp_path / "untwinned.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_place("auto", "untwinned:measure") == "host"
    with pytest.raises(UserError, match="untwinned:measure"):
        sharded_twin("untwinned:measure", make_mesh(1))
