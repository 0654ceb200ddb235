"""LAPGAN: a GAN at each level of a Laplacian pyramid (Denton et al., NeurIPS 2015).

python train.py --config=configs/lapgan.py            the paper's values
python train.py --config=configs/lapgan.py:quick      digits, minutes on a CPU
python train.py --config=configs/lapgan.py:tiny       seconds; for tests

One run trains all levels. To train them one after the other, each by a run of its own:

python train.py --config=configs/lapgan.py --workdir=coarse --config.stages=2
python train.py --config=configs/lapgan.py --workdir=middle --config.stages=1 \
    --config.init_from=coarse --config.init_checkpoint=last
python train.py --config=configs/lapgan.py --workdir=fine --config.stages=0 \
    --config.init_from=middle --config.init_checkpoint=last
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
    config = run_settings("lapgan", rounds=50, batch_size=128)  # the batch of the authors' code
    config.levels = 3  # levels of the pyramid; the paper's CIFAR-10 images have 32, 16 and 8 pixels
    # The levels that learn: all, or the number of one, of which 0 is the finest. The networks of
    # the others come from config.init_from.
    config.stages = "all"
    config.latent = 100  # dimensions of a latent code of the coarsest level, section 4.1
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    # Hidden layers at the coarsest level, section 4.1.
    config.generator.widths = config.discriminator.widths = (600, 600)
    # Channels at the other levels, of the authors' code.
    config.generator.features = config.discriminator.features = 64
    config.discriminator.dropout = 0.5  # the share of values that it removes
    config.optimizer = "sgd"  # for all networks, section 4; or adam
    # Of the optimizer; section 4 begins with 0.5, and raises it slowly. Adam's b1.
    config.momentum = 0.5
    # Section 4; it falls slowly there.
    config.generator_learning_rate = config.discriminator_learning_rate = 0.02

    if preset == "quick":
        # Chosen here: narrow networks, smaller batches, and an optimizer for hundreds of updates.
        config.rounds, config.steps_per_round, config.batch_size = 4, 250, 32
        config.optimizer = "adam"
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
        config.generator.widths = config.discriminator.widths = (256, 256)
        config.discriminator.dropout = 0.0
        config.generator.features, config.discriminator.features = 8, 16
        config.average_decay = 0.99
        config.validation.every = 2
    elif preset == "tiny":
        tiny(config)
        config.generator.widths = config.discriminator.widths = (16,)
        config.discriminator.dropout = 0.0
        config.generator.features = config.discriminator.features = 2
    return config
