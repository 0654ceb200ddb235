"""BEGAN, boundary equilibrium GAN (Berthelot, Schumm and Metz 2017).

python train.py --config=configs/began.py          the paper's networks; digits
python train.py --config=configs/began.py:quick    DCGAN's networks, minutes on a CPU
python train.py --config=configs/began.py:ring     eight Gaussians, none of which it finds
python train.py --config=configs/began.py:tiny     seconds; for tests

For your pictures at 64 x 64: --config.data.kind=folder --config.data.root=DIR. This system
does not suit points in the plane, because an autoencoder reconstructs every point of the plane.

k only rises while L(G(z)) is below gamma L(x). If D learns as fast as G, its error on digits falls
too quickly for that: k stays near 0, D ignores the samples, and they all become similar. So
`quick` has a slower D and a larger gamma. Its samples are blurred digits of several kinds: after
800 updates eval/kid_pixels of three seeds is 0.15, 0.10 and 0.40, still falling, from 1.7 to 2.4
after 200, and k is 0.06, 0.13 and 0.02. With a D as fast as G and gamma 0.5 it is 1.7 then (one
seed); with lambda_k 0.05 one of two seeds stays at 3.5.
"""

from ml_collections import ConfigDict

from configs import gan
from jaxgan.images.settings import pair_settings, run_settings, tiny

PRESETS = ("quick", "ring", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("began", rounds=200, batch_size=16)  # 16: the paper's
    pair_settings(config, "mlp" if preset in ("ring", "tiny") else "dcgan")
    if preset is None:
        config.network = "began"  # or dcgan, mlp
        # Channels, n in the paper. The values from here on are the paper's.
        config.generator = ConfigDict({"features": 128})
        config.discriminator = ConfigDict({"features": 128})  # channels, n of the paper
    elif preset == "quick":
        del config.discriminator.spectral
    config.discriminator.code = 64  # dimensions of the autoencoder's code
    config.prior = "uniform"  # the distribution of latent codes, from -1 to 1
    config.latent = 64  # dimensions of a latent code
    # Learning rates of Adam.
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-4
    config.gamma = 0.5  # the diversity ratio; the paper shows 0.3 to 0.7
    config.lambda_k = 0.001  # learning rate of k
    # Steps until both learning rates are halved, as in a widely used port; the paper uses M.
    config.halve_every = 100_000

    if preset == "quick":
        config.rounds, config.steps_per_round = 4, 200
        config.batch_size = 64
        config.generator.features = config.discriminator.features = 8
        # Larger than the paper's, because there are few updates; see above for D, gamma and k.
        config.generator_learning_rate, config.discriminator_learning_rate = 1e-3, 2e-4
        config.gamma, config.lambda_k = 0.9, 0.01
        config.average_decay = 0.99
    elif preset == "ring":
        config.data.kind = "ring"
        gan.points(config)
        config.discriminator.code = 8
        config.lambda_k = 0.01  # larger than the paper's, for 4,000 updates
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.generator.widths = config.discriminator.widths = (16,)
        config.discriminator.code = 4
    return config
