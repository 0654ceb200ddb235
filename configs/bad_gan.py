"""Bad GAN (Dai et al. 2017): few labels, and a generator that samples around the data.

python train.py --config=configs/bad_gan.py \\
    --config.data.kind=mnist --config.data.root=DIR   the paper's data, 100 labels
python train.py --config=configs/bad_gan.py:quick     drawn digits, minutes on a CPU
python train.py --config=configs/bad_gan.py:tiny      seconds; for tests

--config.unlabelled=False is the control; --config.density_weight=0 --config.pull_away_weight=0
--config.entropy_weight=0 is only feature matching, the paper's baseline. Its samples are not
meant to look like the data.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import few_labels, noisy_settings, run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Numbers without another source are those of the authors' MNIST code.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("bad_gan", rounds=300, batch_size=100)
    config.steps_per_round = 600  # batches in a round: one epoch of MNIST
    config.average_decay = 0.9999  # for both players' averages; Salimans et al. 2016
    few_labels(config)
    noisy_settings(config)  # as in Salimans et al. 2016, whose code the authors extend
    config.generator_learning_rate = 1e-3  # for Adam
    config.entropy_weight = 0.1  # the authors' value for SVHN
    config.pull_away_weight = 0.8  # weight of the similarity within a batch; the authors' for SVHN
    # The weight of the loss on G's samples where the data are dense. It is our choice, as is the
    # density; for a density of all 784 pixels the authors have 1e-4.
    config.density_weight = 0.1
    config.density = ConfigDict()
    config.density.components = 16  # principal components for the estimate; our choice
    config.density.share = 0.1  # share of the data less likely than the threshold

    if preset == "quick":
        # To save time: half of the widths, and a running average that suits few updates.
        config.rounds, config.steps_per_round = 8, 500
        config.average_decay = 0.99
        config.generator.widths = (250, 250)
        config.discriminator.widths = (500, 250, 250)
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.data.labelled, config.labelled_batch_size = 16, 8
        config.latent = 4
        config.generator.widths = config.discriminator.widths = (16,)
    return config
