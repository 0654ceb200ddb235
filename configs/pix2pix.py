"""pix2pix: image translation that is learned from pairs (Isola et al., CVPR 2017).

python train.py --config=configs/pix2pix.py          the paper's values
python train.py --config=configs/pix2pix.py:quick    edges of digits to digits, minutes on a CPU
python train.py --config=configs/pix2pix.py:tiny     seconds; for tests

--config.data.kind=paired --config.data.root=DIR for your own pairs (docs/translation.md).
--config.adversarial_weight=0 is the control that learns from the mean absolute difference only,
--config.l1_weight=0 the one without it, and --config.conditional=False hides x from D.
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
    # Section 6.2 of the paper: 200 epochs of batches of one image.
    config = translation_settings("pix2pix", rounds=200, batch_size=1)
    config.steps_per_round = 400  # batches in a round: the paper's 400 pairs of facades
    config.direction = "a_to_b"  # direction of the translation; or b_to_a
    config.generator.dropout = 0.5  # the share of values that it removes, section 6.1.1
    config.generator.smallest = 1  # the side of the U-Net's smallest map, section 6.1.1
    config.l1_weight = 100.0  # lambda of section 3.3, of the distance to the target in G's loss
    config.adversarial_weight = 1.0  # weight of D's judgement in G's loss; 0: only the distance
    config.conditional = True  # whether D sees the image that is translated

    if preset == "quick":
        # Chosen here: narrow networks and larger batches, which a CPU needs.
        config.rounds, config.steps_per_round, config.batch_size = 4, 150, 8
        config.generator.features = config.discriminator.features = 16
        config.learning_rate = 1e-3  # because there are only hundreds of updates
        config.data.train, config.data.valid = 4000, 200
        # A mirrored digit is not a digit, and digits are already drawn shifted and scaled.
        config.data.enlarge, config.data.flip = 1.0, False
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.generator.features = config.discriminator.features = 2
        config.generator.smallest = 7
    return config
