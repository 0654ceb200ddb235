"""Conditional GAN (Mirza and Osindero 2014): both players are given the class.

python train.py --config=configs/conditional_gan.py           digits, fully connected networks
python train.py --config=configs/conditional_gan.py:quick     the same, a few minutes on a CPU
python train.py --config=configs/conditional_gan.py:ring      eight Gaussians, each a class
python train.py --config=configs/conditional_gan.py:tiny      seconds; for tests
python sample.py --workdir=DIR --label=3 --output=OUT         samples of one class

In the features of configs/classifier.py:quick, `quick` reached eval/label_agreement 0.84 and
eval/fid_glyphs_cnn 31 (after half of its rounds: 0.77 and 105).
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The paper's batch of 100, its 100 uniform latent numbers, and its generator's widest layer of
    # 1,200 units with one of 200 before it. Its D has maxout units of 5 pieces and dropout, and it
    # trains with SGD; LeakyReLUs and Adam (Radford et al. 2016) replace them.
    config = run_settings("conditional_gan", rounds=50, batch_size=100)
    pair_settings(config, "mlp")
    config.latent = 100  # dimensions of a latent code
    config.prior = "uniform"  # the distribution of latent codes, from -1 to 1
    config.generator.widths = (200, 1200)  # sizes of the hidden layers
    config.discriminator.widths = (240, 240)  # sizes of the hidden layers

    if preset == "quick":
        # Chosen here: enough for digits that a classifier recognises.
        config.rounds, config.steps_per_round = 8, 500
        config.latent = 32
        config.generator.widths = config.discriminator.widths = (256, 256)
        config.average_decay = 0.99
    elif preset == "ring":
        # The setting in which configs/gan.py compares losses, with a quarter of the updates.
        config.data.kind = "ring"
        config.rounds, config.steps_per_round = 4, 250
        config.batch_size, config.latent = 256, 2
        config.generator.widths = config.discriminator.widths = (128, 128, 128)
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
        config.data.ring.radius, config.data.ring.sd = 2 / 1.414, 0.02 / 1.414
        config.average_decay = 0.0
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.latent = 2
        config.generator.widths = config.discriminator.widths = (16,)
    return config
