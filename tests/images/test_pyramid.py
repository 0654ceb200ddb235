"""The Laplacian pyramid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.pyramid import WEIGHTS, bands, expand, expansion, levels, rebuild, reduce


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 9, 3)])
def test_a_pyramid_inverts(shape):
    images = jax.random.uniform(jax.random.key(0), (4, *shape), minval=-1)
    pyramid = bands(images, 3)
    assert [each.shape[1] for each in pyramid] == [shape[0], -(-shape[0] // 2), -(-shape[0] // 4)]
    assert float(jnp.abs(rebuild(pyramid) - images).max()) < 1e-6
    np.testing.assert_array_equal(levels(images, 3)[2], pyramid[-1])


def test_reducing_and_expanding_against_a_loop():
    """Burt and Adelson 1983, equations 1 and 2, inside the borders."""
    image = np.random.default_rng(0).normal(size=(1, 12, 12, 1)).astype(np.float32)
    small = np.asarray(reduce(jnp.asarray(image)))[0, ..., 0]
    large = np.asarray(expand(jnp.asarray(small)[None, ..., None], (12, 12)))[0, ..., 0]
    for i, j in np.ndindex(4, 4):
        i, j = i + 1, j + 1
        around = image[0, 2 * i - 2 : 2 * i + 3, 2 * j - 2 : 2 * j + 3, 0]
        assert small[i, j] == pytest.approx(WEIGHTS @ around @ WEIGHTS, abs=1e-5)
    for i, j in np.ndindex(8, 8):
        i, j = i + 2, j + 2
        expected = sum(
            4 * WEIGHTS[m + 2] * WEIGHTS[n + 2] * small[(i - m) // 2, (j - n) // 2]
            for m in range(-2, 3)
            for n in range(-2, 3)
            if (i - m) % 2 == 0 and (j - n) % 2 == 0
        )
        assert large[i, j] == pytest.approx(expected, abs=1e-5)


def test_a_flat_image_has_no_bands():
    *finer, coarsest = bands(jnp.full((1, 7, 10, 1), 0.3), 2)
    assert float(jnp.abs(finer[0]).max()) < 1e-6
    np.testing.assert_allclose(coarsest, 0.3, rtol=1e-6)
    np.testing.assert_allclose(expansion(7).sum(axis=1), 1, rtol=1e-6)
