"""DistanceGAN: its losses by hand, what a step moves, and what the term of distances measures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import distance_gan as distance_gan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.distances import Statistics
from jaxgan.images.systems import distance_gan
from jaxgan.recipes import make

SHAPE = (8, 8, 1)
STATISTICS = Statistics(0.7, 0.2), Statistics(0.4, 0.1)


def tiny_system(batch_size=3, pool=0, **values):
    config = distance_gan_config.get_config("tiny")
    config.decay.rounds = 0
    config.update(values)
    system = distance_gan.make_system(config, 1, STATISTICS)
    sizes = {"shape": SHAPE, "batch_size": batch_size, "pool": pool}
    init = functools.partial(distance_gan.initial, system=system, **sizes)
    return system, jax.jit(init)(jax.random.key(0))


def noise(seed):
    return jnp.tanh(jax.random.normal(jax.random.key(seed), (3, *SHAPE)))


def same(one, other, name):
    leaves = zip(*(jax.tree.leaves(each.players[name]) for each in (one, other)), strict=True)
    return all(np.array_equal(*pair) for pair in leaves)


def test_distances_by_hand():
    images = noise(3)
    values = np.asarray(images, np.float64)
    halves = [np.abs(image[:, :4] - image[:, 4:]).mean() for image in values]
    np.testing.assert_allclose(distance_gan.distances(images, "halves"), halves, rtol=1e-5)
    pairs = [np.abs(values[i] - values[(i + 1) % 3]).mean() for i in range(3)]
    np.testing.assert_allclose(distance_gan.distances(images, "pairs"), pairs, rtol=1e-5)


def test_the_losses_of_a_step_by_hand_and_what_its_parts_move():
    system, state = tiny_system(direction="b_to_a", distance_weight=3.0)
    x, y = noise(1), noise(2)

    @jax.jit
    def outputs(state):
        g, d = (state.players[name].variables for name in ("generator", "discriminator"))
        fake = system.generator.apply(g, x)
        return fake, system.discriminator.apply(d, y), system.discriminator.apply(d, fake)

    fake, *judged = outputs(state)
    on_real, on_fake = (np.asarray(each, np.float64) for each in judged)
    of_x, of_y = STATISTICS
    distances = (distance_gan.distances(each, "pairs") for each in (x, fake))
    before, after = (np.asarray(each, np.float64) for each in distances)
    kept = np.mean(abs((before - of_x.mean) / of_x.sd - (after - of_y.mean) / of_y.sd))

    metrics = jax.jit(functools.partial(distance_gan.step, system=system))(state, y, x)[1]
    assert float(metrics["distance"]) == pytest.approx(kept, rel=1e-4)
    expected = np.mean((on_fake - 1) ** 2) + 3 * kept
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)
    expected = (np.mean((on_real - 1) ** 2) + np.mean(on_fake**2)) / 2
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)

    step = jax.jit(functools.partial(distance_gan.generator_step, system=system))
    moved, _, made = step(state, x)
    np.testing.assert_allclose(made, fake, atol=1e-5)
    assert same(state, moved, "discriminator")
    assert not same(state, moved, "generator")
    step = jax.jit(functools.partial(distance_gan.discriminator_step, system=system))
    moved, _ = step(state, y, made)
    assert same(state, moved, "generator")
    assert not same(state, moved, "discriminator")


def test_only_the_place_among_the_distances_of_the_own_domain_counts():
    before = jnp.array([0.5, 0.9, 0.7])
    of_x, of_y = STATISTICS
    # As far from the mean in standard deviations.
    alike = (before - of_x.mean) / of_x.sd * of_y.sd + of_y.mean
    assert float(distance_gan.distance_loss(before, alike, of_x, of_y)) == pytest.approx(
        0, abs=1e-5
    )
    reversed_order = distance_gan.distance_loss(before, alike[jnp.array([1, 0, 2])], of_x, of_y)
    assert float(reversed_order) == pytest.approx(4 / 3, rel=1e-4)


def test_images_that_are_all_equal_have_no_distances_to_keep(tmp_path):
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        for number in range(12):
            Image.new("L", (8, 8), 50).save(tmp_path / folder / f"{number}.png")
    config = distance_gan_config.get_config("tiny")
    config.data.update({"kind": "unpaired", "root": str(tmp_path), "size": 8, "channels": 1})
    with pytest.raises(UserError, match=r"config.distance=pairs: all distances between the train"):
        make(config, devices.make_mesh(1))
