"""ContrastGAN: its losses by hand, what a step moves, and what is outside of masks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import contrast_gan as contrast_gan_config
from jaxgan.images.data.batches import to_bytes, to_floats
from jaxgan.images.data.masks import find_objects
from jaxgan.images.networks import pair
from jaxgan.images.systems import contrast_gan
from jaxgan.images.systems.contrast_gan import CLASS, D_A, D_B, G

SHAPE = (8, 8, 3)


def tiny_system(**values):
    config = contrast_gan_config.get_config("tiny")
    config.decay.rounds = 0
    config.update(values)
    system = contrast_gan.make_system(config, 3)
    init = functools.partial(contrast_gan.initial, system=system, shape=SHAPE)
    return system, jax.jit(init)(jax.random.key(0))


def pictures(seed):
    """Dark pictures with a light object of 2 x 2 pixels."""
    images = np.random.default_rng(seed).uniform(-1, -0.1, (3, *SHAPE)).astype(np.float32)
    images[:, 3:5, 4:6] += 1.05
    return find_objects(jnp.asarray(images), "light")


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


def q(f, near, far):
    """The loss of the paper's section 3.1 with the root mean square as the distance."""
    near, far = (np.sqrt(np.mean((f - each) ** 2, axis=-1)) for each in (near, far))
    return np.mean(-np.log(np.exp(-near) / (np.exp(-near) + np.exp(-far))))


def test_the_contrasting_loss_by_hand():
    random = np.random.default_rng(0)
    f, far, near = random.normal(size=(5, 4)), random.normal(size=(5, 4)), random.normal(size=4)
    found = contrast_gan.contrast(*map(jnp.asarray, (f, near, far)))
    assert float(found) == pytest.approx(q(f, near, far), rel=1e-4)
    # Nothing is nearer, so both distances are equal.
    assert float(contrast_gan.contrast(jnp.asarray(f), near, near)) == pytest.approx(np.log(2))
    gradient = jax.grad(lambda f: contrast_gan.contrast(f, f[0], f))(jnp.asarray(f))
    assert np.isfinite(gradient).all(), "also where a distance is 0"


def test_the_losses_of_both_steps_by_hand_and_what_they_move():
    system, state = tiny_system(contrast_weight=0.7, cycle_weight=4.0)
    real = {D_A: pictures(1), D_B: pictures(2)}
    other = {D_A: D_B, D_B: D_A}

    @jax.jit
    def outputs(state):
        def move(objects, name):
            seen = jnp.where(objects.masks, objects.images, 0)
            wanted = jnp.full((3, 8, 8, 1), CLASS[name])
            made = system.generator.apply(
                state.players[G].variables, jnp.concatenate([seen, wanted], -1)
            )
            return objects._replace(images=jnp.where(objects.masks, made, objects.images))

        fakes = {name: move(real[other[name]], name) for name in real}
        cycles = [
            jnp.abs(real[other[name]].images - move(fakes[name], other[name]).images).mean()
            for name in real
        ]
        judged = {
            name: [
                pair.with_features(system.discriminator, state.players[name].variables, each.seen)
                for each in (fakes[name], real[other[name]], real[name])
            ]
            for name in real
        }
        return fakes, cycles, judged

    fakes, cycles, judged = jax.device_get(outputs(state))
    expected_g = 4 * sum(cycles)
    expected_d = 0
    for (on_fake, f), (_, f_x), (on_real, f_y) in judged.values():
        center = f_y.mean(axis=0)
        expected_g += 0.7 * q(f, center, f_x) + np.mean((on_fake - 1) ** 2)
        expected_d += 0.7 * q(f, f_x, center)
        expected_d += (np.mean((on_real - 1) ** 2) + np.mean(on_fake**2)) / 2

    step = jax.jit(functools.partial(contrast_gan.generator_step, system=system))
    after, metrics, made = step(state, real)
    assert float(metrics["g_loss"]) == pytest.approx(expected_g, rel=1e-4)
    assert moved(state, after) == {G}
    for name in real:
        np.testing.assert_allclose(made[name].images, fakes[name].images, atol=1e-5)
    step = jax.jit(functools.partial(contrast_gan.discriminators_step, system=system))
    after, metrics = step(state, real, made)
    assert float(metrics["d_loss"]) == pytest.approx(expected_d, rel=1e-4)
    assert moved(state, after) == {D_A, D_B}


def test_everything_outside_the_mask_stays_bit_for_bit():
    config = contrast_gan_config.get_config("tiny")
    _, state = tiny_system()
    values = np.random.default_rng(3).integers(0, 120, (4, *SHAPE), np.uint8)
    values[:3, 2:4, 1:3] = 250
    masks = np.asarray(find_objects(to_floats(jnp.asarray(values)), "light").masks)[..., 0]
    assert masks[:3].any(axis=(1, 2)).all()
    assert not masks[3].any(), "without an object, nothing may change"
    for translate in contrast_gan.make_translations(config, SHAPE).values():
        made = translate(state.players, to_floats(jnp.asarray(values)), jax.random.key(0))
        changed = (np.asarray(to_bytes(made)) != values).any(axis=-1)
        assert not (changed & ~masks).any()
        assert changed[:3].any(axis=(1, 2)).all()
