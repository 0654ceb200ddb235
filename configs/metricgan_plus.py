"""MetricGAN+ (Fu et al., Interspeech 2021) on wide-band PESQ: the values of its published recipe.

    python train.py --config=configs/metricgan_plus.py

The authors report 3.15 wide-band PESQ on VoiceBank-DEMAND after 750 rounds of batch 1 (noisy
1.97).

A CPU gains nothing from a large batch, and D needs many updates. On two cores, with real speech
and noise at 0 to 15 dB, this rose from 1.51 in the third adversarial round to 1.61 in the
thirteenth (noisy 1.47):

    --config.batch_size=2 --config.utterances_per_round=16
    --config.discriminator_learning_rate=1.5e-3 --config.generator_learning_rate=5e-5
    --config.warmup_rounds=12 --config.warmup_learning_rate=3e-4
"""

from ml_collections import ConfigDict

from configs import metricgan


def get_config(preset: str | None = None) -> ConfigDict:
    """The config; it has no presets.

    Raises:
        ValueError: a preset is asked for.
    """
    if preset is not None:
        raise ValueError(f"no preset {preset!r}: this config has none")
    config = metricgan.get_config()
    config.rounds = 750  # as published, like all that follows unless it says otherwise

    # The mask multiplies log1p magnitudes, and D judges what the waveform made of them sounds like.
    config.feature = "log1p"
    config.through_waveform = True
    config.generator.normalise = False
    config.generator.dropout = 0.0
    config.generator.learnable_sigmoid = True  # 1.2 sigmoid(slope x)

    config.discriminator.channels = (15, 15, 15, 15)  # 19,010 parameters
    config.discriminator.kernels = (5, 5, 5, 5)

    config.order = "discriminator_first"
    config.noisy_teaches = True
    config.replay.share = 0.2
    config.replay.clean = False
    config.gradient_clip = 5.0  # the default of the framework that the recipe was published in
    config.generator_learning_rate = 5e-4
    config.discriminator_learning_rate = 5e-4 * config.batch_size  # see configs/metricgan.py
    return config
