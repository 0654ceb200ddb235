"""CycleGAN: its losses by hand, what a step moves, the pool, and a translation that is learned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import cyclegan as cyclegan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.systems import cyclegan
from jaxgan.images.systems.cyclegan import D_A, D_B, F, G
from jaxgan.methods.adversarial import LOSSES
from jaxgan.recipes import make

SHAPE = (8, 8, 1)


def tiny_system(batch_size=3, pool=0, features=4, **values):
    config = cyclegan_config.get_config("tiny")
    config.generator.features = config.discriminator.features = features
    config.decay.rounds = 0
    config.update(values)
    system = cyclegan.make_system(config, 1)
    sizes = {"shape": SHAPE, "batch_size": batch_size, "pool": pool}
    init = functools.partial(cyclegan.initial, system=system, **sizes)
    return system, jax.jit(init)(jax.random.key(0))


def noise(seed, count=3):
    return jnp.tanh(jax.random.normal(jax.random.key(seed), (count, *SHAPE)))


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


BY_HAND = {
    # (D's loss, the loss of one generator), of D's outputs for real and for generated images
    "least_squares": (
        lambda r, f: (np.mean((r - 1) ** 2) + np.mean(f**2)) / 2,
        lambda f: np.mean((f - 1) ** 2),
    ),
    "non_saturating": (
        lambda r, f: np.mean(softplus(-r)) + np.mean(softplus(f)),
        lambda f: np.mean(softplus(-f)),
    ),
    "wasserstein": (lambda r, f: np.mean(f) - np.mean(r), lambda f: -np.mean(f)),
}


def moved(one, other):
    return {
        name
        for name in one.players
        if not all(
            np.array_equal(a, b)
            for a, b in zip(
                jax.tree.leaves(one.players[name]),
                jax.tree.leaves(other.players[name]),
                strict=True,
            )
        )
    }


def test_the_losses_of_both_steps_by_hand_and_what_they_move():
    a, b = noise(1), noise(2)
    system, state = tiny_system(cycle_weight=4.0, identity_weight=2.0)

    @jax.jit
    def outputs(state):
        g, f, d_a, d_b = (
            functools.partial(network.apply, state.players[name].variables)
            for network, name in (
                *((system.generator, name) for name in (G, F)),
                *((system.discriminator, name) for name in (D_A, D_B)),
            )
        )
        fake_a, fake_b = f(b), g(a)
        judged = [(d_a(a), d_a(fake_a)), (d_b(b), d_b(fake_b))]
        return (fake_a, fake_b), judged, (f(fake_b), g(fake_a)), (f(a), g(b))

    real_fakes, judged, cycles, same = outputs(state)
    judged = [[np.asarray(each, np.float64) for each in pair] for pair in judged]
    of_d, of_g = BY_HAND["least_squares"]

    step = jax.jit(functools.partial(cyclegan.generators_step, system=system))
    after, metrics, fakes = step(state, a, b)
    assert moved(state, after) == {G, F}
    assert int(after.step) == 2
    for name, fake in zip((D_A, D_B), real_fakes, strict=True):
        np.testing.assert_allclose(fakes[name], fake, atol=1e-5)
    distances = [
        np.abs(np.asarray(one, np.float64) - real).mean()
        for one, real in zip((*cycles, *same), (a, b, a, b), strict=True)
    ]
    found = [float(metrics[name]) for name in ("cycle_a", "cycle_b")]
    assert found == pytest.approx(distances[:2], rel=1e-4)
    expected = sum(of_g(on_fake) for _, on_fake in judged)
    expected += 4 * (distances[0] + distances[1]) + 2 * (distances[2] + distances[3])
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)

    step = jax.jit(functools.partial(cyclegan.discriminators_step, system=system))
    after, metrics = step(state, {D_A: a, D_B: b}, fakes)
    assert moved(state, after) == {D_A, D_B}
    for metric, pair in zip(("d_loss_a", "d_loss_b"), judged, strict=True):
        assert float(metrics[metric]) == pytest.approx(of_d(*pair), rel=1e-4)

    for name, (of_d, of_g) in BY_HAND.items():
        other = dataclasses.replace(system, loss=name)
        deceived = cyclegan.deceive(other, state.players, fakes)
        expected = sum(of_g(on_fake) for _, on_fake in judged)
        assert float(deceived) == pytest.approx(expected, rel=1e-4, abs=1e-6)
        for pair in judged:
            found = LOSSES[name].discriminator(*map(jnp.asarray, pair))
            assert float(found) == pytest.approx(of_d(*pair), rel=1e-4, abs=1e-6)


def test_discriminators_see_the_pool_and_critics_are_clipped():
    system, state = tiny_system(pool=6, loss="wasserstein", clip=0.01)
    step = jax.jit(functools.partial(cyclegan.discriminators_step, system=system))
    shown = []
    for number in range(12):
        fakes = {D_A: noise(10 + number), D_B: noise(50 + number)}
        state, _ = step(state, {D_A: noise(1), D_B: noise(2)}, fakes)
        shown.append(fakes)
    for name in (D_A, D_B):
        pool = state.memory[name]
        assert int(pool.filled) == 2
        earlier = np.array([each[name] for each in shown])
        for row in range(3):
            for image in np.asarray(pool.images)[row]:
                assert any(np.array_equal(image, each) for each in earlier[:, row])
        largest = max(
            float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(state.players[name].params)
        )
        assert largest == pytest.approx(0.01)


def test_a_translation_is_learned_without_pairs():
    """A is a light square on dark ground, B a dark square on light ground."""
    system, state = tiny_system(8, 16, features=8, learning_rate=2e-3, cycle_weight=2.0)
    random = np.random.default_rng(0)

    def squares(count):
        images = np.full((count, *SHAPE), -0.8, np.float32)
        for image, (i, j) in zip(images, random.integers(0, 5, (count, 2)), strict=True):
            image[i : i + 4, j : j + 4] = 0.8
        return jnp.asarray(images)

    a, b = squares(256), -squares(256)
    rows = jnp.asarray(random.integers(0, 256, (250, 2, 8)))

    @jax.jit
    def trained(state):
        def body(state, row):
            return cyclegan.step(state, a[row[0]], b[row[1]], system=system)

        return jax.lax.scan(body, state, rows)

    after, metrics = trained(state)
    brightness = [
        float(cyclegan.apply(system.generator, after.players[name], images).mean())
        for name, images in ((G, a[:32]), (F, b[:32]))
    ]
    # Without an adversary that knows the other domain, a cycle alone keeps A dark and B light.
    assert brightness == pytest.approx([float(b.mean()), float(a.mean())], abs=0.2)
    cycle = float(metrics["cycle_a"][-20:].mean())
    assert cycle < 0.3 < float(metrics["cycle_a"][0]), "the best constant image has 0.4"


def test_settings_that_cannot_work_are_refused():
    config = cyclegan_config.get_config("tiny")
    for values in ({"loss": "wasserstein"}, {"clip": 0.1}):
        config = cyclegan_config.get_config("tiny")
        config.update(values)
        with pytest.raises(UserError, match=r"config.clip=.*: wasserstein needs critics with clip"):
            make(config, devices.make_mesh(1))
