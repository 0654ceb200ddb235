import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.data.jitter import jitter

IMAGES = np.random.default_rng(0).uniform(-1, 1, (64, 6, 6, 2)).astype(np.float32)


def test_without_enlargement_images_are_mirrored_or_as_they_were():
    found = np.asarray(jax.jit(jitter, static_argnums=(2, 3))(IMAGES, jax.random.key(0), 1.0, True))
    same = np.array([np.array_equal(one, two) for one, two in zip(found, IMAGES, strict=True)])
    np.testing.assert_array_equal(found[~same], IMAGES[~same][:, :, ::-1])
    assert 10 < same.sum() < 54
    np.testing.assert_array_equal(jitter(IMAGES, jax.random.key(0), 1.0, False), IMAGES)


def test_crops_are_those_of_the_enlarged_image():
    """Twice as large, by plain bilinear interpolation, at one of the 7 x 7 places."""
    found = np.asarray(jitter(IMAGES, jax.random.key(1), 2.0, False))
    at = np.clip((np.arange(12) + 0.5) / 2 - 0.5, 0, 5)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, 5), (at - low).astype(np.float32)
    places = set()
    for image, crop in zip(IMAGES, found, strict=True):
        rows = (1 - share)[:, None, None] * image[low] + share[:, None, None] * image[high]
        whole = (1 - share)[:, None] * rows[:, low] + share[:, None] * rows[:, high]
        distances = {
            (i, j): np.abs(whole[i : i + 6, j : j + 6] - crop).max()
            for i in range(7)
            for j in range(7)
        }
        place = min(distances, key=distances.get)
        assert distances[place] < 1e-5
        places.add(place)
    assert len(places) > 20
    assert max(i for i, _ in places) == max(j for _, j in places) == 6


@pytest.mark.parametrize("key", [0, 3])
def test_a_pair_stays_aligned(key):
    one, other = (
        jitter(images, jax.random.key(key), 1.5, True) for images in (IMAGES, 1 - 2 * IMAGES)
    )
    np.testing.assert_allclose(1 - 2 * jnp.asarray(one), other, atol=1e-5)
