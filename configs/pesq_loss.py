"""PESQ itself as the loss: the white-box rival of MetricGAN, for the same generator.

    python train.py --config=configs/pesq_loss.py

Every score with a gradient (docs/scores.md) can be asked for: --config.score=stoi.

With real speech and noise at 0 to 15 dB (clips up to 4 s, speakers and noises of validation unseen,
--config.batch_size=2 --config.utterances_per_round=32) wide-band PESQ by the package `pesq` rose
from 1.47 (noisy) to 2.20 in 4 rounds and 2.57 in 40, at 2 s a round on one core of a CPU. STOI fell
meanwhile from 0.87 to 0.85, and SI-SDR from 6.6 to -1.7 dB: what PESQ does not hear, G spoils. Look
at the other scores of validation, and listen.
"""

from ml_collections import ConfigDict

from configs import metricgan_plus
from jaxgan.speech.settings import run_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config; it has no presets.

    Raises:
        ValueError: a preset is asked for.
    """
    if preset is not None:
        raise ValueError(f"no preset {preset!r}: this config has none")
    config = run_settings("score_loss")
    config.score = "pesq_wb"
    config.score_map = "paper"
    config.validation.scores = ("stoi", "si_sdr")
    # Validation compares the loss's own PESQ with the host's.
    config.scoring.where = "device"

    # As in configs/metricgan_plus.py, so that the two differ in what teaches G alone.
    rival = metricgan_plus.get_config()
    config.rounds = rival.rounds
    config.utterances_per_round = rival.utterances_per_round
    config.batch_size = rival.batch_size
    config.feature = rival.feature
    config.generator = rival.generator
    config.gradient_clip = rival.gradient_clip
    config.generator_learning_rate = rival.generator_learning_rate
    config.adam_b1 = rival.adam_b1
    config.adam_b2 = rival.adam_b2
    return config
