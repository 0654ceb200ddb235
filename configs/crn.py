"""CRN: images of layouts by cascaded refinement, without a GAN (Chen and Koltun, ICCV 2017).

python train.py --config=configs/crn.py          the paper's values
python train.py --config=configs/crn.py:quick    digits, minutes on a CPU
python train.py --config=configs/crn.py:tiny     seconds; for tests

--config.content=features --config.features=WORKDIR compares images in the features of a run of
configs/classifier.py, instead of the paper's VGG-19 (docs/translation.md).
--config.generator.images=1 is the control without diversity.
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
    # Section 4 of the paper: 200 epochs of batches of one image.
    config = translation_settings("crn", rounds=200, batch_size=1)
    config.steps_per_round = 2975  # batches in a round: the paper's images of Cityscapes
    config.data.pairs = "masks"  # A, the layout: classes and levels of brightness
    config.data.enlarge = 1.0  # otherwise layouts would be interpolated
    config.codes = 31  # grey levels of a layout: background, and three for each of ten classes
    config.learning_rate = 1e-4  # for Adam, section 4
    config.adam_b1 = 0.9  # Adam's default
    del config.discriminator
    config.generator.features = 1024  # channels, half as many from 128 pixels on; section 3.2
    config.generator.images = 9  # k, made of each layout, section 3.4; 1: no diversity
    config.generator.smallest = 4  # the greatest side of the first map, section 3.2
    # What images are compared in: pixels, or features: the image and the maps of the classifier
    # that config.features names. The paper has VGG-19's (section 3.3).
    config.content = "pixels"
    # The weight of the mean over the k images, added to the best one's loss; the authors' code.
    config.mean_share = 0.001

    if preset == "quick":
        # Chosen here: few channels and images, and larger batches, which a CPU needs.
        config.rounds, config.steps_per_round, config.batch_size = 4, 100, 8
        config.generator.features, config.generator.images = 32, 4
        # There are only hundreds of updates, also for the images that are seldom the best.
        config.learning_rate, config.mean_share = 1e-3, 0.1
        config.data.train, config.data.valid = 4000, 200
        config.data.flip = False  # a mirrored digit is not a digit
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.generator.features, config.generator.images = 2, 2
        config.generator.smallest = 14
    return config
