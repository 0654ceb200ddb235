"""The answers of a classifier for images, and the classifier of another run."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Player
from jaxgan.images.data.batches import cover, to_floats
from jaxgan.images.data.dataset import described
from jaxgan.images.networks.classifier import PLAYER, make_classifier

RECIPE = "classifier"
BATCH = 500
"""The most images that one call of a program answers for."""


class Answers(NamedTuple):
    """The answers of a classifier for images.

    Attributes:
        logits: float32 [n, classes]; for a discriminator, its raw outputs, [n] or [n, outputs].
        features: float32 [n, d], its last hidden layer.
    """

    logits: np.ndarray
    features: np.ndarray


class Classifier:
    """A network that answers for data in batches of one size.

    Args:
        answer: (the network, whose `params` are those to use; x float32 [B, *shape], as
            `batches.gather` gives it) -> a pytree of arrays [B, ...]; pure.
        mesh: the devices.
        batch_size: the most samples in a call. It matters to a network that compares the samples of
            a batch.
    """

    def __init__(
        self,
        answer: Callable[[Player, jax.Array], Any],
        mesh: Mesh,
        batch_size: int = BATCH,
    ) -> None:
        def batch(player: Player, values: jax.Array) -> Any:
            return answer(player, to_floats(values))

        self._program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
        self._mesh, self._batch_size = mesh, batch_size

    def __call__(self, player: Player, values: np.ndarray) -> Callable[[], Any]:
        """Starts to compute the answers.

        Args:
            player: the network's parameters, on the devices; their running average is used if there
                is one.
            values: uint8 [n, H, W, C], or float32 [n, 2].

        Returns:
            A function that waits for the answers, arrays [n, ...].
        """
        deployed = player.without_training()
        count, rows = len(values), cover(len(values), self._batch_size)
        placed = devices.put_replicated([values[batch] for batch in rows], self._mesh)
        answers = [self._program(deployed, batch) for batch in placed]

        def joined(*parts: np.ndarray) -> np.ndarray:
            return np.concatenate(parts)[:count]

        return lambda: jax.tree.map(joined, *jax.device_get(answers))


def answers_of(network: nn.Module) -> Callable[[Player, jax.Array], Answers]:
    """Returns the function that applies a `networks.classifier` to a batch, for `Classifier`."""

    def answer(player: Player, x: jax.Array) -> Answers:
        found: Any = network.apply(player.variables, x)
        return Answers(*found)

    return answer


class TrainedClassifier(NamedTuple):
    """The classifier of a run.

    Attributes:
        classify: the network.
        player: its parameters, on the devices.
        shape: the shape of an image.
        classes: the names of the classes.
        width: d, the number of its features.
        name: the name of its features: the kind of its data and of its network, such as
            "mnist_cnn".
        sha256: the SHA-256 of its parameters.
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
        answers: Answers = self.classify(self.player, values)()
        return answers

    @property
    def files(self) -> Mapping[str, bytes]:
        """The file that identifies it, for `Recipe.files` of a run that uses it."""
        identity = {"name": self.name, "sha256": self.sha256}
        return {"features.json": (json.dumps(identity, indent=1) + "\n").encode()}


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
    found = described(folder)
    shape, classes = found["shape"], found["classes"]
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(player):
        digest.update(np.ascontiguousarray(leaf).data)
    image = jax.ShapeDtypeStruct((1, *shape), np.float32)
    with configs.fits(folder):
        network = make_classifier(config, shape, len(classes))
        _, features = jax.eval_shape(network.apply, player.variables, image)
    return TrainedClassifier(
        Classifier(answers_of(network), mesh),
        devices.put_replicated(player, mesh),
        shape,
        classes,
        features.shape[-1],
        f"{config.data.kind}_{config.network}",
        digest.hexdigest(),
    )


def features_classifier(config: ConfigDict, shape: Sequence[int], mesh: Mesh) -> TrainedClassifier:
    """Returns the best classifier of the run that `config.features` names.

    Args:
        config: the config of the run that uses the classifier.
        shape: the shape of this run's images or points.
        mesh: the devices.

    Raises:
        UserError: the folder cannot be used, or its classifier takes data of another shape.
    """
    setting = f"config.features={config.features}"
    try:
        classifier = load_classifier(config.features, "best", mesh)
    except UserError as error:
        raise UserError(f"{setting}: {error}") from error
    if classifier.shape != tuple(shape):
        raise UserError(
            f"{setting}: that classifier knows data of the shape {list(classifier.shape)}, and "
            f"these have {list(shape)}; train one on data of this shape"
        )
    return classifier
