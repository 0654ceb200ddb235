"""The data settings that every config of images has, and the values that they may take."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings

if TYPE_CHECKING:  # configs import this file, and mistakes in them are reported before jax starts
    from jax.sharding import Mesh

CHOICES: Mapping[str, tuple[Any, ...]] = {
    **settings.CHOICES,
    "data.channels": (1, 3),
    "data.labels": ("classes", "captions"),
}
"""The allowed values of a key."""
RANGES: Mapping[str, tuple[float, float]] = {
    **settings.RANGES,
    "seeds": (1, math.inf),
    "validation.samples": (2, math.inf),
    "average_decay": (0, 1),
    "data.seed": (0, math.inf),
    "data.train": (1, math.inf),
    "data.valid": (1, math.inf),
    "data.labelled": (0, math.inf),
    "data.valid_share": (0, 0.99),
    "data.size": (1, 1024),
    "data.ring.radius": (1e-6, math.inf),
    "data.ring.sd": (0, math.inf),
    "data.grid25.spacing": (1e-6, math.inf),
    "data.grid25.sd": (0, math.inf),
}
"""The lowest and the highest allowed value of a key."""
DIRECTIONS = ("a_to_b", "b_to_a")
"""The directions of a translation between the domains A and B."""
TRANSLATION_CHOICES: dict[str, tuple[Any, ...]] = {
    "data.pairs": ("edges", "low_resolution", "masks", "views", "classes"),
    "data.flip": (True, False),
    "data.strict": (True, False),
}
"""The same for the systems that turn images into images."""
TRANSLATION_RANGES: dict[str, tuple[float, float]] = {
    "data.factor": (2, math.inf),
    "data.rotation": (-180, 180),
    "data.shear": (-2, 2),
    "data.enlarge": (1, 4),
    "data.size": (8, 1024),
    "learning_rate": (0, math.inf),
    "decay.start": (0, math.inf),
    "decay.rounds": (0, math.inf),
    "adam_b1": (0, 1),
    "adam_b2": (0, 1),
    "generator.features": (1, math.inf),
    "discriminator.features": (1, math.inf),
}
"""The same for the systems that turn images into images."""
FEW_LABELS_CHOICES: dict[str, tuple[Any, ...]] = {"unlabelled": (True, False)}
"""The same for the systems that learn from few labels."""
FEW_LABELS_RANGES: dict[str, tuple[float, float]] = {"labelled_batch_size": (1, math.inf)}
"""The same for the systems that learn from few labels."""


def data_settings() -> ConfigDict:
    """Returns the default data settings: digits that are drawn on first use."""
    data = ConfigDict()
    # glyphs | overlays | mnist | fashion_mnist | cifar10 | folder | ring | grid25 | points
    data.kind = "glyphs"
    data.root = ""  # folder of mnist, fashion_mnist, cifar10 and folder; file of points
    data.seed = 0  # decides drawn images and points, the held-out share and the labelled images
    data.train = 20000  # images or points; kinds glyphs, overlays, ring and grid25
    data.valid = 2000  # images or points for validation; the same kinds
    # What labels are: classes, or captions such as "dark wide 3", which are made of them and images
    data.labels = "classes"
    data.labelled = 0  # training images that keep their label, equally many of a class; 0: all
    data.valid_share = 0.1  # held out; kinds points, and folder if it has no valid folder
    data.size = 64  # pixels of a side, kind folder; DCGAN's (Radford et al. 2016)
    data.channels = 3  # 1: grey, 3: RGB; kind folder
    data.strict = False  # True: refuse to start if any file of a folder cannot be used
    # Eight modes on a circle and 25 on a 5x5 grid, as in PacGAN (Lin et al. 2018, section 4.1).
    data.ring = ConfigDict()
    data.ring.radius = 1.0  # radius of the circle of modes, as in PacGAN
    data.ring.sd = 0.01  # standard deviation of each mode, as in PacGAN
    data.grid25 = ConfigDict()
    data.grid25.spacing = 2.0  # distance of neighbouring modes, as in PacGAN
    data.grid25.sd = 0.05  # standard deviation of each mode, as in PacGAN
    return data


def run_settings(recipe: str, rounds: int, batch_size: int) -> ConfigDict:
    """Returns the settings that every config of a system of images has, with their usual values.

    Args:
        recipe: a name of `jaxgan.recipes`, or the import path of a system's module.
        rounds: how many rounds the run has.
        batch_size: samples of a minibatch.
    """
    config = settings.run_settings(recipe, rounds, batch_size)
    config.steps_per_round = 1000  # batches in a round
    # Independent runs in one program: seed, seed + 1, ...; for small networks on one device.
    config.seeds = 1
    config.data = data_settings()
    # The folder of a run of configs/classifier.py, in whose features validation measures samples.
    config.features = ""
    # The decay of the running average of G's parameters, which validation and sampling use (Yazıcı
    # et al. 2019). 0: no average.
    config.average_decay = 0.999
    config.validation.samples = 2500  # how many samples each validation draws and measures
    return config


def pair_settings(config: ConfigDict, network: str) -> None:
    """Adds the settings of two networks, "mlp" or "dcgan", and of Adam for both to a config."""
    # Radford et al. 2016: a momentum of 0.5 instead of 0.9 makes training stable.
    config.adam_b1, config.adam_b2 = 0.5, 0.999
    network_settings(config, network)


def network_settings(config: ConfigDict, network: str) -> None:
    """Adds the settings of two networks, "mlp" or "dcgan", and their learning rates to a config."""
    # The learning rates of Adam, Radford et al. 2016.
    config.generator_learning_rate = config.discriminator_learning_rate = 2e-4
    config.network = network  # of both players: mlp or dcgan
    config.prior = "normal"  # the distribution of latent codes; or uniform, from -1 to 1
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    if network == "mlp":
        config.latent = 2  # numbers in a latent code; for points in the plane
        # The widths of the hidden layers; for points in the plane.
        config.generator.widths = config.discriminator.widths = (128, 128, 128)
    else:
        config.latent = 100  # numbers in a latent code, Radford et al. 2016
        config.generator.features = 128  # channels of its largest hidden map, Radford et al. 2016
        config.discriminator.features = 64  # channels of its first layer, Radford et al. 2016
        # The normalisation of the activations; or layer, none. Radford et al. 2016.
        config.generator.normalisation = config.discriminator.normalisation = "batch"
        config.discriminator.spectral = False  # True: spectral normalisation (Miyato et al. 2018)


def noisy_settings(config: ConfigDict) -> None:
    """Adds the settings of the authors' MNIST code to a config: the networks and Adam."""
    config.latent = 100  # dimensions of a latent code
    config.prior = "uniform"  # the distribution of latent codes; or normal
    config.generator = ConfigDict()
    config.generator.widths = (500, 500)  # sizes of the hidden layers
    config.generator.reference = 0  # codes of virtual batch normalisation; 0: batch normalisation
    config.discriminator = ConfigDict()
    config.discriminator.widths = (1000, 500, 250, 250, 250)  # sizes of the hidden layers
    config.discriminator.input_noise = 0.3  # standard deviation; images are from 0 to 1
    config.discriminator.noise = 0.5  # standard deviation, before all other layers
    config.discriminator.kernels = 0  # kernels of minibatch discrimination; the authors have 100
    # Learning rates of Adam.
    config.generator_learning_rate = config.discriminator_learning_rate = 3e-3
    config.adam_b1, config.adam_b2 = 0.5, 0.999  # decay of the means of gradients and their squares


