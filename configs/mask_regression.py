"""Supervised mask regression, the baseline "IRM (L1)" of MetricGAN's paper: the paper's values.

    python train.py --config=configs/mask_regression.py          L1 of linear magnitudes
    python train.py --config=configs/mask_regression.py:log1p    squared error of log1p magnitudes
    python train.py --config=configs/mask_regression.py:quick    a small network, minutes on a CPU
    python train.py --config=configs/mask_regression.py:tiny     seconds, to see that it all runs

The authors' own supervised BLSTM on log1p magnitudes reached 2.74 wide-band PESQ and 0.943 STOI on
VoiceBank-DEMAND with batch 1 (2.67 and 0.942 with batch 8; noisy 1.97 and 0.92).
"""

from collections.abc import Sequence

from ml_collections import ConfigDict

from configs import metricgan
from jaxgan.speech.settings import run_settings, tiny

NETWORK_AND_DATA = (
    *("rounds", "utterances_per_round", "batch_size", "data", "generator"),
    *("generator_learning_rate", "adam_b1", "adam_b2", "gradient_clip"),
    *("learning_rate_decay", "average_decay", "validation"),
)


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "log1p", "quick" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "log1p", "quick", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose log1p, quick or tiny")
    config = run_settings("mask_regression")
    config.score = "pesq_wb"  # selects the best checkpoint; G does not learn from it
    config.score_map = "paper"
    config.distance = "l1"  # the paper's "IRM (L1)"; or mse
    copy_network_and_data(config, metricgan.get_config("quick" if preset == "quick" else None))
    config.validation.scores = ("stoi",)
    if preset == "log1p":
        # The strong supervised baseline: squared error of log1p magnitudes, one utterance a batch.
        config.distance = "mse"
        config.feature = "log1p"
        config.batch_size = 1
        config.generator.normalise = False
        config.generator_learning_rate = 1e-4  # a common value for mask networks at batch 1
    elif preset == "quick":
        config.generator_learning_rate = 1e-3  # as in the warm-up of configs/metricgan.py:quick
    elif preset == "tiny":
        tiny(config)
        shrink_generator(config)
    return config


def copy_network_and_data(config: ConfigDict, other: ConfigDict) -> None:
    """Takes the generator, its optimizer, the data and the rounds from another config.

    The two then differ only in what G learns from.
    """
    copy_keys(config, other, (*NETWORK_AND_DATA, "feature"))


def copy_keys(config: ConfigDict, other: ConfigDict, keys: Sequence[str]) -> None:
    """Takes the values of keys from another config."""
    for key in keys:
        config[key] = other[key]


def shrink_generator(config: ConfigDict) -> None:
    """Makes the mask network so small that a test can train it."""
    config.generator.layers = 1
    config.generator.width = 8
    config.generator.dense = 8
