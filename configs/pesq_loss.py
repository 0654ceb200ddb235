"""PESQ itself as the loss: the white-box alternative to MetricGAN, for the same generator.

    python train.py --config=configs/pesq_loss.py
    python train.py --config=configs/pesq_loss.py:tiny    seconds, to see that everything runs

Every score with a gradient (docs/scores.md) can be the loss, for example --config.score=stoi.

With real speech and noise at 0 to 15 dB (clips up to 4 s, speakers and noises of validation unseen,
--config.batch_size=2 --config.utterances_per_round=32) wide-band PESQ by the package `pesq` rose
from 1.47 (noisy) to 2.20 in 4 rounds and 2.57 in 40, at 2 s a round on one core of a CPU. Meanwhile
STOI fell from 0.87 to 0.85 and SI-SDR from 6.6 to -1.7 dB: G degrades what PESQ does not measure.
Look at the other scores of validation, and listen.
"""

from ml_collections import ConfigDict

from configs import metricgan_plus
from configs.mask_regression import copy_network_and_data, shrink_generator
from jaxgan.speech.settings import run_settings, tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "tiny"):
        raise ValueError(f"no preset {preset!r}: choose tiny")
    config = run_settings("score_loss")
    # As in configs/metricgan_plus.py, so that the two differ only in what G learns from.
    copy_network_and_data(config, metricgan_plus.get_config())
    config.score = "pesq_wb"
    config.score_map = "paper"
    config.validation.scores = ("stoi", "si_sdr")  # in addition to config.score; ours
    # Validation then compares the PESQ of the loss with the host's.
    config.scoring.where = "device"

    if preset == "tiny":
        tiny(config)
        shrink_generator(config)
    return config
