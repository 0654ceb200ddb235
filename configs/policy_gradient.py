"""Policy gradient on PESQ or STOI (Koizumi et al. 2018), a baseline of MetricGAN's paper.

    python train.py --config=configs/mask_regression.py --workdir=START
    python train.py --config=configs/policy_gradient.py --config.init_from=START
    python train.py --config=configs/policy_gradient.py:stoi --config.init_from=START
    python train.py --config=configs/policy_gradient.py:quick --config.init_from=QUICK_START

START is a run of configs/mask_regression.py, QUICK_START one of its preset quick: a small change of
a mask changes the score measurably only if the mask is already good. Any score can be used;
computing PESQ takes K times as long as for MetricGAN. The preset tiny runs in
seconds, to see that everything works.
"""

from ml_collections import ConfigDict

from configs import metricgan
from configs.mask_regression import copy_network_and_data, shrink_generator
from jaxgan.speech.settings import run_settings, tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "stoi", "quick" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "stoi", "quick", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose stoi, quick or tiny")
    config = run_settings("policy_gradient")
    copy_network_and_data(config, metricgan.get_config("quick" if preset == "quick" else None))
    config.score = "stoi" if preset == "stoi" else "pesq_wb"
    config.score_map = "paper"
    config.validation.scores = ("pesq_wb",) if preset == "stoi" else ("stoi",)

    # MetricGAN's paper prints none of the following values for this baseline.
    config.samples = 10  # K, masks drawn for each utterance
    # The standard deviation of the masks: small compared with their values, which are between
    # 0.05 and 1, but large enough to change PESQ.
    config.deviation = 0.05
    # A tenth of the rate that the masks were trained with, because the gradient is mostly noise.
    config.generator_learning_rate = 1e-4
    config.deviation_learning_rate = 1e-4  # for the network of the deviations; the same as G's

    if preset == "tiny":
        tiny(config)
        shrink_generator(config)
        config.samples = 2
    return config
