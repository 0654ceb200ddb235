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
    config.steps_per_round = 468
    config.learning_rate = 1e-3
    config.average_decay = 0.99  # over a hundred steps, so that the first rounds have a use for it
    config.network = "mlp" if preset in ("mlp", "tiny") else "cnn"
    # 64 features: 2,000 held-out images have covariances of 64 features, and two halves as well.
    config.cnn = ConfigDict({"features": 32, "hidden": 64})
    config.mlp = ConfigDict({"widths": (256, 64)})

    if preset == "quick":
        config.rounds, config.steps_per_round = 4, 150
        config.cnn.features = 16
    elif preset == "tiny":
        tiny(config)
        config.cnn = ConfigDict({"features": 4, "hidden": 8})
        config.mlp.widths = (16, 8)
    del config.features, config.validation.samples  # it generates nothing
    return config
