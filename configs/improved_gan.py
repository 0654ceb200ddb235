"""Improved GAN with few labels (Salimans et al. 2016): K + 1 classes and feature matching.

python train.py --config=configs/improved_gan.py \\
    --config.data.kind=mnist --config.data.root=DIR   the paper's MNIST experiment, 100 labels
python train.py --config=configs/improved_gan.py:quick    drawn digits, a few minutes on a CPU
python train.py --config=configs/improved_gan.py:tiny     seconds; for tests

--config.unlabelled=False is the control: the same classifier, without unlabelled images. The
authors report the error after the last round, so evaluate with --checkpoint=last.
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
    config = run_settings("improved_gan", rounds=300, batch_size=100)
    config.steps_per_round = 600  # batches in a round: one epoch of MNIST
    config.average_decay = 0.9999  # for the running averages of both players' parameters
    few_labels(config)
    noisy_settings(config)
    config.loss = "feature_matching"  # or non_saturating, with discriminator.kernels=100
    config.smoothing = 0.0  # lowers the label of real images; 0.1 in section 3.4
    config.historical_weight = 0.0  # weight of historical averaging; section 3.3 gives none

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
