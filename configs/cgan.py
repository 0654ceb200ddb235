"""Least-squares conditional GAN, the baseline "IRM (CGAN)" of MetricGAN's paper.

    python train.py --config=configs/cgan.py          the paper's networks and rounds
    python train.py --config=configs/cgan.py:quick    small networks, minutes on a CPU
    python train.py --config=configs/cgan.py:tiny     seconds, to see that everything runs

Networks, data and optimizers are those of configs/metricgan.py; the losses differ, see
jaxgan/speech/systems/cgan.py.
"""

from ml_collections import ConfigDict

from configs import metricgan
from configs.mask_regression import copy_network_and_data, shrink_generator
from jaxgan.speech.settings import run_settings, tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "quick" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "quick", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose quick or tiny")
    other = metricgan.get_config("quick" if preset == "quick" else None)
    config = run_settings("cgan")
    config.score = "pesq_wb"  # selects the best checkpoint; no player learns from it
    config.score_map = "paper"
    copy_network_and_data(config, other)
    config.validation.scores = ("stoi",)
    config.discriminator = other.discriminator
    # The weight of the distance from clean speech. The paper uses such a weight but does not print
    # it; this is the one of SEGAN (Pascual et al. 2017) and of pix2pix (Isola et al. 2017).
    config.l1_weight = 100.0
    # The paper's rate for both networks. D's rate in configs/metricgan.py is higher because
    # predicting a score is harder than telling real from fake.
    config.generator_learning_rate = 1e-3
    config.discriminator_learning_rate = 1e-3  # for Adam; the paper's value for both networks

    if preset == "tiny":
        tiny(config)
        shrink_generator(config)
        config.discriminator.channels = (3, 4)
        config.discriminator.kernels = (5, 3)
        config.discriminator.dense = (5,)
    return config
