"""ContrastGAN: the class of an object is changed, and nothing outside its mask (Liang et al. 2018).

python train.py --config=configs/contrast_gan.py          the paper's networks and updates
python train.py --config=configs/contrast_gan.py:quick    threes to eights and back, CPU, minutes
python train.py --config=configs/contrast_gan.py:tiny     seconds; for tests

--config.data.classes="('1','7')" for other classes, of any kind of images (docs/translation.md).
--config.contrast_weight=0 is the control without the contrasting loss.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import tiny, translation_settings

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # As configs/cyclegan.py, on whose networks and cycle the paper builds.
    config = translation_settings("contrast_gan", rounds=200, batch_size=1)
    config.steps_per_round = 1000  # batches in a round; chosen here
    config.decay.start = 100  # the round after which the learning rate begins to fall linearly
    config.decay.rounds = 100  # rounds in which it falls to 0; 0: it stays constant
    config.generator.blocks = 9  # residual blocks; 6 for images of 128 x 128, as in CycleGAN
    config.discriminator.normalisation = "layer"  # applied to the activations; or none; chosen here
    # Digits on coloured grounds: a threes and b eights. The masks of folders are not known.
    config.data.kind = "overlays"
    config.data.pairs = "classes"  # A and B are images of two classes
    config.data.enlarge, config.data.flip = 1.0, False  # a mirrored digit is not a digit
    # What may change of an image: light, the box around its light pixels; or whole.
    config.mask = "light"
    config.contrast_weight = 1.0  # mu, of the contrasting loss; chosen here
    config.cycle_weight = 10.0  # lambda, of the distance after a whole cycle, as in CycleGAN

    if preset == "quick":
        # Chosen here: narrow networks and larger batches, which a CPU needs.
        config.rounds, config.steps_per_round, config.batch_size = 4, 100, 8
        config.decay.start, config.decay.rounds = 2, 2
        config.generator.features, config.generator.blocks = 8, 2
        config.discriminator.features = 16
        config.learning_rate = 1e-3  # because there are only hundreds of updates
        config.data.train, config.data.valid = 10000, 1000
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        # A tenth of them are of either class.
        config.data.train, config.data.valid = 160, 60
        config.validation.samples = 4
        config.decay.start = config.decay.rounds = 1
        config.generator.features, config.generator.blocks = 2, 0
        config.discriminator.features = 2
        # Rounding errors of G's gradient are large in networks as narrow as these.
        config.discriminator.normalisation, config.cycle_weight = "none", 0.1
    return config
