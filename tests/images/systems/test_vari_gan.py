"""VariGAN: its losses by hand, what a step of either stage moves, and a view that is learned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up_states import made_up

from configs import vari_gan as vari_gan_config
from jaxgan.core import devices
from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images import stages
from jaxgan.images.networks.refinement import average_areas
from jaxgan.images.systems import vari_gan
from jaxgan.recipes import make

SHAPE, SMALL = (12, 12, 1), (6, 6)
compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)


def tiny_config(stages="all"):
    config = vari_gan_config.get_config("tiny")
    config.factor, config.generator.smallest, config.stages = 2, 6, stages
    config.coarse.features = config.coarse.hidden = 4
    config.learning_rate, config.coarse_weight, config.l1_weight = 1e-2, 0.5, 7.0
    return config


@functools.cache
def tiny():
    """A system, and its state before the first update."""
    system = vari_gan.make_system(tiny_config(), SHAPE)
    init = functools.partial(vari_gan.initial, system=system, shape=SHAPE)
    return system, made_up(init)


@functools.cache
def coarse_step():
    """The first stage's step, compiled once: (state, a, b) -> state, metrics."""
    return compiled(functools.partial(vari_gan.step, stage="1", system=tiny()[0]))


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def moved(one, other):
    def same(name):
        leaves = zip(*(jax.tree.leaves(each.players[name]) for each in (one, other)), strict=True)
        return all(np.array_equal(*pair) for pair in leaves)

    return {name for name in one.players if not same(name)}


def pairs(count, seed=0):
    a = jnp.tanh(jax.random.normal(jax.random.key(seed), (count, *SHAPE)))
    return a, jnp.flip(a, axis=2)


VIEW = jnp.array([[1.0], [-1.0], [1.0]])


def test_the_first_stage_takes_a_step_down_the_evidence_lower_bound():
    system, state = tiny()
    a, b = pairs(16)
    # The initial encoder hardly differs from the prior.
    coarse = state.players["coarse"]
    encoder = jax.tree.map(lambda leaf: 10 * leaf, coarse.params["encoder"])
    larger = dataclasses.replace(coarse, params={**coarse.params, "encoder": encoder})
    state = dataclasses.replace(state, players={**state.players, "coarse": larger})

    @compiled
    def by_hand(state):
        key = step_key(state, vari_gan.DIRECTION)
        onwards = jax.random.bernoulli(key, shape=(16, 1))
        view, image = 2.0 * onwards - 1, onwards[..., None, None]
        small_x, small_y = (
            average_areas(jnp.where(image, *pair), SMALL) for pair in ((a, b), (b, a))
        )
        bound = system.coarse.bind(state.players["coarse"].variables)
        mean, log_variance = bound.encoder(small_x, small_y, view)
        noise = jax.random.normal(step_key(state, vari_gan.FOR_Z), mean.shape)
        z = mean + jnp.exp(log_variance / 2) * noise
        return onwards, mean, log_variance, small_y - bound.generator(small_x, view, z)

    after, metrics = coarse_step()(state, a, b)
    onwards, *found = by_hand(state)
    assert 0 < onwards.sum() < 16, "both views are asked for"
    mean, log_variance, apart = (np.asarray(each, np.float64) for each in found)
    kl = np.sum((mean**2 + np.exp(log_variance) - log_variance - 1) / 2, axis=1).mean()
    assert kl > 0.1
    assert float(metrics["kl"]) == pytest.approx(kl, rel=1e-3)
    # The sum over pixels, not the mean, which would change the weight of the divergence.
    expected = kl + 0.5 * np.abs(apart).sum(axis=(1, 2, 3)).mean()
    assert float(metrics["coarse_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(metrics["coarse_l1"]) == pytest.approx(np.abs(apart).mean(), rel=1e-4)
    assert moved(state, after) == {"coarse"}


def test_the_losses_of_the_second_stage_by_hand_and_what_they_move():
    system, state = tiny()
    x, y = pairs(3)

    def made(state, stream):
        coarse = state.players["coarse"].variables
        z = jax.random.normal(step_key(state, stream), (3, system.coarse.latent))
        small = system.coarse.bind(coarse).generator(average_areas(x, SMALL), VIEW, z)
        enlarged = stages.enlarge(small, 12)
        return system.generator.apply(state.players["generator"].variables, enlarged, x)

    def judged(state, y):
        variables = state.players["discriminator"].variables
        return system.discriminator.apply(variables, jnp.concatenate([x, y], -1))

    @compiled
    def steps(state):
        between, of_d = vari_gan.discriminator_step(state, x, y, VIEW, system=system)
        after, of_g = vari_gan.generator_step(between, x, y, VIEW, system=system)
        by_d = judged(state, y), judged(state, made(state, vari_gan.FOR_D))
        fake = made(between, vari_gan.FOR_G)
        return between, after, of_d, of_g, by_d, fake, judged(between, fake)

    between, after, of_d, of_g, (on_real, on_fake), fake, by_d_of_g = steps(state)
    expected = (softplus(-on_real).mean() + softplus(on_fake).mean()) / 2
    assert float(of_d["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert moved(state, between) == {"discriminator"}
    l1 = np.abs(np.asarray(y) - np.asarray(fake)).mean()
    assert float(of_g["l1"]) == pytest.approx(l1, rel=1e-4)
    assert float(of_g["g_loss"]) == pytest.approx(softplus(-by_d_of_g).mean() + 7 * l1, rel=1e-4)
    assert moved(between, after) == {"generator"}


def test_one_coarse_network_makes_the_view_that_is_asked_for():
    """A is black, and B white: only the view says which of them is wanted."""
    system, state = tiny()
    a = jnp.full((16, *SHAPE), -0.8)
    for _ in range(60):
        state, _ = coarse_step()(state, a, -a)

    @compiled
    def both(variables, x, view):
        return system.coarse.apply(variables, x, view, jax.random.key(1), method="draw")

    views = jnp.repeat(jnp.array([[1.0], [-1.0]]), 16, axis=0)
    made = both(state.players["coarse"].variables, jnp.concatenate([a, -a]), views)
    np.testing.assert_allclose(made[:16], 0.8, atol=0.3)
    np.testing.assert_allclose(made[16:], -0.8, atol=0.3)


def test_a_run_of_the_first_stage_shows_coarse_images_and_moves_only_its_players():
    config = vari_gan_config.get_config("tiny")
    config.stages = "1"
    assert make(config, devices.make_mesh(1))._steps.moves == ("coarse",)
    system, state = tiny()
    x, _ = pairs(2)
    key = jax.random.key(3)

    @compiled
    def found(players):
        made = [
            vari_gan.make_translations(tiny_config(asked), SHAPE)["b_to_a"](players, x, key)
            for asked in ("1", "all")
        ]
        return made, vari_gan.imagine(system, players, x, -jnp.ones((2, 1)), key)

    made, (coarse, fine) = found(state.players)
    np.testing.assert_allclose(made[0], coarse, atol=1e-6)
    np.testing.assert_allclose(made[1], fine, atol=1e-6)
    assert np.abs(fine - coarse).max() > 0


def test_settings_that_cannot_be_used():
    config = vari_gan_config.get_config("tiny")
    config.factor = 8
    with pytest.raises(UserError, match=r"factor=8: images of the shape \[28, 28, 1\] must be squ"):
        make(config, devices.make_mesh(1))
    config.factor, config.stages = 2, "3"
    with pytest.raises(UserError, match=r"stages"):
        make(config, devices.make_mesh(1))
