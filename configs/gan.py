"""Generative adversarial network (Goodfellow et al. 2014) with a choice of losses.

python train.py --config=configs/gan.py            digits, fully connected networks
python train.py --config=configs/gan.py:quick      the same, a few minutes on a CPU
python train.py --config=configs/gan.py:ring       eight Gaussians on a circle, a minute
python train.py --config=configs/gan.py:grid25     25 Gaussians
python train.py --config=configs/gan.py:tiny       seconds; for tests
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "grid25", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("gan", rounds=50, batch_size=64)
    pair_settings(config, "mlp")
    config.latent = 64  # dimensions of a latent code
    config.generator.widths = config.discriminator.widths = (512, 512)  # hidden layers
    config.loss = "non_saturating"  # minimax | non_saturating | least_squares | hinge
    config.smoothing = 0.0  # lowers the label of real samples; Salimans et al. 2016 use 0.1
    config.noise = 0.0  # standard deviation of the instance noise at the start
    config.noise_steps = 10_000  # updates of both players until the noise has fallen to 0
    config.packing = 1  # samples that D sees together; Lin et al. 2018 use 2 to 4

    if preset == "quick":
        config.rounds = 10
    elif preset in ("ring", "grid25"):
        config.data.kind = preset
        points(config)
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
    return config


def points(config: ConfigDict) -> None:
    """Sets the networks, the optimizers and the budget for points in the plane.

    The setting in which the losses have been compared: 4,000 updates of G on batches of 256, three
    layers of 128, Adam at 1e-3, 2,500 samples.
    """
    config.rounds, config.steps_per_round = 8, 500
    config.batch_size = 256
    config.latent = 2
    config.generator.widths = config.discriminator.widths = (128, 128, 128)
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
    config.average_decay = 0.0
    config.data.ring.radius, config.data.ring.sd = 2 / 1.414, 0.02 / 1.414
