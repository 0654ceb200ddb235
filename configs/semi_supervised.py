"""Semi-supervised GAN (Odena 2016): a discriminator with a class for generated images.

python train.py --config=configs/semi_supervised.py \\
    --config.data.kind=mnist --config.data.root=DIR   the paper's data, 100 labels
python train.py --config=configs/semi_supervised.py:quick     drawn digits, minutes on a CPU
python train.py --config=configs/semi_supervised.py:tiny      seconds; for tests

--config.unlabelled=False is the control, --config.data.labelled=50 the number of labels. The paper
gives no networks and no optimizer; these are DCGAN's (Radford et al. 2016).
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import few_labels, pair_settings, run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("semi_supervised", rounds=50, batch_size=64)
    few_labels(config)
    config.labelled_batch_size = 20  # a fifth of the labels, so that each step is another batch
    pair_settings(config, "mlp" if preset else "dcgan")
    config.loss = "minimax"  # the loss of G; or non_saturating

    if preset == "quick":
        # Fully connected networks to save time, and a loss of G that is not the paper's but whose
        # gradient does not vanish.
        config.rounds, config.steps_per_round = 5, 1000
        config.loss = "non_saturating"
        config.latent = 64
        config.generator.widths, config.discriminator.widths = (256, 256), (500, 250)
        config.average_decay = 0.99
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.data.labelled, config.labelled_batch_size = 16, 8
        config.generator.widths = config.discriminator.widths = (16,)
    return config
