"""StackGAN: images of texts in two stages (Zhang et al., ICCV 2017).

python train.py --config=configs/stackgan.py          the paper's values
python train.py --config=configs/stackgan.py:quick    digits, minutes on a CPU
python train.py --config=configs/stackgan.py:tiny     seconds; for tests
python sample.py --workdir=DIR --label="dark wide 3" --output=OUT

One run trains both stages, one after the other. To train each by a run of its own:

python train.py --config=configs/stackgan.py --workdir=small --config.stages=1 --config.rounds=600
python train.py --config=configs/stackgan.py --workdir=large --config.stages=2 --config.rounds=600 \
    --config.init_from=small --config.init_checkpoint=last
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # Section 4.1 of the paper: 600 epochs of either stage, in batches of 64. Its learning rate is
    # halved every 100 epochs, and this one stays.
    config = run_settings("stackgan", rounds=1200, batch_size=64)
    config.steps_per_round = 138  # batches in a round: the paper's 8,855 training images of birds
    config.data.size = 256  # pixels of a side, kind folder; section 4
    config.data.labels = "captions"  # "dark wide NAME", made of images and classes
    # The stages that learn: all, one after the other, 1, or 2 with the first from config.init_from.
    config.stages = "all"
    config.first_rounds = 600  # of the first stage if all learn, section 4.1
    config.factor = 4  # by which images of the first stage are smaller, section 4: 64 and 256
    config.latent = 100  # numbers of z, section 4.1
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    config.generator.condition = 128  # numbers of c, section 4.1
    config.generator.augmented = True  # False: c is the mean, without a divergence in the loss
    config.generator.features = 128  # channels of its largest hidden map, of the authors' code
    config.generator.smallest = 16  # the side of the second stage's smallest map, section 3.4
    config.generator.blocks = 4  # residual ones of the second stage, section 3.4
    config.discriminator.features = 64  # channels of its first layer, of the authors' code
    config.discriminator.text = 128  # numbers of the compressed text, section 4.1
    # How activations are normalised: batch (section 4.1), layer or none.
    config.generator.normalisation = config.discriminator.normalisation = "batch"
    # lambda, of the mean divergence of conditions; 1 in section 3.2, and 2 in the authors' code,
    # which has the mean.
    config.kl_weight = 2.0
    config.learning_rate = 2e-4  # of Adam for all networks, section 4.1
    # Decay of the means of gradients (of the authors' code) and of their squares.
    config.adam_b1, config.adam_b2 = 0.5, 0.999

    if preset == "quick":
        # Chosen here: narrow networks, and a larger rate because thousands of updates have to do. c
        # keeps the paper's 128 numbers: kl_weight is of the mean over them, so with fewer, what c
        # says about the caption costs more. With 16, a classifier saw the class of the caption in
        # 24 % of the first stage's samples after 500 updates, and in 34 % with 128 (one seed).
        config.rounds, config.first_rounds, config.steps_per_round = 20, 16, 125
        config.batch_size, config.factor = 32, 2
        config.latent, config.discriminator.text = 32, 16
        config.generator.features, config.discriminator.features = 16, 16
        config.generator.smallest, config.generator.blocks = 7, 1
        config.learning_rate = 1e-3
        config.average_decay = 0.98
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.first_rounds, config.factor, config.latent = 1, 4, 4
        config.generator.condition = config.discriminator.text = 2
        config.generator.features = config.discriminator.features = 1
        config.generator.smallest, config.generator.blocks = 14, 0
        config.generator.normalisation = config.discriminator.normalisation = "none"
    return config
