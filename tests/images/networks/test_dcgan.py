"""The convolutional networks: shapes, parameters, and where they normalise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.networks import dcgan


@pytest.mark.parametrize(
    ("side", "sides"),
    [(64, [4, 8, 16, 32, 64]), (32, [4, 8, 16, 32]), (28, [4, 7, 14, 28]), (4, [4])],
)
def test_sides_halve_down_to_four(side, sides):
    assert dcgan.sizes(side) == sides


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 7, 1)])
def test_images_have_the_asked_shape_and_range(shape):
    network = dcgan.Generator(shape, features=2)
    codes = jax.random.normal(jax.random.key(0), (5, 6))
    images, _ = network.init_with_output(jax.random.key(1), codes)
    assert images.shape == (5, *shape)
    assert np.abs(images).max() <= 1


def test_the_papers_generator_has_the_papers_shapes():
    network = dcgan.Generator((64, 64, 3), features=128)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 100)))["params"]
    kernels = [shapes[f"ConvTranspose_{level}"]["kernel"].shape for level in range(4)]
    assert kernels == [(5, 5, 1024, 512), (5, 5, 512, 256), (5, 5, 256, 128), (5, 5, 128, 3)]
    assert shapes["Dense_0"]["kernel"].shape == (100, 4 * 4 * 1024)


def test_the_exceptions_from_batch_normalisation():
    """None after the generator's last and the discriminator's first layer (section 3)."""
    images, codes = jnp.zeros((2, 16, 16, 1)), jnp.zeros((2, 3))
    generator = dcgan.Generator((16, 16, 1), 2).init(jax.random.key(0), codes)
    discriminator = dcgan.Discriminator(2).init(jax.random.key(0), images)
    of_generator = {name for name in generator["params"] if name.startswith("BatchNorm")}
    of_discriminator = {name for name in discriminator["params"] if name.startswith("BatchNorm")}
    assert len(of_generator) == 2  # after the dense layer and the first of two convolutions
    assert len(of_discriminator) == 1  # after the second of two convolutions
    assert "bias" in generator["params"]["ConvTranspose_1"]
    assert "bias" in discriminator["params"]["Conv_0"]
    assert "bias" not in discriminator["params"]["Conv_1"]


def test_weights_are_drawn_from_a_normal_distribution_of_sd_002():
    images = jnp.zeros((1, 16, 16, 1))
    params = dcgan.Discriminator(32).init(jax.random.key(0), images)["params"]
    assert np.std(params["Conv_1"]["kernel"]) == pytest.approx(0.02, rel=0.02)


def test_a_spectral_discriminator_is_1_lipschitz_in_its_last_layer():
    network = dcgan.Discriminator(4, normalisation="none", spectral=True)
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = network.init(jax.random.key(1), images)
    for _ in range(30):  # the power iteration converges over the steps
        _, state = network.apply(variables, images, mutable=["batch_stats"])
        variables = {**variables, **state}
    names = [name for name in variables["batch_stats"] if "SpectralNorm" in name]
    assert len(names) == 2
    kernel = variables["params"]["Dense_0"]["kernel"]
    largest = np.linalg.norm(kernel, 2)
    sigma = variables["batch_stats"]["SpectralNorm_1"]["Dense_0/kernel/sigma"]
    assert float(sigma) == pytest.approx(largest, rel=1e-3)


def test_evaluation_does_not_depend_on_the_company_in_the_batch():
    network = dcgan.Generator((8, 8, 1), 2)
    codes = jax.random.normal(jax.random.key(0), (4, 3))
    variables = network.init(jax.random.key(1), codes)
    whole = network.apply(variables, codes, train=False)
    np.testing.assert_allclose(
        network.apply(variables, codes[:1], train=False), whole[:1], atol=1e-6
    )
