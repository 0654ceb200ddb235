"""MetricGAN+ (Fu et al., Interspeech 2021) on wide-band PESQ: the values of its published recipe.

    python train.py --config=configs/metricgan_plus.py
    python train.py --config=configs/metricgan_plus.py:causal   for streams: enhance.py --stream
    python train.py --config=configs/metricgan_plus.py:tiny     seconds; for tests

The authors report 3.15 wide-band PESQ on VoiceBank-DEMAND after 750 rounds of batch 1 (noisy
1.97).

A CPU gains nothing from a large batch, and D needs many updates: docs/results_speech.md has
settings for a CPU and their result (1.64, with noisy speech at 1.47, in half an hour).
"""

from ml_collections import ConfigDict

from configs import metricgan
from jaxgan.speech.settings import tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "causal" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "causal", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose causal or tiny")
    config = metricgan.get_config()
    config.rounds = 750  # as published, like everything below unless a comment says otherwise

    # The mask multiplies log1p magnitudes, and D judges the resynthesised waveform.
    config.feature = "log1p"
    config.through_waveform = True  # D judges the resynthesised waveform in G's step
    config.generator.normalise = False  # the input of the LSTMs is not scaled
    config.generator.dropout = 0.0  # share of the outputs of the layer after the LSTMs; none
    config.generator.learnable_sigmoid = True  # 1.2 sigmoid(slope x)

    config.discriminator.channels = (15, 15, 15, 15)  # in the convolutions; 19,010 parameters
    config.discriminator.kernels = (5, 5, 5, 5)  # widths of the kernels, in frames and bins

    config.order = "discriminator_first"  # the order in a round; or generator_first
    config.noisy_teaches = True  # D also learns the scores of noisy speech
    config.replay.share = 0.2  # share of all items of earlier rounds
    config.replay.clean = False  # only the outputs are replayed, without the clean speech
    # Largest norm: the default of the framework that the recipe was published in.
    config.gradient_clip = 5.0
    config.generator_learning_rate = 5e-4  # for Adam
    # Learning rate of Adam; see configs/metricgan.py.
    config.discriminator_learning_rate = 5e-4 * config.batch_size
    if preset == "causal":
        config.generator.causal = True
        config.generator.width = 400  # as many units as both directions have together
    elif preset == "tiny":
        tiny(config)
        metricgan.shrink_networks(config)
        config.replay.share = 0.5  # so that the second of few rounds replays something
    return config
