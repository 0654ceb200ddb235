"""DCGAN's config: the GAN with the paper's networks and values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dcgan as dcgan_config
from jaxgan.images.networks import pair


def test_the_config_makes_the_papers_networks_at_64():
    config = dcgan_config.get_config()
    networks = pair.make_networks(config, (config.data.size, config.data.size, 3))
    codes, images = jnp.zeros((1, 100)), jnp.zeros((1, 64, 64, 3))
    generator = jax.eval_shape(networks.generator.init, jax.random.key(0), codes)["params"]
    judge = jax.eval_shape(networks.discriminator.init, jax.random.key(0), images)["params"]
    assert generator["Dense_0"]["kernel"].shape == (100, 4 * 4 * 1024)
    assert generator["ConvTranspose_3"]["kernel"].shape == (5, 5, 128, 3)
    assert [judge[f"Conv_{level}"]["kernel"].shape[-1] for level in range(4)] == [64, 128, 256, 512]
    drawn = np.asarray(pair.draw_codes(networks, jax.random.key(0), 100))
    assert 0.99 < np.abs(drawn).max() <= 1
    assert drawn.std() == pytest.approx(1 / np.sqrt(3), rel=0.02)


def test_the_other_values_are_the_papers():
    config = dcgan_config.get_config()
    rates = config.generator_learning_rate, config.discriminator_learning_rate
    assert (config.recipe, config.loss, config.batch_size) == ("gan", "non_saturating", 128)
    assert (*rates, config.adam_b1) == (2e-4, 2e-4, 0.5)
    with pytest.raises(ValueError, match="no preset 'huge': choose one of quick, tiny"):
        dcgan_config.get_config("huge")
