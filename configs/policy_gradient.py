"""Policy gradient on PESQ or STOI (Koizumi et al. 2018), a baseline of MetricGAN's paper.

    python train.py --config=configs/mask_regression.py --workdir=START
    python train.py --config=configs/policy_gradient.py --config.init_from=START
    python train.py --config=configs/policy_gradient.py:stoi --config.init_from=START
    python train.py --config=configs/policy_gradient.py:quick --config.init_from=QUICK_START

START is a run of configs/mask_regression.py, QUICK_START one of its preset quick: masks have to be
good before small changes of them can be told apart. Every score will do; PESQ's time is K times
that of MetricGAN.
"""

from ml_collections import ConfigDict

from configs import metricgan
from configs.mask_regression import as_rival
from jaxgan.speech.settings import run_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or one of its presets: "stoi" or "quick".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "stoi", "quick"):
        raise ValueError(f"no preset {preset!r}: choose stoi or quick")
    config = run_settings("policy_gradient")
    as_rival(config, metricgan.get_config("quick" if preset == "quick" else None))
    config.score = "stoi" if preset == "stoi" else "pesq_wb"
    config.score_map = "paper"
    config.validation.scores = ("pesq_wb",) if preset == "stoi" else ("stoi",)

    # MetricGAN's paper prints none of what follows for its baseline.
    config.samples = 10  # K, masks drawn for each utterance
    # Of the masks, which lie between 0.05 and 1: small against them, and PESQ still hears it.
    config.deviation = 0.05
    # A tenth of the rate that the masks were learned with: the gradient is all noise but a little.
    config.generator_learning_rate = 1e-4
    config.deviation_learning_rate = 1e-4
    return config
