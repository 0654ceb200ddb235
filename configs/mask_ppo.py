"""Fine-tunes a trained mask network by PPO on a reward: LR-AVSE (Chen et al. 2026), RLHF (2024).

    python train.py --config=configs/mask_regression.py --workdir=START
    python train.py --config=configs/mask_ppo.py --config.init_from=START        LR-AVSE's values
    python train.py --config=configs/mask_ppo.py:rlhf --config.init_from=START   on DNSMOS
    python train.py --config=configs/mask_ppo.py:quick --config.init_from=QUICK_START

START is a run of configs/mask_regression.py, and QUICK_START one of its preset quick; the preset
plus starts from a run of configs/metricgan_plus.py. The reward is any score (docs/scores.md); that
of LR-AVSE is made of words. The preset tiny runs in seconds, to see that everything works.

LR-AVSE fine-tunes an audio-visual model on AVSEC-4; its values are used for a mask network here.
Where the papers are silent a comment says so.
"""

from ml_collections import ConfigDict

from configs import metricgan, metricgan_plus
from configs.mask_regression import copy_network_and_data, shrink_generator
from jaxgan.speech.settings import run_settings, tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "lr" (the same), "rlhf", "plus", "quick" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "lr", "rlhf", "plus", "quick", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose lr, rlhf, plus, quick or tiny")
    config = run_settings("mask_ppo")
    start = {"plus": metricgan_plus.get_config(), "quick": metricgan.get_config("quick")}
    copy_network_and_data(config, start.get(preset or "", metricgan.get_config()))
    config.score = "words"  # the reward
    config.validation.scores = ("pesq_wb", "stoi", "si_sdr")  # in addition to config.score

    # The values of LR-AVSE.
    config.samples = 1  # K
    config.deviation = 0.05  # sigma
    config.clip = 0.1  # epsilon
    config.divergence_weight = 1e-4  # beta
    config.anchor = "si_sdr"  # distance from clean speech; or "spectrum"
    config.anchor_weight = 1.0  # gamma
    config.magnitude_share = 0.7  # RLHF's, of the anchor "spectrum"
    config.generator_learning_rate = 1e-3
    config.baseline = "base"  # relative reward; "others": that of the other K - 1 masks
    # Not stated by either paper.
    config.reduction = "mean"
    config.epochs = 1  # over the round; LR-AVSE does not say
    # The controls: the rewards of other utterances, and the anchor without a reward.
    config.shuffle_rewards = False
    config.policy_weight = 1.0  # of the clipped objective; 0: the anchor without a reward

    if preset == "rlhf":
        config.score = "dnsmos_ovr"  # the paper has NISQA, which has no Python package
        config.deviation = 0.01
        config.clip = 0.01
        config.anchor = "spectrum"
        config.generator_learning_rate = 1e-6
        config.batch_size = 8
        config.utterances_per_round = 64  # the paper's effective batch
        config.epochs = 5  # of an independent implementation
    elif preset == "quick":
        # Chosen without a search: rewards are compared with those of three other masks, and the
        # anchor is weak. One run does not raise its reward; see docs/speech.md.
        config.samples = 4
        config.baseline = "others"
        config.reduction = "frame"
        config.generator_learning_rate = 1e-4
        config.anchor_weight = 0.01
    elif preset == "tiny":
        tiny(config)
        shrink_generator(config)
        config.samples = 2
        config.epochs = 2
    return config
