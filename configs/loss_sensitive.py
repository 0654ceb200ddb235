"""Loss-sensitive GAN (Qi 2017); with --config.nu above 0, GLS-GAN.

python train.py --config=configs/loss_sensitive.py         DCGAN's networks, the author's values
python train.py --config=configs/loss_sensitive.py:quick   fully connected networks, minutes
python train.py --config=configs/loss_sensitive.py:ring    eight Gaussians on a circle
python train.py --config=configs/loss_sensitive.py:tiny    seconds; for tests

The author trains on faces of 64 x 64: --config.data.kind=folder --config.data.root=DIR reads your
pictures at that size.
"""

from ml_collections import ConfigDict

from configs import gan
from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("loss_sensitive", rounds=50, batch_size=64)  # 64: the author's code
    pair_settings(config, "dcgan")
    config.generator.features = 64  # channels; the author's code, as all below
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-4  # for Adam
    config.tau = 2e-4  # margin per unit of the L1 distance, for 64 x 64 x 3 values
    config.nu = 0.0  # slope of the cost beyond the margin; 0: the paper's hinge; up to 1: GLS-GAN
    # Weight of the loss of real samples: gamma in the paper, where the term is optional.
    config.real_weight = 0.0
    config.weight_decay = 0.0  # for both players; the author's code mentions 5e-5

    if preset == "quick":
        pair_settings(config, "mlp")
        config.latent = 64
        config.rounds, config.steps_per_round = 6, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        # Scaled so that 28 x 28 x 1 values give the same margin as 64 x 64 x 3 values.
        config.tau = 2e-4 * (64 * 64 * 3) / (28 * 28)
        # Five times the author's, because there are only a few thousand updates.
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
    elif preset == "ring":
        pair_settings(config, "mlp")
        config.data.kind = "ring"
        gan.points(config)
        # Chosen for this task: of the losses compared on it, this one finds the most modes.
        config.tau, config.real_weight, config.weight_decay = 1.0, 1e-3, 1e-4
    elif preset == "tiny":
        tiny(config)
        pair_settings(config, "mlp")
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.nu, config.real_weight, config.weight_decay = 0.1, 0.1, 0.01  # every term
    return config
