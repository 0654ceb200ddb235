"""SRGAN: its losses by hand, what a step moves, and detail that is learned."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import srgan as srgan_config
from jaxgan.core import devices
from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.errors import UserError
from jaxgan.images.networks.super_resolution import reduce_images
from jaxgan.images.systems import srgan
from jaxgan.recipes import make

SHAPE = (8, 8, 1)
compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)


def tiny_system(maps=srgan.feature_loss.pixels, features=2, **values):
    config = srgan_config.get_config("tiny")
    config.generator.update(features=features, blocks=1)
    config.update(values)
    system = srgan.make_system(config, 1, maps)
    init = functools.partial(srgan.initial, system=system, shape=SHAPE)
    return system, compiled(init)(jax.random.key(0))


def pairs(count, seed=0):
    """Diagonal stripes, and the same without what half as many pixels lose."""
    shift = np.random.default_rng(seed).integers(0, 4, (count, 1, 1, 1))
    at = np.indices((8, 8)).sum(axis=0)[None, ..., None]
    y = jnp.asarray(np.where((at + shift) % 4 < 2, 0.8, -0.8), jnp.float32)
    return jax.image.resize(reduce_images(y, 2), y.shape, "cubic"), y


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def same(one, other, name):
    leaves = zip(*(jax.tree.leaves(each.players[name]) for each in (one, other)), strict=True)
    return all(np.array_equal(*pair) for pair in leaves)


def test_the_losses_of_both_steps_by_hand_and_what_they_move():
    """The content is the last map's squared distance: no total variation, see docs/errata.md."""
    x, y = pairs(3)

    def maps(images):
        return [images, 3 * images[:, ::2]]

    system, state = tiny_system(maps, content_weight=0.5, adversarial_weight=2.0)

    @compiled
    def outputs(state):
        generator, discriminator = (state.players[n] for n in ("generator", "discriminator"))
        kept = {"mutable": ["batch_stats"]}
        fake, _ = system.generator.apply(generator.variables, x, **kept)
        apply = functools.partial(system.discriminator.apply, discriminator.variables, **kept)
        return fake, apply(y)[0], apply(fake)[0]

    _, on_real, on_fake = outputs(state)
    step = compiled(functools.partial(srgan.discriminator_step, system=system))
    moved, metrics = step(state, x, y)
    expected = softplus(-on_real).mean() + softplus(on_fake).mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert same(state, moved, "generator")
    assert not same(state, moved, "discriminator")

    fake, _, on_fake = outputs(moved)
    step = compiled(functools.partial(srgan.generator_step, system=system))
    after, metrics = step(moved, x, y)
    content = 9 * np.mean((np.asarray(y) - np.asarray(fake))[:, ::2] ** 2)
    assert float(metrics["content"]) == pytest.approx(content, rel=1e-4)
    expected = 0.5 * content + 2 * softplus(-on_fake).mean()
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)
    assert same(moved, after, "discriminator")
    assert not same(moved, after, "generator")


def test_srresnet_learns_detail_and_leaves_the_discriminator_as_it_is():
    system, state = tiny_system(features=8, adversarial_weight=0.0, learning_rate=1e-2)
    x, y = pairs(64)
    rows = jnp.asarray(np.random.default_rng(0).integers(0, 64, (80, 8)))

    @compiled
    def trained(state):
        def body(state, row):
            return srgan.step(state, x[row], y[row], system=system)

        return jax.lax.scan(body, state, rows)

    after, metrics = trained(state)
    lost = float(jnp.mean((x - y) ** 2))
    assert float(metrics["content"][-10:].mean()) < lost / 4
    assert same(state, after, "discriminator")
    assert set(metrics) == {"g_loss", "content"}


def test_settings_that_cannot_be_used():
    config = srgan_config.get_config("tiny")
    config.data.factor = 8
    with pytest.raises(UserError, match=r"data.factor=8: must divide the images' 28 pixels"):
        make(config, devices.make_mesh(1))
    config.data.factor, config.content = 2, "features"
    with pytest.raises(UserError, match=r"content=features: compares the maps of a classifier"):
        make(config, devices.make_mesh(1))


def test_srresnet_is_the_same_system_without_the_adversarial_term():
    gan, resnet = srgan_config.get_config(), srgan_config.get_config("srresnet")
    assert (gan.adversarial_weight, resnet.adversarial_weight) == (1e-3, 0)
    assert gan.generator == resnet.generator
    assert resnet.rounds * resnet.steps_per_round == 1_000_000


@pytest.mark.parametrize(("start", "rates"), [(0, [0.5] * 8), (2, [0.5] * 6 + [0.05] * 2)])
def test_the_rate_drops_after_the_rounds_of_the_config(start, rates):
    """The size of Adam's updates for a constant gradient is the learning rate."""
    config = srgan_config.get_config("tiny")
    config.learning_rate, config.steps_per_round, config.drop.start = 0.5, 3, start
    optimizer, params = srgan.make_system(config, 1).optimizer, jnp.zeros(())
    state, found = optimizer.init(params), []
    for _ in rates:
        updates, state = optimizer.update(jnp.ones(()), state, params)
        found.append(-float(updates))
    np.testing.assert_allclose(found, rates, rtol=1e-4)
