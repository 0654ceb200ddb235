"""Variational autoencoder (Kingma and Welling 2014), fully connected.

python train.py --config=configs/vae.py --config.data.kind=mnist --config.data.root=DIR
python train.py --config=configs/vae.py:quick        drawn digits, about a minute on a CPU
python train.py --config=configs/vae.py:gaussian     grey pixels with a Gaussian decoder
python train.py --config=configs/vae.py:tiny         seconds; for tests

Five rounds on MNIST, of two minutes of a CPU together, reach eval/negative_elbo 90.6 and
eval/negative_importance_bound 85.2 nats; independent pixels take 206.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import run_settings, tiny

PRESETS = ("quick", "gaussian", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The paper's section 5: batches of 100, one hidden layer of 500 units for MNIST (of tanh there,
    # ReLUs here), 20 latent numbers, one of its sizes. A round is an epoch of MNIST.
    config = run_settings("vae", rounds=20, batch_size=100)
    config.steps_per_round = 600  # batches in a round: an epoch of MNIST
    config.latent = 20  # dimensions of a latent code
    config.encoder = ConfigDict({"widths": (500,)})  # sizes of the hidden layers
    config.generator = ConfigDict({"widths": (500,)})  # sizes of the decoder's hidden layers
    config.learning_rate = 1e-3  # for Adam, its authors' value; the paper uses Adagrad
    config.decoder = "bernoulli"  # distribution of a pixel; or gaussian
    config.sd = 0.1  # of the Gaussian decoder; chosen here, a tenth of the range of pixels
    config.binarise = True  # pixels above 1/2 become 1, for results in nats that can be compared
    # Chosen here for a second or two of a CPU.
    config.bound = ConfigDict()
    config.bound.images = 500  # held-out images in the bounds of validation
    config.bound.draws = 50  # draws of z for each of them
    config.average_decay = 0.0  # no running average of the parameters; the paper has none

    if preset == "quick":
        config.rounds, config.steps_per_round = 10, 200
        config.encoder.widths = config.generator.widths = (256,)
    elif preset == "gaussian":
        config.decoder, config.binarise = "gaussian", False
    elif preset == "tiny":
        tiny(config)
        config.latent = 2
        config.encoder.widths = config.generator.widths = (8,)
        config.bound = ConfigDict({"images": 16, "draws": 3})
    return config
