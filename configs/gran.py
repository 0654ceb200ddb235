"""Generative recurrent adversarial network (Im, Kim, Jiang and Memisevic 2016).

python train.py --config=configs/gran.py           DCGAN's networks, three steps; digits
python train.py --config=configs/gran.py:quick     fully connected networks, minutes on a CPU
python train.py --config=configs/gran.py:tiny      seconds; for tests

--config.generator.steps=1 is the ordinary GAN that the paper compares with. After eval.py of both
runs, `python -m jaxgan.images.battle RUN RUN` lets them judge each other's samples.
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
    config = run_settings("gran", rounds=50, batch_size=64)
    pair_settings(config, "mlp" if preset else "dcgan")
    # DCGAN's normalisation does not fit a network of several steps; see networks/recurrent.py.
    if preset is None:
        config.generator.normalisation = "layer"  # applied to the activations; or none
    config.generator.code = 100  # numbers that a step passes on; chosen here: as a latent code has
    config.generator.steps = 3  # T, drawing steps; the paper compares 1, 3 and 5
    config.loss = "non_saturating"  # minimax | non_saturating | least_squares | hinge

    if preset == "quick":
        config.latent = 64
        config.rounds = 5
        config.discriminator_learning_rate = 1e-4  # with DCGAN's 2e-4 D is too strong for 3 steps
        config.generator.widths = config.discriminator.widths = (256, 256)
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.generator.code, config.generator.steps = 4, 2
    return config
