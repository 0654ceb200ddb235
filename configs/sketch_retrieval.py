"""Retrieval by sketches with a GAN's discriminator (Creswell and Bharath 2016).

python train.py --config=configs/sketch_retrieval.py          DCGAN's networks; digits
python train.py --config=configs/sketch_retrieval.py:quick    fully connected, minutes on a CPU
python train.py --config=configs/sketch_retrieval.py:tiny     seconds; for tests

eval.py reports the precision with its controls. --config.data.kind=fashion_mnist and
--config.data.root=DIR selects clothes, for which retrieval is harder than for digits.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("sketch_retrieval", rounds=50, batch_size=64)
    pair_settings(config, "mlp" if preset else "dcgan")
    config.sketches = 1.0  # share of the data; the paper trains on sketches only
    # Standard deviation of the noise that is added to D's inputs. Chosen on Fashion-MNIST: with it
    # P@10 among photos rises during training, and without it falls.
    config.noise = 0.3

    if preset == "quick":
        config.latent = 64
        config.rounds, config.steps_per_round = 8, 500
        config.generator.widths = config.discriminator.widths = (256, 256)
        # Two and a half times DCGAN's, because there are only a few thousand updates.
        config.generator_learning_rate = config.discriminator_learning_rate = 5e-4
    elif preset == "tiny":
        tiny(config)
        config.latent = 4
        config.generator.widths = config.discriminator.widths = (16,)
    return config
