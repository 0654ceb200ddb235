"""The auxiliary classifier GAN: its losses by hand, and classes that are obeyed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import acgan as acgan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.data.batches import Resident
from jaxgan.images.networks import pair
from jaxgan.images.systems import acgan
from jaxgan.recipes import make


def tiny_system(classes=3, **values):
    config = acgan_config.get_config("tiny")
    config.update(values)
    system = acgan.make_system(config, (2,), classes)
    init = pair.initial(system.networks, system.optimizers, 0, conditions=classes)
    return system, jax.jit(init)(jax.random.key(0))


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def minus_log_probability(logits, labels):
    logits = np.asarray(logits, np.float64)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), labels]


def test_the_losses_of_both_steps_by_hand():
    system, state = tiny_system()
    real, labels = jax.random.normal(jax.random.key(1), (6, 2)), jnp.array([0, 1, 2, 2, 1, 0])

    @jax.jit
    def outputs(state):
        fake, asked, _ = acgan.generate(system, state, state.players, 6)
        apply, variables = (
            system.networks.discriminator.apply,
            state.players["discriminator"].variables,
        )
        return apply(variables, real), apply(variables, fake), asked

    on_real, on_fake, asked = outputs(state)
    assert on_real.shape == (6, 4)
    step = jax.jit(functools.partial(acgan.discriminator_step, system=system))
    moved, metrics = step(state, real, labels)
    source = softplus(-on_real[:, 0]).mean() + softplus(on_fake[:, 0]).mean()
    of_classes = (
        minus_log_probability(on_real[:, 1:], labels).mean()
        + minus_log_probability(on_fake[:, 1:], asked).mean()
    )
    assert float(metrics["class_loss"]) == pytest.approx(of_classes, rel=1e-5)
    assert float(metrics["d_loss"]) == pytest.approx(source + of_classes, rel=1e-5)
    right = np.asarray(on_real[:, 1:]).argmax(axis=1) == labels
    assert float(metrics["accuracy"]) == pytest.approx(right.mean())
    _, on_fake, asked = outputs(moved)
    step = jax.jit(functools.partial(acgan.generator_step, count=6, system=system))
    _, metrics = step(moved)
    expected = softplus(-on_fake[:, 0]).mean()
    expected += minus_log_probability(on_fake[:, 1:], asked).mean()
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-5)


def test_samples_have_the_class_that_was_asked_for():
    rates = {f"{player}_learning_rate": 3e-3 for player in ("generator", "discriminator")}
    system, state = tiny_system(classes=2, **rates)
    random = np.random.default_rng(0)
    labels = (np.arange(512) % 2).astype(np.int32)
    values = np.stack([4.0 * labels - 2, np.zeros(512)], axis=1)
    values = (values + 0.3 * random.standard_normal((512, 2))).astype(np.float32)
    data = Resident(jnp.asarray(values), jnp.asarray(labels))
    rows = jnp.asarray(random.integers(0, 512, (600, 1, 64)))

    @jax.jit
    def trained(state):
        step = functools.partial(acgan.step, data=data, system=system)
        return jax.lax.scan(lambda state, rows: (step(state, rows)[0], None), state, rows)[0]

    generator = trained(state).players["generator"]
    asked = jnp.asarray(labels[:200])
    drawn = pair.sampler(system.networks, 2)(generator, jax.random.key(1), asked)
    assert np.mean((drawn[:, 0] > 0) == asked) > 0.95


def test_data_without_classes_are_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    config = acgan_config.get_config("tiny")
    config.data.kind, config.data.root = "points", str(tmp_path / "points.npy")
    with pytest.raises(UserError, match="these data have no labels, and acgan learns"):
        make(config, devices.make_mesh(1))
