"""The U-Net, the residual generator and the discriminator of patches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.networks.patches import PatchDiscriminator, halvings
from jaxgan.images.networks.resnet import ResNetGenerator
from jaxgan.images.networks.unet import UNet


def count(network, shape):
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    tree = jax.eval_shape(network.init, keys, jnp.zeros((1, *shape)))
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_the_papers_networks_have_their_numbers_of_parameters():
    """Convolutions of the papers' widths, biases where no normalisation follows, affine norms."""
    down = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64)]
    kernels = sum(16 * i * o for i, o in [*itertools.pairwise(down), *up, (128, 3)])
    norms = 2 * (sum(down[2:-1]) + sum(o for _, o in up))
    assert count(UNet(64, 0.5, 3), (256, 256, 3)) == kernels + 64 + 512 + 3 + norms
    widths = [(6, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    expected = sum(16 * i * o + o for i, o in widths) + 2 * (128 + 256 + 512)
    assert count(PatchDiscriminator(64), (256, 256, 6)) == expected
    # As the authors' program prints for nine blocks.
    assert count(ResNetGenerator(64, 9, 3), (256, 256, 3)) == 11_378_179


@pytest.mark.parametrize(("side", "field"), [(256, 70), (128, 34), (28, 16)])
def test_the_receptive_field_of_a_patch(side, field):
    network = PatchDiscriminator(1, normalised=False)
    image = jax.random.normal(jax.random.key(0), (1, side, side, 1))
    variables = jax.jit(network.init)(jax.random.key(1), image)
    # Positive weights and inputs: no contribution cancels another.
    variables = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.1, variables)
    shape = jax.eval_shape(network.apply, variables, image).shape
    middle = shape[1] // 2

    @jax.jit
    def slope(image):
        return jax.grad(lambda x: network.apply(variables, x)[0, middle, middle])(image)

    seen = np.asarray(slope(jnp.abs(image)))[0, ..., 0] != 0
    assert (seen.any(axis=0).sum(), seen.any(axis=1).sum()) == (field, field)
    assert seen.sum() == field**2


def test_how_often_patches_are_halved():
    assert [halvings(side) for side in (8, 28, 64, 127, 128, 256, 1024)] == [1, 1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("side", [9, 16])
def test_images_keep_their_size_and_do_not_mix(side):
    """Instance normalisation, so an image of a batch does not influence another."""
    images = jax.random.normal(jax.random.key(0), (2, side, side, 3))
    rngs = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
    for network in (UNet(2, 0.0, 1, smallest=4), ResNetGenerator(2, 1, 1)):
        variables = jax.jit(network.init)(rngs, images)
        apply = jax.jit(lambda x, n=network, v=variables: n.apply(v, x, rngs=rngs))
        both = apply(images)
        assert both.shape == (2, side, side, 1)
        assert float(jnp.abs(both).max()) <= 1
        np.testing.assert_allclose(apply(images.at[1].set(0.3))[0], both[0], atol=1e-5)
        assert float(jnp.abs(both[0] - both[1]).max()) > 1e-4


def test_dropout_is_the_noise_of_the_unet():
    images = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
    for dropout, differ in ((0.5, True), (0.0, False)):
        network = UNet(2, dropout, 1)
        rngs = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
        apply = jax.jit(lambda v, key, n=network: n.apply(v, images, rngs={"dropout": key}))
        variables = jax.jit(network.init)(rngs, images)
        one, other = (apply(variables, jax.random.key(seed)) for seed in (3, 4))
        assert bool(jnp.any(one != other)) == differ


@pytest.mark.parametrize("paths", [1, 2])
def test_every_path_of_the_unet_has_an_encoder_and_reaches_the_result(paths):
    network = UNet(2, 0.0, 1, smallest=4)
    images = list(jax.random.normal(jax.random.key(0), (paths, 2, 8, 8, 1)))

    @jax.jit
    def found():
        variables = network.init(jax.random.key(1), *images)
        results = [network.apply(variables, *images)]
        for path in range(paths):
            changed = [-each if place == path else each for place, each in enumerate(images)]
            results.append(network.apply(variables, *changed))
        return variables["params"], results

    params, (result, *others) = found()
    assert sum(name.startswith("Conv") for name in params) == paths  # a level for each path
    assert result.shape == (2, 8, 8, 1)
    assert all(np.abs(other - result).max() > 0 for other in others)
    # The decoder of both paths reads twice as many channels.
    assert params["Doubling_0"]["kernel"].shape[2] == 2 * paths
    assert jnp.abs(result).max() <= 1
