"""InfoGAN (Chen et al. 2016): a GAN whose codes explain its samples, without labels.

python train.py --config=configs/infogan.py           digits, convolutional networks; for a GPU
python train.py --config=configs/infogan.py:quick     fully connected, a few minutes on a CPU
python train.py --config=configs/infogan.py:ring      a category for each of eight Gaussians
python train.py --config=configs/infogan.py:tiny      seconds; for tests

`ring` reaches eval/clustering_accuracy 1.0 (0.51 with config.category_weight=0). `quick` reaches
0.32 on drawn digits, from 0.20: its categories are not the ten digits.
On MNIST, 8 channels and 2,000 updates on batches of 64 gave 0.45 (one seed, still rising; k-means
on pixels 0.475) in an earlier version, in which Q was linear in D's convolutions, without hidden
layers. It recognised the category of G's samples almost without error: the bound was 2.27 of at
most log 10 = 2.30.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The authors' code for MNIST: 50 epochs of 100 updates on batches of 128, 62 uniform latent
    # numbers, a category of ten and two continuous codes, Adam with b1 0.5 at 2e-4 for D and 1e-3
    # for G, D with 64 channels in its first layer and the dense layers below. The convolutions, and
    # G with as many channels, are DCGAN's.
    config = run_settings("infogan", rounds=50, batch_size=128)
    config.steps_per_round = 100  # batches of an epoch in the authors' code
    pair_settings(config, "dcgan" if preset is None else "mlp")
    config.latent = 62  # dimensions of a latent code, besides those that Q recognises
    config.prior = "uniform"  # the distribution of latent codes, from -1 to 1
    config.categories = 10  # values of the categorical code
    config.continuous = 2  # codes from -1 to 1
    config.generator_learning_rate = 1e-3  # for Adam
    config.category_weight = 1.0  # lambda of the paper, for the categorical code
    config.continuous_weight = 0.1  # lambda for the continuous codes; smaller, as the paper says
    if preset is None:
        # Channels of G's largest hidden map and of D's first layer.
        config.generator.features = config.discriminator.features = 64
        config.discriminator.shared = 1024  # units of the dense layer that D and Q share
        config.discriminator.recognition = 128  # units of Q's own hidden layer
        del config.discriminator.spectral

    if preset == "quick":
        # Chosen here to take a few minutes on a CPU.
        config.rounds, config.steps_per_round = 8, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        config.average_decay = 0.99
    elif preset == "ring":
        # The setting in which configs/gan.py compares losses, with a quarter of the updates.
        config.data.kind = "ring"
        config.rounds, config.steps_per_round = 4, 250
        config.batch_size, config.latent = 256, 2
        config.categories, config.continuous = 8, 0
        config.generator.widths = config.discriminator.widths = (128, 128, 128)
        config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
        config.data.ring.radius, config.data.ring.sd = 2 / 1.414, 0.02 / 1.414
        config.average_decay = 0.0
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.latent, config.categories, config.continuous = 2, 4, 1
        config.generator.widths = config.discriminator.widths = (16,)
    return config