def translation_settings(recipe: str, rounds: int, batch_size: int) -> ConfigDict:
    """Returns the settings of a config of a system that turns images of a domain into another.

    Args:
        recipe: a name of `jaxgan.recipes`, or the import path of a system's module.
        rounds: how many rounds the run has.
        batch_size: images of each domain in a minibatch.
    """
    config = settings.run_settings(recipe, rounds, batch_size)
    config.steps_per_round = 1000  # batches in a round
    config.data = data_settings()
    for key in ("labels", "labelled", "ring", "grid25"):
        del config.data[key]
    # paired | unpaired, folders of pictures; or any kind of images, of which pairs are made
    config.data.kind = "glyphs"
    config.data.valid_share = 0.1  # held out; kinds paired, unpaired and folder
    config.data.size = 256  # pixels of a side, of pictures in folders: the size of the papers
    # How A is made of an image: edges | low_resolution | masks | views; or classes, for images of
    # two classes.
    config.data.pairs = "edges"
    config.data.classes = ("3", "8")  # with pairs=classes: the classes of A and of B
    config.data.factor = 2  # with pairs=low_resolution: how much A is reduced
    # With pairs=views: the degrees by which A is rotated, and the tangent by which it is then
    # slanted; chosen so that a digit stays inside its image.
    config.data.rotation, config.data.shear = 30.0, 0.3
    # Images are enlarged by this factor and cropped at random: 286/256 in the papers; 1: none.
    config.data.enlarge = 286 / 256
    config.data.flip = True  # mirror images at random
    config.validation.samples = 100  # images of each domain that are translated
    # The folder of a run of configs/classifier.py, in whose features translations are compared with
    # their partners.
    config.features = ""
    config.learning_rate = 2e-4  # for Adam in all networks, in both papers
    # Decay of the means of gradients (Radford et al. 2016) and of their squares.
    config.adam_b1, config.adam_b2 = 0.5, 0.999
    config.decay = ConfigDict()
    config.decay.start = 0  # the round after which the learning rate begins to fall linearly
    config.decay.rounds = 0  # rounds in which it falls to 0; 0: it stays constant
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    config.generator.features = 64  # channels of its first layer, in both papers
    config.discriminator.features = 64  # channels of its first layer, in both papers
    return config


def few_labels(config: ConfigDict) -> None:
    """Adds the settings of a system that learns to classify from few labels and other images."""
    config.data.labelled = 100  # of all classes together, as Salimans et al. 2016 for MNIST
    config.labelled_batch_size = 100  # labelled images in a step, besides those of all data
    # False: the control, which trains the same classifier on the labelled images and nothing else.
    config.unlabelled = True


def tiny(config: ConfigDict) -> None:
    """Shrinks the data and the rounds of a config to a run of seconds, for tests.

    The caller shrinks the networks. Eight samples in a batch divide over up to eight devices.
    """
    config.rounds = 2
    config.steps_per_round = 3
    config.batch_size = 8
    config.data.train, config.data.valid = 64, 32
    config.validation.every = 2
    config.validation.samples = 32
    config.checkpoint.every = 1


def check(
    config: ConfigDict,
    mesh: "Mesh",
    choices: Mapping[str, tuple[Any, ...]] = CHOICES,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
) -> None:
    """Raises UserError, naming the key, unless a run of a config can be trained on these devices.

    Args:
        config: the config of the run.
        mesh: the devices.
        choices: `CHOICES` and those of the system.
        ranges: `RANGES` and those of the system.
    """
    configs.check_values(config, choices, ranges)
    settings.check_devices(config, mesh)
