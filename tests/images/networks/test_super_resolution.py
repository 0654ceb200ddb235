"""The networks of SRGAN, and how they change the size of images."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan.images.networks.super_resolution import (
    SRDiscriminator,
    SRResNet,
    reduce_images,
    sub_pixels,
)


def count(network, side):
    tree = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(tree["params"]))


def test_the_papers_networks_have_their_numbers_of_parameters():
    """Figure 4: widths and kernels; D is one convolution after the other, without shortcuts."""
    block = 2 * (9 * 64 * 64 + 64 + 2 * 64) + 1
    ends = 81 * 3 * 64 + 64 + 1 + 81 * 64 * 3 + 3
    doubling = 9 * 64 * 256 + 256 + 1
    expected = ends + 16 * block + (9 * 64 * 64 + 64 + 2 * 64) + 2 * doubling
    assert count(SRResNet(64, 16, 4, 3), 96) == expected
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    layers = sum(9 * a * b + b for a, b in itertools.pairwise(widths))
    hidden = 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    assert count(SRDiscriminator(64, 4), 96) == layers + 2 * sum(widths[2:]) + hidden


def test_sub_pixels_against_a_loop():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 18)).astype(np.float32)
    found = np.asarray(sub_pixels(jnp.asarray(x), 3))
    assert found.shape == (2, 9, 12, 2)
    for b, i, j, c in np.ndindex(found.shape):
        assert found[b, i, j, c] == x[b, i // 3, j // 3, (i % 3 * 3 + j % 3) * 2 + c]


@pytest.mark.parametrize("factor", [2, 4])
def test_reducing_undoes_an_enlargement_by_pillow(factor):
    smooth = np.random.default_rng(0).integers(60, 196, (3, 3), np.uint8)
    small = Image.fromarray(smooth).resize((8, 8), Image.Resampling.BICUBIC)
    large = small.resize((8 * factor,) * 2, Image.Resampling.BICUBIC)

    def pixels(image):
        return np.asarray(image, np.float32)[None, ..., None]

    found = np.asarray(reduce_images(jnp.asarray(pixels(large)), factor))
    by_pillow = large.resize((8, 8), Image.Resampling.BICUBIC)
    assert np.abs(found - pixels(by_pillow)).max() < 1
    assert np.abs(found - pixels(small)).max() < 4
    assert np.abs(found - pixels(small)).mean() < 1
