"""pix2pix: its losses by hand, what a step moves, and a translation that is learned."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pix2pix as pix2pix_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.systems import pix2pix
from jaxgan.recipes import make

SHAPE = (8, 8, 1)


def tiny_system(**values):
    config = pix2pix_config.get_config("tiny")
    config.generator.update(dropout=0.0, smallest=4, features=4)
    config.update(values)
    system = pix2pix.make_system(config, 1)
    init = functools.partial(pix2pix.initial, system=system, shape=SHAPE)
    return system, jax.jit(init)(jax.random.key(0))


def images(count, seed=0):
    """Blocks of 4 x 4 pixels, each light or dark."""
    blocks = np.random.default_rng(seed).choice([-0.8, 0.8], (count, 2, 2, 1))
    return jnp.asarray(np.kron(blocks, np.ones((1, 4, 4, 1))), jnp.float32)


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


@jax.jit
def softly(x):
    return jnp.tanh(x + 0.3)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_losses_of_both_steps_by_hand_and_what_they_move(conditional):
    system, state = tiny_system(conditional=conditional, l1_weight=7.0, adversarial_weight=2.0)
    x, y = images(3), softly(images(3, 1))

    @jax.jit
    def outputs(state):
        generator, discriminator = (state.players[n] for n in ("generator", "discriminator"))
        keys = {"dropout": jax.random.key(9)}
        fake = system.generator.apply(generator.variables, x, rngs=keys)
        seen = [jnp.concatenate([x, z], -1) if conditional else z for z in (y, fake)]
        return fake, *(system.discriminator.apply(discriminator.variables, z) for z in seen)

    def same(one, other, name):
        leaves = zip(*(jax.tree.leaves(each.players[name]) for each in (one, other)), strict=True)
        return all(np.array_equal(*pair) for pair in leaves)

    _, on_real, on_fake = outputs(state)
    step = jax.jit(functools.partial(pix2pix.discriminator_step, system=system))
    moved, metrics = step(state, x, y)
    expected = (softplus(-on_real).mean() + softplus(on_fake).mean()) / 2
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-5)
    assert same(state, moved, "generator")
    assert not same(state, moved, "discriminator")

    fake, _, on_fake = outputs(moved)
    step = jax.jit(functools.partial(pix2pix.generator_step, system=system))
    after, metrics = step(moved, x, y)
    l1 = np.abs(np.asarray(y) - np.asarray(fake)).mean()
    assert float(metrics["l1"]) == pytest.approx(l1, rel=1e-5)
    expected = 2 * softplus(-on_fake).mean() + 7 * l1
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-5)
    assert same(moved, after, "discriminator")
    assert not same(moved, after, "generator")


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_a_translation_is_learned_in_its_direction(direction):
    """B is A with dark and light exchanged, and the right half black: it does not lead back."""
    system, state = tiny_system(direction=direction, learning_rate=5e-3, conditional=True)
    a = images(256)
    b = jnp.where(jnp.arange(8)[:, None] < 4, -a, -0.8)
    rows = jnp.asarray(np.random.default_rng(0).integers(0, 256, (200, 8)))

    @jax.jit
    def trained(state):
        def body(state, row):
            return pix2pix.step(state, a[row], b[row], system=system)

        return jax.lax.scan(body, state, rows)

    after, metrics = trained(state)
    assert float(metrics["l1"][0]) > 0.6
    l1 = float(metrics["l1"][-20:].mean())
    if direction == "a_to_b":
        assert l1 < 0.25
    else:
        # What is black in B cannot be known: half of the pixels are 0.8 from the best guess.
        assert 0.3 < l1 < 0.6
    assert int(after.step) == 400


def test_unpaired_data_are_refused():
    config = pix2pix_config.get_config("tiny")
    config.data.kind = "unpaired"
    with pytest.raises(UserError, match=r"data.kind=unpaired: pix2pix learns from pairs; choose"):
        make(config, devices.make_mesh(1))
