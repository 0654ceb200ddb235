"""What a classifier says about images, and the classifier of another run."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Player
from jaxgan.images.data.batches import cover, to_floats
from jaxgan.images.networks.classifier import PLAYER, make_classifier

RECIPE = "classifier"
DATA = "data.json"
BATCH = 500
"""The most images that one call of a program classifies."""


class Answers(NamedTuple):
    """What a classifier says about images.

    Attributes:
        logits: float32 [n, classes].
        features: float32 [n, d], its last hidden layer.
    """

    logits: np.ndarray
    features: np.ndarray


class Classifier:
    """A network that classifies images in batches of one size.

    Args:
        apply: (variables, x [B, *shape]) -> logits [B, classes], features [B, d]; pure.
        mesh: the devices.
    """

    def __init__(self, apply: Callable[..., Any], mesh: Mesh) -> None:
        def batch(player: Player, values: jax.Array) -> Any:
            return apply(player.variables, to_floats(values))

        self._program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
        self._mesh = mesh

    def __call__(self, player: Player, values: np.ndarray) -> Callable[[], Answers]:
        """Starts to classify images.

        Args:
            player: the network's parameters, on the devices; their running average is used if there
                is one.
            values: uint8 [n, H, W, C], or float32 [n, 2].

        Returns:
            A function that waits for the answers.
        """
        deployed = player.without_training()
        count, rows = len(values), cover(len(values), BATCH)
        placed = devices.put_replicated([values[batch] for batch in rows], self._mesh)
        answers = [self._program(deployed, batch) for batch in placed]
        return lambda: Answers(
            *(np.concatenate(parts)[:count] for parts in zip(*jax.device_get(answers), strict=True))
        )


class TrainedClassifier(NamedTuple):
    """The classifier of a run.

    Attributes:
        classify: the network.
        player: its parameters, on the devices.
        shape: of an image.
        classes: the names of the classes.
        width: d, the number of its features.
        name: of its features: the kind of its data and of its network, such as "mnist_cnn".
        sha256: of its parameters.
    """

    classify: Classifier
    player: Player
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    width: int
    name: str
    sha256: str

    def __call__(self, values: np.ndarray) -> Answers:
        """Returns the answers for images, uint8 [n, H, W, C], or points, float32 [n, 2]."""
        return self.classify(self.player, values)()


def load_classifier(
    workdir: epath.PathLike, checkpoint: str, mesh: Mesh, seed_index: int = 0
) -> TrainedClassifier:
    """Returns the classifier of a run.

    Args:
        workdir: the folder of the run.
        checkpoint: best, last or a round.
        mesh: the devices.
        seed_index: which of the run's `config.seeds`, from 0.

    Raises:
        UserError: the folder holds no run of a classifier, no such checkpoint, or no such seed.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    if config.get("recipe") != RECIPE:
        raise UserError(
            f"{folder} holds a run of {config.get('recipe')!r}; give the folder of a run of "
            f"{RECIPE!r}"
        )
    player = load_seed(folder, checkpoint, seed_index)[PLAYER].without_training()
    described = json.loads((folder / DATA).read_text())["train"]
    shape, classes = tuple(described["shape"]), tuple(described["classes"])
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(player):
        digest.update(np.ascontiguousarray(leaf).data)
    network = make_classifier(config, shape, len(classes))
    image = jax.ShapeDtypeStruct((1, *shape), np.float32)
    _, features = jax.eval_shape(network.apply, player.variables, image)
    return TrainedClassifier(
        Classifier(network.apply, mesh),
        devices.put_replicated(player, mesh),
        shape,
        classes,
        features.shape[-1],
        f"{config.data.kind}_{config.network}",
        digest.hexdigest(),
    )
