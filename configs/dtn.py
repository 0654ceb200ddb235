"""Domain Transfer Network: translation that keeps what a classifier sees (Taigman et al. 2017).

python train.py --config=configs/classifier.py:quick    f, for the presets quick; a minute
python train.py --config=configs/dtn.py:quick --config.features=runs/classifier-quick
python train.py --config=configs/dtn.py --config.features=WORKDIR    the paper's values for digits
python train.py --config=configs/dtn.py:tiny            seconds; for tests

--config.data.kind=unpaired --config.data.root=DIR for your own images (docs/translation.md); f is
a classifier of the source domain. --config.feature_weight=0 is the control that keeps no features.
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
    # Rounds and batches are chosen here.
    config = translation_settings("dtn", rounds=50, batch_size=100)
    config.data.size = 32  # pixels of a side; the digits of section 5.1
    config.data.enlarge, config.data.flip = 1.0, False  # a mirrored digit is not a digit
    config.direction = "a_to_b"  # from the source domain to the target domain; or b_to_a
    config.untrained = False  # True: the control whose f has random parameters
    # alpha, of the distance between the features of an image and of its translation; the paper's
    # for digits, and 100 for faces.
    config.feature_weight = 15.0
    # beta, of the distance between a target image and its translation; the paper's for digits, and
    # 1 for faces.
    config.identity_weight = 15.0
    config.variation_weight = 0.0  # gamma, of the total variation; 0.05 in the paper for faces
    config.generator.normalisation = "batch"  # on the activations, section 5.1; or layer, none
    config.discriminator.normalisation = "batch"  # on the activations, section 5.1; or layer, none

    if preset == "quick":
        # Chosen here: narrow networks, which a CPU needs. The source are digits, because
        # configs/classifier.py:quick knows them, and the target are edges.
        config.rounds, config.steps_per_round, config.batch_size = 4, 100, 32
        config.direction = "b_to_a"
        config.generator.features = config.discriminator.features = 16
        config.generator.normalisation = config.discriminator.normalisation = "layer"
        config.learning_rate = 1e-3  # because there are only hundreds of updates
        config.data.train, config.data.valid = 4000, 200
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.untrained = True
        config.generator.features = config.discriminator.features = 2
    return config
