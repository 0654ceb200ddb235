"""Fine-tunes a trained enhancer by PPO on a reward: LR-AVSE (Chen et al. 2026), RLHF (2024).

    python train.py --config=configs/mask_regression.py --workdir=START
    python train.py --config=configs/mask_ppo.py --config.init_from=START        LR-AVSE's values
    python train.py --config=configs/mask_ppo.py:rlhf --config.init_from=START   on DNSMOS
    python train.py --config=configs/mask_ppo.py:quick --config.init_from=QUICK_START
    python train.py --config=configs/mask_ppo.py:avse --config.init_from=AVSE_START

START is a run of configs/mask_regression.py, QUICK_START one of its preset quick, and AVSE_START
one of configs/avse.py; the preset plus starts from a run of configs/metricgan_plus.py, and
avse_quick from one of configs/avse.py:quick. The reward is any score (docs/scores.md); LR-AVSE
rates a description in words. The preset tiny runs in seconds, to see that everything works.

LR-AVSE fine-tunes an audio-visual model on AVSEC-4; the preset avse does so on synthetic talkers,
and the others use its values for a mask network. Comments mark values that the papers do not give.
"""

from ml_collections import ConfigDict

from configs import avse, metricgan, metricgan_plus
from configs.mask_regression import (
    NETWORK_AND_DATA,
    copy_keys,
    copy_network_and_data,
    shrink_generator,
)
from jaxgan.speech.settings import run_settings, tiny

PRESETS = ("lr", "rlhf", "plus", "quick", "avse", "avse_quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`; "lr" is the config itself.

    Raises:
        ValueError: another preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("mask_ppo")
    if preset in ("avse", "avse_quick"):
        config.network = "audiovisual"  # the network of configs/avse.py
        start = avse.get_config("quick" if preset == "avse_quick" else None)
        copy_keys(config, start, (*NETWORK_AND_DATA, "video"))
    else:
        config.network = "mask"  # the network of configs/mask_regression.py
        own = {"plus": metricgan_plus.get_config(), "quick": metricgan.get_config("quick")}
        copy_network_and_data(config, own.get(preset or "", metricgan.get_config()))
    config.score = "words"  # the reward
    config.validation.scores = ("pesq_wb", "stoi", "si_sdr")  # in addition to config.score

    # The values of LR-AVSE.
    config.samples = 1  # K
    config.deviation = 0.05  # sigma
    # The papers draw every cell of a mask independently.
    config.noise_block = ConfigDict()
    config.noise_block.frames = 1  # how many frames share one draw; 0: all
    config.noise_block.bins = 1  # how many bins share one draw; 0: all
    config.clip = 0.1  # epsilon
    config.divergence_weight = 1e-4  # beta
    config.anchor = "si_sdr"  # distance from clean speech; or "spectrum"
    config.anchor_weight = 1.0  # gamma
    config.magnitude_share = 0.7  # RLHF's value, for the anchor "spectrum"
    config.generator_learning_rate = 1e-3
    config.baseline = "base"  # what rewards are relative to; "others": the other K - 1 masks
    # Not stated by either paper.
    config.reduction = "mean"
    config.epochs = 1  # passes over the round; LR-AVSE does not say
    # The controls: the rewards of other utterances, and the anchor without a reward.
    config.shuffle_rewards = False
    config.policy_weight = 1.0  # weight of the clipped objective; 0: the anchor without a reward

    if preset == "rlhf":
        config.score = "dnsmos_ovr"  # the paper uses NISQA, which has no Python package
        config.deviation = 0.01
        config.clip = 0.01
        config.anchor = "spectrum"
        config.generator_learning_rate = 1e-6
        config.batch_size = 8
        config.utterances_per_round = 64  # the paper's effective batch
        config.epochs = 5  # as in an independent implementation
    elif preset in ("quick", "avse_quick"):
        # Chosen by benchmarks/policy_gradient_quality.py and three short runs of "quick"; see
        # docs/speech.md.
        config.samples = 8
        config.baseline = "others"
        config.noise_block.frames = 0
        config.noise_block.bins = 16
        config.generator_learning_rate = 5e-5  # at 1e-4 PESQ fell again after 20 rounds
        if preset == "quick":
            config.score = "pesq_wb"
            config.scoring.where = "device"  # the JAX function of the score
            config.rounds = 60
            config.batch_size = 16
            config.average_decay = 0.95  # over 20 updates, since their gradients are noisy
            config.divergence_weight = 1e-3
            config.anchor_weight = 0.0
            config.validation.every = 20
    elif preset == "tiny":
        tiny(config)
        shrink_generator(config)
        config.samples = 2
        config.epochs = 2
    return config
