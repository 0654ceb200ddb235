"""CRN: its loss by hand, what a step moves, and images that differ where a layout allows it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import crn as crn_config
from jaxgan.core import devices
from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.errors import UserError
from jaxgan.images.networks.refinement import CascadedRefinement, average_areas
from jaxgan.images.systems import crn
from jaxgan.recipes import make

SIZE, CODES = 8, 3
compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)
RANDOM = np.random.default_rng(0)


def tiny_system(maps=crn.feature_loss.pixels, images=2, features=4, **values):
    config = crn_config.get_config("tiny")
    config.generator.update(smallest=4, images=images, features=features)
    config.update({"codes": CODES, **values})
    system = crn.make_system(config, 1, maps)
    init = functools.partial(crn.initial, system=system, size=SIZE)
    return system, compiled(init)(jax.random.key(0))


def layouts(count):
    """Blocks of 4 x 4 pixels with one of the codes, as the greys -1, 0 and 1."""
    blocks = RANDOM.integers(0, CODES, (count, 2, 2, 1)) - 1
    return jnp.asarray(np.kron(blocks, np.ones((1, 4, 4, 1))), jnp.float32)


def halves(images):
    """The image, and a map of half its size: the distances must know both sizes."""
    pooled = images.reshape(len(images), 4, 2, 4, 2, 1).mean(axis=(2, 4))
    return [images, jnp.concatenate([pooled, pooled**2], axis=-1)]


def plain_loss(a, b, made, share):
    """The loss by loops over layouts, codes, images and maps, in float64."""
    made, b = np.asarray(made, np.float64), np.asarray(b, np.float64)
    codes = np.rint(np.asarray(a)[..., 0] + 1)
    real = [np.asarray(each) for each in halves(b)]
    scales = [np.abs(each).mean() for each in real]
    total = 0.0
    for i in range(len(b)):
        of_made = [[np.asarray(x)[0] for x in halves(each[None])] for each in made[i]]
        for code in range(CODES):
            mask = codes[i] == code
            masks = [mask, mask.reshape(4, 2, 4, 2).mean(axis=(1, 3))]
            found = []
            for maps in of_made:
                parts = [
                    (np.abs(r[i] - m).mean(axis=-1) * w).mean() / scale
                    for r, m, w, scale in zip(real, maps, masks, scales, strict=True)
                ]
                found.append(sum(parts))
            total += (1 - share) * min(found) + share * np.mean(found)
    return total / len(b)


def test_the_loss_by_hand_and_what_a_step_moves():
    system, state = tiny_system(halves, mean_share=0.2)
    a, b = layouts(3), jnp.tanh(jax.random.normal(jax.random.key(1), (3, SIZE, SIZE, 1)))

    @compiled
    def outputs(state):
        one_hot = jax.nn.one_hot(jnp.rint(a[..., 0] + 1).astype(jnp.int32), CODES)
        return crn.generate(system, state.players["generator"], one_hot)

    made = outputs(state)
    assert made.shape == (3, 2, SIZE, SIZE, 1)
    after, metrics = compiled(functools.partial(crn.step, system=system))(state, a, b)
    assert float(metrics["g_loss"]) == pytest.approx(plain_loss(a, b, made, 0.2), rel=1e-4)
    apart = np.abs(np.asarray(made) - np.asarray(b)[:, None]).mean(axis=(2, 3, 4))
    assert float(metrics["l1_best"]) == pytest.approx(apart.min(axis=1).mean(), rel=1e-4)
    between = np.abs(np.asarray(made[:, 0] - made[:, 1])).mean()
    assert float(metrics["diversity"]) == pytest.approx(between, rel=1e-4)
    before, moved = (each.players["generator"].params for each in (state, after))
    assert not all(
        np.array_equal(*pair)
        for pair in zip(jax.tree.leaves(before), jax.tree.leaves(moved), strict=True)
    )


def test_with_one_image_every_layer_is_compared_with_itself():
    """Equation 1 of the paper: no diversity is left, and equal images have no distance."""
    system, _ = tiny_system(halves, images=1)
    b = jnp.tanh(jax.random.normal(jax.random.key(1), (3, SIZE, SIZE, 1)))
    one_hot = jax.nn.one_hot(jnp.rint(layouts(3)[..., 0] + 1).astype(jnp.int32), CODES)
    made = jnp.stack([b, b + 0.5], axis=1)
    found = crn.distances(system, b, made, one_hot)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-6)
    relative = [
        np.abs(np.asarray(x) - np.asarray(y)).mean(axis=(1, 2, 3)) / np.abs(np.asarray(x)).mean()
        for x, y in zip(halves(b), halves(b + 0.5), strict=True)
    ]
    np.testing.assert_allclose(found[:, 1].sum(axis=-1), sum(relative), rtol=1e-5)


def test_the_images_of_a_layout_share_out_what_it_does_not_say():
    """The whole image is light or dark at random: one G hits the middle, two of them both."""
    best = {}
    for k in (1, 2):
        system, state = tiny_system(images=k, learning_rate=2e-2)
        light = jnp.asarray(RANDOM.choice([-0.8, 0.8], (60, 6, 1, 1, 1)), jnp.float32)
        batches = jnp.broadcast_to(light, (60, 6, SIZE, SIZE, 1))
        a = jnp.zeros((6, SIZE, SIZE, 1))

        @compiled
        def trained(state, system=system, a=a, batches=batches):
            return jax.lax.scan(lambda s, b: crn.step(s, a, b, system=system), state, batches)

        _, metrics = trained(state)
        best[k] = float(metrics["l1_best"][-10:].mean())
        if k == 2:
            assert float(metrics["diversity"][-1]) > 1
    assert best[2] < 0.3 < 0.6 < best[1]


def test_areas_are_averaged_exactly():
    images = jnp.asarray(RANDOM.normal(size=(2, 6, 6, 1)), jnp.float32)
    halved = np.asarray(images).reshape(2, 3, 2, 3, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(average_areas(images, (3, 3)), halved, atol=1e-6)
    found = np.asarray(average_areas(images, (4, 4)))
    x = np.asarray(images)[0, ..., 0]
    corner = (x[0, 0] + 0.5 * (x[0, 1] + x[1, 0]) + 0.25 * x[1, 1]) / 2.25
    assert found[0, 0, 0, 0] == pytest.approx(corner, abs=1e-6)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=1e-6)


def test_the_papers_network_has_the_papers_widths():
    """1024 channels below 128 pixels and 512 from there on, see docs/errata.md."""
    network = CascadedRefinement(1024, 9, 3)
    tree = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 256, 256, 20)))
    kernels = [tree["params"][f"Conv_{i}"]["kernel"].shape for i in range(15)]
    assert [kernel[-1] for kernel in kernels] == [1024] * 10 + [512] * 4 + [27]
    assert [kernel[2] for kernel in kernels[::2]] == [20, *[1044] * 5, 532, 512]


def test_layouts_that_cannot_be_used():
    config = crn_config.get_config("tiny")
    config.codes = 4
    with pytest.raises(UserError, match=r"codes=4: layouts have the grey \d+, which is none of 4"):
        make(config, devices.make_mesh(1))
