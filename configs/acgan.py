"""Auxiliary classifier GAN (Odena, Olah and Shlens 2017): D also says of which class a sample is.

python train.py --config=configs/acgan.py           digits, convolutional networks; for a GPU
python train.py --config=configs/acgan.py:quick     fully connected, a few minutes on a CPU
python train.py --config=configs/acgan.py:tiny      seconds; for tests
python sample.py --workdir=DIR --label=3 --output=OUT

In the features of configs/classifier.py:quick, `quick` reached eval/label_agreement 0.86,
eval/class_diversity 0.86 and eval/fid_glyphs_cnn 26 (after its first round: 0.40, 0.44 and 959).
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
    # The paper's appendix A: batches of 100, 50,000 steps, Adam at 2e-4 with b1 0.5 (the default of
    # `pair_settings`), 110 latent numbers. Its D has six layers and dropout; this is DCGAN's.
    config = run_settings("acgan", rounds=50, batch_size=100)
    pair_settings(config, "dcgan" if preset is None else "mlp")
    config.latent = 110  # dimensions of a latent code

    if preset == "quick":
        # Chosen here: enough for digits that a classifier recognises.
        config.rounds, config.steps_per_round = 16, 500
        config.latent = 32
        config.generator.widths = config.discriminator.widths = (256, 256)
        config.average_decay = 0.99
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.latent = 2
        config.generator.widths = config.discriminator.widths = (16,)
    return config
