"""LAPGAN: its losses by hand, what a step moves, its stages, and how they are composed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import lapgan as lapgan_config
from jaxgan.core import devices
from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.evaluation.detail import measure_detail
from jaxgan.images.evaluation.interpolation import with_codes
from jaxgan.images.networks.laplacian import draw_noise
from jaxgan.images.pyramid import expand, levels
from jaxgan.images.systems import lapgan
from jaxgan.recipes import make

SHAPE = (8, 8, 1)
compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)
REAL = levels(jnp.tanh(jax.random.normal(jax.random.key(5), (3, *SHAPE))), 3)


@pytest.fixture(scope="module")
def run():
    config = lapgan_config.get_config("tiny")
    config.optimizer, config.generator_learning_rate = "adam", 1e-2
    system = lapgan.make_system(config, SHAPE)
    state = compiled(functools.partial(lapgan.initial, system=system))(jax.random.key(0))
    return system, state


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def changed(one, other):
    """The parts of both players' parameters that differ."""
    found = set()
    for player in ("generator", "discriminator"):
        trees = [each.players[player].params for each in (one, other)]
        for name in trees[0]:
            leaves = zip(*(jax.tree.leaves(tree[name]) for tree in trees), strict=True)
            if not all(np.array_equal(*pair) for pair in leaves):
                found.add(name)
    return found


def test_the_losses_of_every_level_by_hand_and_what_they_move(run):
    """D_k sees the blurred image plus a band: of a real image that is the image itself."""
    system, state = run

    @compiled
    def outputs(state, key):
        generator, discriminator = (state.players[n] for n in ("generator", "discriminator"))
        network = system.generator
        *noise, codes = draw_noise(network, key, 3)
        fakes = []
        for level, maps in enumerate(noise):
            blurred = expand(REAL[level + 1], REAL[level].shape[1:3])
            band = network.bind(generator.variables).bands[level](blurred, maps)
            fakes.append(blurred + band)
        fakes.append(network.bind(generator.variables).coarsest(codes))
        judge = functools.partial(system.discriminator.apply, discriminator.variables)
        return judge(REAL), judge(fakes)

    on_real, on_fake = outputs(state, jax.random.split(step_key(state), 3)[0])
    step = compiled(functools.partial(lapgan.discriminator_step, system=system))
    moved, metrics = step(state, REAL)
    for level in range(3):
        expected = softplus(-on_real[level]).mean() + softplus(on_fake[level]).mean()
        assert float(metrics[f"d_loss_{level}"]) == pytest.approx(expected, rel=1e-4)
    assert changed(state, moved) == {"each_0", "each_1", "each_2"}

    _, on_fake = outputs(moved, jax.random.split(step_key(moved))[0])
    step = compiled(functools.partial(lapgan.generator_step, system=system))
    after, metrics = step(moved, REAL)
    for level in range(3):
        expected = softplus(-on_fake[level]).mean()
        assert float(metrics[f"g_loss_{level}"]) == pytest.approx(expected, rel=1e-4)
    assert changed(moved, after) == {"bands_0", "bands_1", "coarsest"}


def test_a_stage_learns_as_it_does_beside_the_others_and_leaves_them_as_they_are(run):
    system, state = run

    def after(system):
        @compiled
        def steps(state):
            state, _ = lapgan.discriminator_step(state, REAL, system=system)
            return lapgan.generator_step(state, REAL, system=system)[0]

        return steps(state)

    alone = after(dataclasses.replace(system, stages=(0,)))
    moves = {"bands_0", "each_0"}
    assert changed(state, alone) == moves
    together = after(system)
    for player in ("generator", "discriminator"):
        for name in moves & state.players[player].params.keys():
            pairs = (each.players[player].params[name] for each in (alone, together))
            jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), *pairs)


def test_samples_are_composed_from_the_coarsest_level_to_the_finest(run):
    system, state = run
    generator, network = state.players["generator"], system.generator
    *noise, codes = draw_noise(network, jax.random.key(3), 2)
    assert [each.shape for each in (*noise, codes)] == [(2, 8, 8, 1), (2, 4, 4, 1), (2, 100)]

    @compiled
    def both(variables):
        images = network.apply(variables, 2, codes, method="level")
        for level in (1, 0):
            images = network.apply(variables, level, noise[level], images, method="level")
        return network.apply(variables, codes, noise), images

    found, expected = both(generator.variables)
    assert found.shape == (2, *SHAPE)
    np.testing.assert_allclose(found, expected, atol=1e-6)

    sample = lapgan.make_sample(lapgan_config.get_config("tiny"), SHAPE)

    @compiled
    def codes_of_a_sample(generator):
        return with_codes(sample, generator, jax.random.key(3), jnp.zeros(2, jnp.int32))

    drawn, received = codes_of_a_sample(generator)
    np.testing.assert_allclose(drawn, found, atol=1e-6)
    np.testing.assert_array_equal(received, codes)


def test_detail_is_the_energy_of_bands_over_that_of_real_ones():
    values = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)

    def refine(player, real, key):
        return {0: (real[0] + expand(real[1], (8, 8))) / 2, 1: real[1]}

    class Player:
        def without_training(self):
            return ()

    measure = measure_detail(refine, 3, values, 0, devices.make_mesh(1))
    metrics, objective = measure({"generator": Player()})()
    assert metrics == {"eval/detail_0": pytest.approx(0.25), "eval/detail_1": pytest.approx(1)}
    assert np.isnan(objective)


def test_settings_that_cannot_be_used():
    config = lapgan_config.get_config("tiny")
    config.stages = "3"
    with pytest.raises(UserError, match=r"stages='3': choose one of 0, 1, 2, all"):
        make(config, devices.make_mesh(1))
    config.stages, config.levels = "all", 5
    with pytest.raises(UserError, match=r"levels=5: images of the shape \[28, 28, 1\] cannot"):
        make(config, devices.make_mesh(1))
