"""DCGAN (Radford, Metz and Chintala, ICLR 2016): the GAN with the paper's convolutional networks.

python train.py --config=configs/dcgan.py          the paper's values; digits
python train.py --config=configs/dcgan.py:quick    small networks, minutes on a CPU
python train.py --config=configs/dcgan.py:tiny     seconds; for tests

The paper trains on pictures of 64 x 64: --config.data.kind=folder --config.data.root=DIR reads
yours at that size. The networks then have the paper's layers; smaller images have fewer of them.
"""

from ml_collections import ConfigDict

from configs import gan
from jaxgan.images.settings import pair_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = gan.get_config()
    pair_settings(config, "dcgan")  # section 4, as are the values below
    config.batch_size = 128  # images of a minibatch
    config.prior = "uniform"  # the distribution of latent codes, from -1 to 1

    if preset == "quick":
        # Small networks and five times the paper's learning rate, for a budget of 1,200 updates.
        config.rounds, config.steps_per_round = 4, 300
        config.batch_size = 64
        config.generator.features = config.discriminator.features = 8
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
        config.average_decay = 0.99
    elif preset == "tiny":
        tiny(config)
        config.generator.features = config.discriminator.features = 2
        config.latent = 4
    return config
