"""A classifier of images, in whose features generators of the same images are measured.

python train.py --config=configs/classifier.py --config.data.kind=mnist --config.data.root=DIR
python train.py --config=configs/classifier.py:quick      drawn digits, about a minute on a CPU
python train.py --config=configs/classifier.py:mlp        fully connected, for small images
python train.py --config=configs/classifier.py:tiny       seconds; for tests

A generator is then trained with --config.features=WORKDIR of this run.

eval/accuracy: 1.0 with `quick`; 0.9897 on MNIST, and 0.9146 on Fashion-MNIST after six rounds.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import run_settings, tiny

PRESETS = ("quick", "mlp", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # Ten epochs of MNIST in batches of 128, with Adam's own learning rate. The channels are those
    # of flax's MNIST example.
    config = run_settings("classifier", rounds=10, batch_size=128)
    config.steps_per_round = 468  # batches in a round: an epoch of MNIST
    config.learning_rate = 1e-3  # for Adam
    # Decay of the running average, over a hundred steps so that the first rounds use it.
    config.average_decay = 0.99
    config.network = "mlp" if preset in ("mlp", "tiny") else "cnn"  # cnn or mlp
    # 64 features: 2,000 held-out images have covariances of 64 features, and two halves as well.
    config.cnn = ConfigDict()
    config.cnn.features = 32  # channels of the first convolution
    config.cnn.hidden = 64  # units of the hidden layer, which are the features; see above
    config.mlp = ConfigDict({"widths": (256, 64)})  # hidden layers; the last gives the features

    if preset == "quick":
        config.rounds, config.steps_per_round = 4, 150
        config.cnn.features = 16
    elif preset == "tiny":
        tiny(config)
        config.cnn = ConfigDict({"features": 4, "hidden": 8})
        config.mlp.widths = (16, 8)
    del config.features, config.validation.samples  # it generates nothing
    return config
