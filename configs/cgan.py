"""Least-squares conditional GAN, the baseline "IRM (CGAN)" of MetricGAN's paper.

    python train.py --config=configs/cgan.py          the paper's networks and rounds
    python train.py --config=configs/cgan.py:quick    small networks, minutes on a CPU

Networks, data and optimizers are those of configs/metricgan.py; what teaches D and G differs, see
jaxgan/speech/systems/cgan_steps.py.
"""

from ml_collections import ConfigDict

from configs import metricgan
from configs.mask_regression import as_rival
from jaxgan.speech.settings import run_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or its preset "quick".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "quick"):
        raise ValueError(f"no preset {preset!r}: choose quick")
    rival = metricgan.get_config(preset)
    config = run_settings("cgan")
    config.score = "pesq_wb"  # decides which checkpoint is the best; no player sees it
    config.score_map = "paper"
    as_rival(config, rival)
    config.validation.scores = ("stoi",)
    config.discriminator = rival.discriminator
    # The paper weights its distance and does not print the weight: that of SEGAN (Pascual et al.
    # 2017) and of pix2pix (Isola et al. 2017).
    config.l1_weight = 100.0
    # The paper's rate for both networks; D's in configs/metricgan.py is high because it has to
    # learn a score, while real and fake it tells apart at once.
    config.generator_learning_rate = 1e-3
    config.discriminator_learning_rate = 1e-3
    return config
