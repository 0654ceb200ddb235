"""The discriminator of another run: its outputs for images, and its last hidden layer."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Player, PyTree
from jaxgan.images.data.dataset import described
from jaxgan.images.evaluation.trained_classifier import Answers, Classifier
from jaxgan.images.networks import pair

PLAYER = "discriminator"


class TrainedDiscriminator(NamedTuple):
    """The discriminator of a run.

    Attributes:
        look: the network.
        player: its parameters, on the devices.
        shape: the shape of an image.
        config: the config of the run.
        network: the network of D.
        mesh: the devices.
    """

    look: Classifier
    player: Player
    shape: tuple[int, ...]
    config: ConfigDict
    network: nn.Module
    mesh: Mesh

    def __call__(self, values: np.ndarray) -> Answers:
        """Returns D's outputs for images, uint8 [n, H, W, C], or points, float32 [n, 2].

        Returns:
            D's raw outputs, float32 [n] or [n, outputs], and its last hidden layer [n, d].
        """
        answers: Answers = self.look(self.player, values)()
        return answers

    def untrained(self) -> "TrainedDiscriminator":
        """Returns the same network with random parameters, as a control."""
        sample = np.zeros((1, *self.shape), np.float32)
        variables = dict(self.network.init(jax.random.key(self.config.seed), sample))
        params = variables.pop("params")
        fresh = Player(params=params, state=variables, opt_state=())
        return self._replace(player=devices.put_replicated(fresh, self.mesh))


def load_discriminator(
    workdir: epath.PathLike, checkpoint: str, mesh: Mesh, seed_index: int = 0
) -> TrainedDiscriminator:
    """Returns the discriminator of a run of any system whose discriminator sees single samples.

    Args:
        workdir: the folder of the run.
        checkpoint: best, last or a round.
        mesh: the devices.
        seed_index: which of the seeds that were trained together, from 0.

    Raises:
        UserError: the folder holds no run, no such checkpoint or seed, or no discriminator that is
            one of `pair.DISCRIMINATORS` and sees nothing but a sample.
    """
    folder = absolute(workdir)
    config, players = configs.read(folder), load_seed(folder, checkpoint, seed_index)
    shape = described(folder)["shape"]
    with configs.fits(folder):
        network = _network(config, shape, players[PLAYER]) if PLAYER in players else None
    if network is None:
        raise UserError(
            f"{folder} holds a run of {config.get('recipe')!r}, which has no discriminator of "
            f"single samples with one of the networks {', '.join(pair.DISCRIMINATORS)}; give the "
            "run of another GAN"
        )

    def look(player: Player, x: jax.Array) -> Answers:
        found: Any = pair.with_features(network, player.variables, x)
        return Answers(*found)

    player = devices.put_replicated(players[PLAYER].without_training(), mesh)
    return TrainedDiscriminator(Classifier(look, mesh), player, shape, config, network, mesh)


def _network(config: ConfigDict, shape: tuple[int, ...], player: Player) -> nn.Module | None:
    """Returns the network of a discriminator, or None if it is not one of the usual ones."""
    make = pair.DISCRIMINATORS.get(config.get("network"))
    given = dict(config.get("discriminator", {}))
    if make is None or not given.keys() <= {field.name for field in dataclasses.fields(make)}:
        return None
    paths, _ = jax.tree_util.tree_flatten_with_path(player.params)
    widths = [leaf.shape[-1] for path, leaf in paths if "Dense" in jax.tree_util.keystr(path)]
    network = make(outputs=widths[-1], **given)
    sample = jax.ShapeDtypeStruct((1, *shape), np.float32)
    fresh = jax.eval_shape(network.init, jax.random.key(0), sample)
    return network if _shapes(fresh) == _shapes(player.variables) else None


def _shapes(variables: PyTree) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
