"""MetricGAN (Fu et al., ICML 2019) on PESQ: the paper's values.

python train.py --config=configs/metricgan.py
"""

from ml_collections import ConfigDict

from jaxgan.speech.settings import data_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or one of its presets: "quick", "stoi"."""
    config = ConfigDict()
    config.recipe = "metricgan"
    config.seed = 0
    config.rounds = 200
    config.batch_size = 8
    config.utterances_per_round = 100
    config.dtype = "float32"
    config.init_from = ""
    config.debug_nans = False

    config.score = "pesq_wb"
    config.score_map = "paper"
    config.target = 1.0
    config.scoring = ConfigDict(
        {"where": "host", "delay": 0, "workers": 0, "deadline_seconds": 30.0}
    )

    config.data = data_settings()
    config.front_end = ConfigDict({"sample_rate": 16000, "hop": 256})
    config.feature = "linear"
    config.through_waveform = False
    config.generator = ConfigDict(
        {
            "layers": 2,
            "width": 200,
            "dense": 300,
            "dropout": 0.05,
            "floor": 0.05,
            "learnable_sigmoid": False,
            "normalise": True,
        }
    )
    config.discriminator = ConfigDict(
        {"channels": (15, 25, 40, 50), "kernels": (5, 7, 9, 11), "dense": (50, 10)}
    )
    config.order = "generator_first"
    config.noisy_teaches = False
    config.replay = ConfigDict({"share": 0.1, "clean": True})
    config.generator_learning_rate = 1e-3
    config.discriminator_learning_rate = 1e-3
    config.adam_b1 = 0.9
    config.adam_b2 = 0.999
    config.gradient_clip = 0.0
    config.warmup_rounds = 0
    config.warmup_learning_rate = 1e-3
    config.validation = ConfigDict({"every": 1, "scores": ("stoi",)})
    config.checkpoint = ConfigDict({"every": 5})
    if preset == "quick":
        shrink(config)
    elif preset == "stoi":
        config.score = "stoi"
        config.validation.scores = ("pesq_wb",)
    elif preset is not None:
        raise ValueError(f"no preset {preset!r}: choose quick or stoi")
    return config


def shrink(config: ConfigDict) -> None:
    """A first honest result on a laptop's CPU in a few minutes."""
    config.rounds = 12
    config.warmup_rounds = 4
    config.feature = "log1p"
    config.generator.update({"layers": 1, "width": 96, "dense": 128})
    config.discriminator.update({"channels": (8, 8, 8), "kernels": (5, 5, 5)})
    config.data.buckets = 2
    config.validation.scores = ()
