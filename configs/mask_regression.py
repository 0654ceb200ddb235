"""Supervised mask regression, the baseline "IRM (L1)" of MetricGAN's paper: the paper's values.

    python train.py --config=configs/mask_regression.py          L1 of linear magnitudes
    python train.py --config=configs/mask_regression.py:log1p    squared error of log1p magnitudes
    python train.py --config=configs/mask_regression.py:quick    a small network, minutes on a CPU

The authors' own supervised BLSTM on log1p magnitudes reached 2.74 wide-band PESQ and 0.943 STOI on
VoiceBank-DEMAND with batch 1 (2.67 and 0.942 with batch 8; noisy 1.97 and 0.92).
"""

from ml_collections import ConfigDict

from configs import metricgan
from jaxgan.speech.settings import run_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or one of its presets: "log1p" or "quick".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "log1p", "quick"):
        raise ValueError(f"no preset {preset!r}: choose log1p or quick")
    config = run_settings("mask_regression")
    config.score = "pesq_wb"  # decides which checkpoint is the best; G never sees it
    config.score_map = "paper"
    config.distance = "l1"  # the paper's "IRM (L1)"; or mse
    as_rival(config, metricgan.get_config("quick" if preset == "quick" else None))
    config.validation.scores = ("stoi",)
    if preset == "log1p":
        # The strong supervised anchor: squared error of log1p magnitudes, utterance by utterance.
        config.distance = "mse"
        config.feature = "log1p"
        config.batch_size = 1
        config.generator.normalise = False
        config.generator_learning_rate = 1e-4  # usual for a mask network at batch 1
    elif preset == "quick":
        config.generator_learning_rate = 1e-3  # the warm-up's in configs/metricgan.py:quick
    return config


def as_rival(config: ConfigDict, rival: ConfigDict) -> None:
    """The same network, data, rounds and optimizer as another config's.

    So the two differ in what teaches G alone.
    """
    for key in (
        *("rounds", "utterances_per_round", "batch_size", "data", "feature", "generator"),
        *("generator_learning_rate", "adam_b1", "adam_b2", "gradient_clip"),
        *("learning_rate_decay", "average_decay", "validation"),
    ):
        config[key] = rival[key]
