"""WGAN with gradient penalty (Gulrajani et al. 2017).

python train.py --config=configs/wgan_gp.py           DCGAN's networks, the paper's values; digits
python train.py --config=configs/wgan_gp.py:quick     fully connected networks, minutes on a CPU
python train.py --config=configs/wgan_gp.py:ring      eight Gaussians on a circle
python train.py --config=configs/wgan_gp.py:grid25    25 Gaussians
python train.py --config=configs/wgan_gp.py:tiny      seconds; for tests

--config.data.kind=folder --config.data.root=DIR reads your pictures at 64 x 64, the size of the
paper's comparison of architectures.
"""

from ml_collections import ConfigDict

from configs import gan
from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "grid25", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("wgan_gp", rounds=200, batch_size=64)  # the authors' code for 64 x 64
    pair_settings(config, "dcgan")
    config.latent = 128  # dimensions of a latent code; the authors' code
    config.generator.features = 64  # channels; the authors' code
    config.discriminator.normalisation = "layer"  # section 4: it replaces batch normalisation
    # Decay of the means of gradients and of their squares; algorithm 1.
    config.adam_b1, config.adam_b2 = 0.0, 0.9
    # Learning rates of Adam; algorithm 1.
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-4
    config.critic_steps = 5  # n_critic: updates of the critic for one of G; algorithm 1
    config.gradient_penalty = 10.0  # lambda, its weight; algorithm 1

    if preset is not None:
        pair_settings(config, "mlp")
        # The authors' code for points and for MNIST.
        config.adam_b1, config.adam_b2 = 0.5, 0.9
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-4
    if preset == "quick":
        config.latent = 64
        config.rounds, config.steps_per_round = 6, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        # Five times the authors', because there are only a few thousand updates.
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
    elif preset in ("ring", "grid25"):
        config.data.kind = preset
        gan.points(config)
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-4
        config.gradient_penalty = 0.1  # the authors' code for points; 10 finds no mode here
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.critic_steps = 2
    return config
