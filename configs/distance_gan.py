"""DistanceGAN: translation in one direction that keeps distances between images, without pairs.

python train.py --config=configs/distance_gan.py          the paper's values (Benaim and Wolf 2017)
python train.py --config=configs/distance_gan.py:quick    edges of digits to digits, CPU, minutes
python train.py --config=configs/distance_gan.py:tiny     seconds; for tests

--config.data.kind=unpaired --config.data.root=DIR for your own images (docs/translation.md).
--config.distance=halves keeps the distance between the halves of an image, and
--config.distance_weight=0 is the control that keeps none.
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
    # The authors' code for the networks of CycleGAN, whose other values it keeps: batches of two
    # images, so that there is a pair in each.
    config = translation_settings("distance_gan", rounds=200, batch_size=2)
    config.steps_per_round = 548  # batches in a round: the 1,096 images of maps of CycleGAN
    config.decay.start = 100  # the round after which the learning rate begins to fall linearly
    config.decay.rounds = 100  # rounds in which it falls to 0; 0: it stays constant
    config.generator.blocks = 9  # residual blocks; 6 for images of 128 x 128, as in CycleGAN
    config.direction = "a_to_b"  # direction of the translation; or b_to_a
    config.distance = "pairs"  # what is compared: pairs of images, or the halves of an image
    config.distance_weight = 1.0  # weight of the distances in G's loss, as in the authors' code
    config.pool = 50  # earlier images that D is shown, as in CycleGAN

    if preset == "quick":
        # Chosen here: narrow networks and larger batches, which a CPU needs.
        config.rounds, config.steps_per_round, config.batch_size = 4, 100, 5
        config.decay.start, config.decay.rounds = 2, 2
        config.generator.features, config.generator.blocks = 8, 2
        config.discriminator.features = 16
        config.learning_rate = 1e-3  # because there are only hundreds of updates
        config.data.train, config.data.valid = 4000, 200
        # A mirrored digit is not a digit, and digits are already drawn shifted and scaled.
        config.data.enlarge, config.data.flip = 1.0, False
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.decay.start = config.decay.rounds = 1
        config.generator.features, config.generator.blocks = 2, 0
        config.discriminator.features = 2
        config.distance_weight = 0.1  # the signs of tiny differences depend on rounding
        config.pool = 16
    return config
