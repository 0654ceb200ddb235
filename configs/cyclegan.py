"""CycleGAN: image translation that is learned without pairs (Zhu et al., ICCV 2017).

python train.py --config=configs/cyclegan.py          the paper's values
python train.py --config=configs/cyclegan.py:quick    digits and edges, minutes on a CPU
python train.py --config=configs/cyclegan.py:tiny     seconds; for tests

--config.data.kind=unpaired --config.data.root=DIR for your own images (docs/translation.md).
--config.cycle_weight=0 is the control without the cycle, --config.pool=0 the one without earlier
images. --config.loss=non_saturating has the cross-entropies of DiscoGAN, and
--config.loss=wasserstein --config.clip=0.01 the clipped critics of DualGAN.
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
    # Section 4 and appendix 7.1 of the paper: batches of one image; 100 epochs with a constant
    # learning rate and 100 in which it falls to 0.
    config = translation_settings("cyclegan", rounds=200, batch_size=1)
    config.steps_per_round = 1096  # batches in a round: the paper's 1,096 images of maps
    config.decay.start = 100  # the round after which the learning rate begins to fall linearly
    config.decay.rounds = 100  # rounds in which it falls to 0; 0: it stays constant
    config.generator.blocks = 9  # residual blocks, appendix 7.2; 6 for images of 128 x 128
    config.loss = "least_squares"  # for all four networks; or non_saturating, wasserstein
    config.clip = 0.0  # limit of D's weights with wasserstein; 0.01 in Arjovsky et al. 2017
    config.cycle_weight = 10.0  # lambda of section 4, of the distance after a whole cycle
    # The weight of the distance between an image and its translation to its own domain; the paper
    # has half of cycle_weight for paintings (section 5.2).
    config.identity_weight = 0.0
    config.pool = 50  # earlier images of each domain that discriminators are shown, section 4

    if preset == "quick":
        # Chosen here: narrow networks and larger batches, which a CPU needs. Without the identity
        # term light and dark are exchanged, which a cycle allows; after more updates at this
        # learning rate, translations become worse again.
        config.rounds, config.steps_per_round, config.batch_size = 4, 50, 5
        config.decay.start, config.decay.rounds = 2, 2
        config.generator.features, config.generator.blocks = 8, 2
        config.discriminator.features = 16
        config.identity_weight = 5.0
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
        config.pool = 16
    return config
