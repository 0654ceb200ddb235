"""The conditional GAN: its losses by hand, classes that are obeyed, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
import sample
import train
from configs import conditional_gan as conditional_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.networks import pair
from jaxgan.images.systems import conditional_gan
from jaxgan.recipes import make

TINY = "--config=configs/conditional_gan.py:tiny"


def tiny_system(classes=3, shape=(2,), **values):
    config = conditional_config.get_config("tiny")
    config.update(values)
    system = conditional_gan.make_system(config, shape, classes)
    seen = (np.prod(shape) + classes,)
    init = pair.initial(system.networks, system.optimizers, 0, conditions=classes, seen=seen)
    return system, jax.jit(init)(jax.random.key(0))


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def test_the_losses_of_both_steps_by_hand():
    system, state = tiny_system()
    real = jax.random.normal(jax.random.key(1), (6, 2))
    conditions = jnp.eye(3)[jnp.array([0, 1, 2, 2, 1, 0])]

    @jax.jit
    def outputs(state):
        codes = pair.draw_codes(system.networks, step_key(state), 6)
        generator, discriminator = (state.players[n] for n in ("generator", "discriminator"))
        joined = jnp.concatenate([codes, conditions], axis=1)
        fake = system.networks.generator.apply(generator.variables, joined)
        return [
            system.networks.discriminator.apply(
                discriminator.variables, jnp.concatenate([x, 2**0.5 * conditions], axis=1)
            )
            for x in (real, fake)
        ]

    on_real, on_fake = outputs(state)
    step = jax.jit(functools.partial(conditional_gan.discriminator_step, system=system))
    moved, metrics = step(state, real, conditions)
    expected = softplus(-on_real).mean() + softplus(on_fake).mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-5)
    _, on_fake = outputs(moved)
    step = jax.jit(functools.partial(conditional_gan.generator_step, system=system))
    _, metrics = step(moved, conditions)
    assert float(metrics["g_loss"]) == pytest.approx(softplus(-on_fake).mean(), rel=1e-5)


def test_convolutions_see_a_class_as_a_channel():
    system, _ = tiny_system(classes=2, shape=(8, 8, 1))
    images = jnp.arange(2 * 64.0).reshape(2, 8, 8, 1)
    conditions = jnp.eye(2)
    seen = conditional_gan.shown(
        dataclasses.replace(system, convolutional=True), images, conditions
    )
    np.testing.assert_array_equal(seen[..., :1], images)
    np.testing.assert_array_equal(seen[0, :, :, 1:], np.broadcast_to([1, 0], (8, 8, 2)))
    np.testing.assert_array_equal(seen[1, :, :, 1:], np.broadcast_to([0, 1], (8, 8, 2)))
    rows = conditional_gan.shown(system, images, conditions)
    np.testing.assert_array_equal(rows[1], [*np.arange(64, 128), 0, 8])


def test_samples_have_the_class_that_was_asked_for():
    """Two clusters, each a class; a D that is not shown the class cannot teach this."""
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
        step = functools.partial(conditional_gan.step, data=data, system=system)
        return jax.lax.scan(lambda state, rows: (step(state, rows)[0], None), state, rows)[0]

    generator = trained(state).players["generator"]
    asked = jnp.asarray(labels[:200])
    drawn = pair.sampler(system.networks, 2)(generator, jax.random.key(1), asked)
    assert np.mean((drawn[:, 0] > 0) == asked) > 0.95


def test_sample_draws_one_class(tmp_path, capsys):
    run = tmp_path / "run"
    assert train.main([TINY, "--config.rounds=1", f"--workdir={run}"]) == 0
    flags = [f"--workdir={run}", f"--output={tmp_path / 'out'}", "--count=9"]
    assert sample.main([*flags, "--label=5"]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "samples.npz")["labels"], 9 * [5])
    assert sample.main(flags) == 0
    labels = np.load(tmp_path / "out" / "samples.npz")["labels"]
    np.testing.assert_array_equal(labels, np.arange(9) % 8)
    sampler = jaxgan.load(run, "last")
    assert sampler.classes == tuple("01234567")
    samples = np.load(tmp_path / "out" / "samples.npz")["samples"]
    np.testing.assert_array_equal(sampler(9), samples)
    np.testing.assert_array_equal(sampler(3, label=2), sampler(3, label="2"))
    assert not np.array_equal(sampler(9, label=2), samples)
    assert sample.main([*flags, "--label=cat"]) == 2
    assert "--label=cat: choose one of 0, 1, 2" in capsys.readouterr().err


def test_data_without_classes_are_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    config = conditional_config.get_config("tiny")
    config.data.kind, config.data.root = "points", str(tmp_path / "points.npy")
    with pytest.raises(UserError, match="these data have no labels, and conditional_gan learns"):
        make(config, devices.make_mesh(1))
