"""The settings that every speech config has, and the values that they may take."""

import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings
from jaxgan.core.errors import UserError
from jaxgan.scores.registry import PLACES
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.checks import HOP

CHOICES: dict[str, tuple[Any, ...]] = {
    "score_map": ("paper", "range"),
    "scoring.delay": (0, 1),
    "scoring.where": PLACES,
    "front_end.sample_rate": (SAMPLE_RATE,),
}
"""The allowed values of a key."""
RANGES: dict[str, tuple[float, float]] = {
    "data.seed": (0, math.inf),
    "utterances_per_round": (1, math.inf),
    "validation.utterances": (0, math.inf),
    "generator_learning_rate": (0, math.inf),
    "average_decay": (0, 0.99999),
    "front_end.hop": (1, HOP),
    "data.noises": (1, math.inf),
    "data.reverb_share": (0, 1),
    "data.band_share": (0, 1),
}
"""The lowest and the highest allowed value of a key."""
ADAM_RANGES: dict[str, tuple[float, float]] = {
    **RANGES,
    "adam_b1": (0, 0.99999),
    "adam_b2": (0, 0.99999),
    "gradient_clip": (0, math.inf),
    "learning_rate_decay": (0, math.inf),
}
"""The same for a system that is trained by Adam."""
MASK_CHOICES: dict[str, tuple[Any, ...]] = {**CHOICES, "feature": ("linear", "log1p")}
"""The same for a system whose generator is a mask network."""
MASK_RANGES: dict[str, tuple[float, float]] = {
    **ADAM_RANGES,
    "generator.layers": (1, math.inf),
    "generator.width": (1, math.inf),
    "generator.dense": (1, math.inf),
    "generator.dropout": (0, 0.99),
    "generator.floor": (0, 1),
    "generator.power": (0.1, 1),
}
"""The same for a system whose generator is a mask network, trained by Adam."""
VIDEO_RANGES: dict[str, tuple[float, float]] = {
    "generator.stride": (1, SAMPLE_RATE // 25),  # the samples of a frame of the video
    "generator.kernel": (1, math.inf),
}
"""The same for the network of an audio-visual system."""
MAY_CHANGE = ("scoring.workers", "scoring.deadline_seconds")
"""Keys that influence no number, so a run may continue with other values for them."""


def data_settings() -> ConfigDict:
    """Returns the default data settings: the demo corpus, which is generated."""
    data = ConfigDict()
    data.kind = "demo"  # demo | pairs | voicebank | mix | avsec | talking
    data.root = ""  # folder of the kinds pairs, voicebank and avsec
    data.speech = ""  # folder of clean speech, kind mix
    data.noise = ""  # folder of noise, kind mix
    data.snrs = (0.0, 5.0, 10.0, 15.0)  # dB, kinds mix and talking; VoiceBank-DEMAND's training set
    data.noises = 1  # the most noise clips in a training mixture, kind mix
    # Augmentation of training batches, by default none.
    data.reverb_share = 0.0  # share of the utterances that are reverberated
    data.t60 = (0.2, 0.8)  # s, reverberation times: from a furnished room to a lecture hall
    data.reverb_ratios = (0.0, 10.0)  # dB, direct to reverberant: a talker 0.5 to 2 m away
    data.band_share = 0.0  # share of the utterances whose band is limited
    data.bands = (4000.0,)  # Hz, one is drawn; 4000: recorded at 8 kHz
    data.gains = (0.0, 0.0)  # dB, lowest and highest change of the level
    data.seed = 0  # decides the held-out share, the validation mixtures and generated corpora
    data.valid_share = 0.1  # held out if a corpus has no valid folder, kinds pairs and mix
    data.valid_speakers = ("p226", "p287")  # held out, kind voicebank
    data.valid_utterances = 0  # the most utterances for validation; 0: all
    data.demo = ConfigDict()
    data.demo.train = 400  # utterances, kind demo
    data.demo.valid = 40  # utterances for validation
    data.demo.test = 40  # utterances that `python -m jaxgan.speech.data.demo DIR` writes
    data.talking = ConfigDict()
    data.talking.train = 400  # utterances, kind talking
    data.talking.valid = 40  # utterances for validation
    data.talking.noise_snrs = ()  # dB, of noise besides the other talker; (): no noise
    data.longest_seconds = 20.0  # longer utterances are left out: PESQ fails on long ones
    data.strict = False  # True: refuse to start if any file cannot be used
    # Lengths that utterances are padded to; each is compiled once. 0: 2 on accelerators, 4 on CPUs.
    data.buckets = 0
    data.resident_megabytes = 4096  # a fixed corpus up to this size is kept on the device
    return data


def run_settings(recipe: str) -> ConfigDict:
    """Returns the settings that every speech config has, with their usual values."""
    config = settings.run_settings(recipe, rounds=1, batch_size=1)
    config.utterances_per_round = 100  # drawn for a round; MetricGAN's authors

    # The name of a score (docs/scores.md) or the import path of your own.
    config.score = "pesq_wb"
    config.score_map = "paper"  # (PESQ + 0.5) / 5, STOI as it is; "range": clean is exactly 1
    config.scoring = ConfigDict()
    config.scoring.where = "host"  # host | device | auto: the scores that training needs
    config.scoring.delay = 0  # 0: in D's step; 1: during the replay pass, which then comes first
    config.scoring.workers = 0  # processes; 0: one per core
    config.scoring.deadline_seconds = 30.0  # for one score of one utterance

    config.data = data_settings()
    # 32 ms windows that overlap by half: the authors of MetricGAN, and most of the field at 16 kHz.
    config.front_end = ConfigDict()
    config.front_end.sample_rate = 16000  # Hz
    config.front_end.hop = 256  # samples between two frames, half a frame
    # The decay of the running average of G's parameters, which validation and enhancement use. 0:
    # no average.
    config.average_decay = 0.0

    config.validation.utterances = 100  # evenly spaced; the last round also scores all; 0: all
    config.validation.scores = ("stoi",)  # in addition to config.score
    return config


def check(
    config: ConfigDict,
    choices: Mapping[str, tuple[Any, ...]] = CHOICES,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
) -> None:
    """Raises UserError, naming the key, if a setting has an invalid value.

    Args:
        config: the config of the run.
        choices: `CHOICES`, and those of the system if it is to be trained.
        ranges: `RANGES`, and those of the system if it is to be trained.
    """
    settings.check(config)
    configs.check_values(config, choices, ranges)
    if HOP % config.front_end.hop:
        raise UserError(f"config.front_end.hop={config.front_end.hop}: must divide {HOP}")


def tiny(config: ConfigDict) -> None:
    """Shrinks the data and the rounds of a config to a run of a few seconds on one core, for tests.

    The caller shrinks the networks. Eight rows in a batch divide over up to eight devices.
    """
    config.rounds = 3
    config.utterances_per_round = 8
    config.batch_size = 8
    config.score = "si_sdr"  # the cheapest to compute
    config.scoring.where = "device"  # jax 0.10 cannot cache programs that call the host
    config.data.demo.train = 8
    config.data.demo.valid = 2
    config.data.buckets = 1
    config.validation.every = 3
    config.validation.scores = ()
    config.checkpoint.every = 1
