"""Wasserstein GAN with weight clipping (Arjovsky, Chintala and Bottou 2017).

python train.py --config=configs/wgan.py           DCGAN's networks, the paper's values; digits
python train.py --config=configs/wgan.py:quick     fully connected networks, minutes on a CPU
python train.py --config=configs/wgan.py:ring      eight Gaussians on a circle
python train.py --config=configs/wgan.py:tiny      seconds; for tests

The paper trains on bedrooms of LSUN: --config.data.kind=folder --config.data.root=DIR reads your
pictures at its size, 64 x 64. On the ring, clipping finds every mode roughly, but places few points
within three standard deviations of one; `wgan_gp` does better.
"""

from ml_collections import ConfigDict

from configs import gan
from jaxgan.images.settings import network_settings, run_settings, tiny

PRESETS = ("quick", "ring", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("wgan", rounds=100, batch_size=64)  # 64: the paper's m
    network_settings(config, "dcgan")
    # Channels; the authors' code, like all values below that are not the paper's.
    config.generator.features = 64
    # For RMSprop; the paper.
    config.generator_learning_rate = config.discriminator_learning_rate = 5e-5
    config.rmsprop_decay = 0.99  # decay of the mean of squared gradients
    config.momentum = 0.0  # for RMSprop
    config.critic_steps = 5  # n_critic of the paper: updates of the critic for one of G
    # Updates of the critic before the first 25 of G and before every 500th; 0: always critic_steps.
    config.thorough_critic_steps = 100
    config.clip = 0.01  # largest weight of the critic, c of the paper

    if preset == "quick":
        network_settings(config, "mlp")
        config.latent = 64
        config.rounds, config.steps_per_round = 6, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        # Ten times the paper's, because there are only a few thousand updates.
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
    elif preset == "ring":
        network_settings(config, "mlp")
        config.data.kind = "ring"
        gan.points(config)
        # Ten times the paper's: with that, none of 2,500 points is within three sd of a mode.
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
        config.clip = 0.1
        config.thorough_critic_steps = 0
    elif preset == "tiny":
        tiny(config)
        network_settings(config, "mlp")
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.critic_steps, config.thorough_critic_steps = 2, 3
    return config
