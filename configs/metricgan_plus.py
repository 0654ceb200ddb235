"""MetricGAN+ (Fu et al., Interspeech 2021) on PESQ.

python train.py --config=configs/metricgan_plus.py
"""

from ml_collections import ConfigDict

from configs import metricgan


def get_config(preset: str | None = None) -> ConfigDict:
    """The config."""
    config = metricgan.get_config()
    config.rounds = 750
    config.feature = "log1p"
    config.through_waveform = True
    config.generator.normalise = False
    config.generator.dropout = 0.0
    config.generator.learnable_sigmoid = True
    config.discriminator.channels = (15, 15, 15, 15)
    config.discriminator.kernels = (5, 5, 5, 5)
    config.order = "discriminator_first"
    config.noisy_teaches = True
    config.replay = ConfigDict({"share": 0.2, "clean": False})
    config.generator_learning_rate = 5e-4
    config.discriminator_learning_rate = 5e-4
    config.gradient_clip = 5.0
    return config
