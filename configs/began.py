"""BEGAN, boundary equilibrium GAN (Berthelot, Schumm and Metz 2017).

python train.py --config=configs/began.py          the paper's networks; digits
python train.py --config=configs/began.py:quick    DCGAN's networks, minutes on a CPU
python train.py --config=configs/began.py:ring     eight Gaussians, of which it finds none
python train.py --config=configs/began.py:tiny     seconds; for tests

For your pictures at 64 x 64: --config.data.kind=folder --config.data.root=DIR. Points in the plane
are not for this system: an autoencoder reconstructs every point of the plane.

The preset quick reaches the equilibrium of the two losses, but it does not learn the digits: the
generator stays at grey images that the autoencoder reconstructs well.
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
    config = run_settings("began", rounds=200, batch_size=16)  # 16: the paper's
    pair_settings(config, "mlp" if preset in ("ring", "tiny") else "dcgan")
    if preset is None:
        config.network = "began"
        config.generator = ConfigDict({"features": 128})  # the paper's, as is what follows
        config.discriminator = ConfigDict({"features": 128})
    elif preset == "quick":
        del config.discriminator.spectral
    config.discriminator.code = 64
    config.prior, config.latent = "uniform", 64
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-4
    config.gamma = 0.5  # diversity ratio; the paper shows 0.3 to 0.7
    config.lambda_k = 0.001
    config.halve_every = 100_000  # steps; a widespread port, where the paper watches M

    if preset == "quick":
        config.rounds, config.steps_per_round = 6, 300
        config.batch_size = 64
        config.generator.features = config.discriminator.features = 8
        # Larger than the paper's, because a few thousand updates have to do.
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
        config.lambda_k = 0.01
    elif preset == "ring":
        config.data.kind = "ring"
        gan.points(config)
        config.discriminator.code = 8
        config.lambda_k = 0.01  # larger than the paper's, for the same reason
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.discriminator.code = 4
    return config
