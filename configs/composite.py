"""Composite GAN: images of several layers (Kwak and Zhang 2016).

python train.py --config=configs/composite.py          DCGAN's networks, three layers
python train.py --config=configs/composite.py:quick    two layers, minutes on a CPU
python train.py --config=configs/composite.py:tiny     seconds; for tests

The data are white digits on coloured backgrounds, in which the object is known and never shown.
--config.cover_weight=0 --config.binary_weight=0 is the control, in which one layer takes over.
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
    config = run_settings("composite", rounds=50, batch_size=64)
    config.data.kind = "overlays"  # white digits on coloured backgrounds
    pair_settings(config, "mlp" if preset else "dcgan")
    config.latent = 96  # for all layers together; chosen here, close to DCGAN's 100
    config.generator.layers = 3  # how many layers an image is composed of; chosen here
    config.generator.width = 128  # units of the LSTM; chosen here
    # The paper gives no values. Chosen here on the preset quick: digits cover a sixth of an image;
    # with cover_weight 1 the last layer covers half of it; with binary_weight 10 opacities are 0 or
    # 1 before there are digits, in a pattern of noise.
    config.cover = 0.2
    config.cover_weight = 10.0  # weight of the distance of a layer's mean opacity from `cover`
    config.binary_weight = 2.0  # rewards opacities far from 1/2

    if preset == "quick":
        config.rounds, config.steps_per_round = 4, 500  # with more, the samples become similar
        config.latent = 64
        config.generator.layers = 2
        # A slower D leaves fully connected layers time to form digits.
        config.generator_learning_rate, config.discriminator_learning_rate = 3e-4, 1e-4
        config.generator.widths = config.discriminator.widths = (256, 256)
    elif preset == "tiny":
        tiny(config)
        config.latent = 4
        config.generator.layers, config.generator.width = 2, 4
        config.generator.widths = config.discriminator.widths = (16,)
    return config
