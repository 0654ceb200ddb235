"""Energy-based GAN with an autoencoder and the pull-away term (Zhao, Mathieu and LeCun 2017).

python train.py --config=configs/ebgan.py          DCGAN's networks; digits
python train.py --config=configs/ebgan.py:quick    fully connected networks, minutes on a CPU
python train.py --config=configs/ebgan.py:tiny     seconds; for tests

For your pictures at 64 x 64, as in the paper: --config.data.kind=folder --config.data.root=DIR
--config.margin=20 for faces, 80 for scenes. --config.pull_away=0 is the paper's EBGAN without PT.
This system does not suit points in the plane, because an autoencoder reconstructs every point.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("ebgan", rounds=50, batch_size=64)
    pair_settings(config, "dcgan")
    del config.discriminator.spectral
    # Dimensions of the code; chosen here, they should be far fewer than the pixels.
    config.discriminator.code = 128
    config.margin = 10.0  # the energy below which D rejects samples; the paper's for MNIST
    config.pull_away = 0.1  # weight of the pull-away term, the paper's

    if preset is not None:
        pair_settings(config, "mlp")
        config.discriminator.code = 32
    if preset == "quick":
        config.latent = 64
        config.rounds, config.steps_per_round = 12, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        # Five times DCGAN's, because there are only a few thousand updates.
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
        # With the paper's 0.1 all samples look alike for 2,500 updates. Energies are near 10 here.
        config.pull_away = 5.0
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.discriminator.code = 4
    return config
