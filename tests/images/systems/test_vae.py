"""The variational autoencoder: its loss by hand, its bounds, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sample
import train
from configs import vae as vae_config
from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.evaluation.likelihood import measure_likelihood
from jaxgan.images.networks import vae as networks
from jaxgan.images.systems import vae
from jaxgan.methods.variational import draw_normal
from jaxgan.recipes import make


def tiny_system(shape=(3, 3, 1), **values):
    config = vae_config.get_config("tiny")
    config.update(values)
    system = vae.make_system(config, shape)
    initial = networks.initial(system.model, system.optimizer, system.average_decay)
    return system, jax.jit(initial)(jax.random.key(0))


def images(count):
    """Two patterns with a little noise, as bytes."""
    random = np.random.default_rng(0)
    patterns = np.array([[255, 0, 255, 0, 255, 0, 255, 0, 255], [255] * 5 + [0] * 4], np.uint8)
    flips = random.random((count, 9)) < 0.05
    chosen = patterns[random.integers(0, 2, count)]
    return np.where(flips, 255 - chosen, chosen).reshape(count, 3, 3, 1)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_the_loss_is_a_sum_over_pixels_by_hand(kind):
    system, state = tiny_system(decoder=kind, binarise=False, sd=0.3)
    values = np.random.default_rng(1).integers(0, 256, (4, 3, 3, 1), dtype=np.uint8)
    data, rows = Resident(jnp.asarray(values), jnp.zeros(4, jnp.int32)), jnp.arange(4)[None]

    @jax.jit
    def parts(state, x):
        mean, log_variance = networks.encode(system.model, state.players["encoder"], x)
        z = draw_normal(mean, log_variance, step_key(state))
        decoded = networks.decode(system.model, state.players["generator"], z)
        return mean, log_variance, decoded

    x = values.reshape(4, 9) / 255
    mean, log_variance, decoded = (
        np.asarray(part, np.float64) for part in parts(state, x.astype(np.float32))
    )
    kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - log_variance - 1, axis=1).mean()
    if kind == "bernoulli":
        p = 1 / (1 + np.exp(-decoded))
        reconstruction = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1).mean()
    else:
        assert decoded.min() > 0
        assert decoded.max() < 1
        reconstruction = -stats.norm.logpdf(x, decoded, 0.3).sum(axis=1).mean()
    step = jax.jit(functools.partial(vae.step, system=system))
    _, metrics = step(state, rows, data)
    assert float(metrics["kl"]) == pytest.approx(kl, rel=1e-4)
    assert float(metrics["reconstruction"]) == pytest.approx(reconstruction, rel=1e-4)
    assert float(metrics["loss"]) == pytest.approx(kl + reconstruction, rel=1e-4)


def test_the_model_learns_and_its_bounds_are_ordered():
    system, state = tiny_system(learning_rate=1e-2)
    values = images(256)
    data = Resident(jnp.asarray(values), jnp.zeros(256, jnp.int32))
    rows = jnp.asarray(np.random.default_rng(0).integers(0, 256, (600, 1, 64)))
    step = functools.partial(vae.step, data=data, system=system)
    state, metrics = jax.jit(lambda state: jax.lax.scan(step, state, rows))(state)
    assert metrics["kl"].min() >= 0
    weigh = functools.partial(vae.log_weight, system=system)
    measure = measure_likelihood(weigh, images(150), draws=30, seed=0, mesh=devices.make_mesh(1))
    found, objective = measure(state.players)()
    elbo, bound = found["eval/negative_elbo"], found["eval/negative_importance_bound"]
    # The patterns cost log 2 nats and the flips 9 H(0.05) nats; independent pixels cost 4.9.
    entropy = np.log(2) + 9 * stats.bernoulli(0.05).entropy()
    assert entropy - 0.3 < bound < elbo < entropy + 0.9
    assert objective == -elbo
    # Every image has the same loss in training and in validation, up to the draws of z.
    assert elbo == pytest.approx(float(metrics["loss"][-100:].mean()), abs=0.3)


def test_the_importance_weights_are_exact_for_a_decoder_that_ignores_its_code():
    """Then p(x) = p(x|z) for every z, and the mean weight over many draws is p(x)."""
    system, state = tiny_system()
    values = images(4)
    players = dict(state.players)
    zeros = jax.tree.map(jnp.zeros_like, players["generator"].params)
    players["generator"] = players["generator"].replace(params=zeros)
    keys = jax.random.split(jax.random.key(0), 20_000)
    weigh = functools.partial(vae.log_weight, system=system)
    weights = jax.jit(jax.vmap(lambda key: weigh(players, values, key)))(keys)
    found = jax.nn.logsumexp(weights, axis=0) - np.log(20_000)
    np.testing.assert_allclose(found, 9 * np.log(0.5), atol=0.05)


def test_pixels_are_binarised_and_points_are_not():
    system, _ = tiny_system()
    values = np.array([[0, 127, 128, 255, 3, 200, 9, 1, 130]], np.uint8).reshape(1, 3, 3, 1)
    seen = networks.seen(system.model, jnp.asarray(values))
    np.testing.assert_array_equal(seen, [[0, 0, 1, 1, 0, 1, 0, 0, 1]])
    points, _ = tiny_system((2,), decoder="gaussian", binarise=False)
    seen = networks.seen(points.model, jnp.array([[3.0, -4.0]]))
    np.testing.assert_array_equal(seen, [[3, -4]])


def test_a_run_logs_both_bounds_and_samples(tmp_path):
    run = tmp_path / "run"
    command = ["--config=configs/vae.py:tiny", "--config.rounds=1", f"--workdir={run}"]
    assert train.main(command) == 0
    row = read(run)[-1]
    assert row["eval/negative_importance_bound"] <= row["eval/negative_elbo"]
    assert "eval/kid_pixels" in row
    assert sample.main([f"--workdir={run}", f"--output={tmp_path / 'out'}", "--count=3"]) == 0
    assert np.load(tmp_path / "out" / "samples.npz")["samples"].shape == (3, 28, 28, 1)


@pytest.mark.parametrize("key", ["bound.images", "bound.draws"])
def test_bounds_that_were_changed_by_hand_are_refused(tmp_path, key):
    config = vae_config.get_config("tiny")
    config.update_from_flattened_dict({key: 0})
    configs.write(config, tmp_path)
    with pytest.raises(UserError, match=rf"^config\.{key}=0: must be 1 or more$"):
        recipes.command(tmp_path, "evaluate")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": "laplace"}, "config.decoder=laplace: choose one of bernoulli, gaussian"),
        ({"data.kind": "ring"}, "config.decoder=bernoulli, config.binarise=True: points are not"),
        ({"sd": 0.0}, "config.sd=0.0"),
        ({"bound.draws": 0}, "config.bound.draws=0"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = vae_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
