"""The trained networks of a run without their optimizers: for evaluation, use, and other runs."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Mesh

from jaxgan.core import checkpoint as checkpoints
from jaxgan.core import checksums, devices, weights
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.state import Player, Players, PyTree, RunState


def load_players(workdir: epath.PathLike, checkpoint: str = "best") -> dict[str, Player]:
    """Returns the players of a run as NumPy arrays, whatever devices they were trained on.

    Args:
        workdir: a run's folder, or one with exported weights.
        checkpoint: "best" (the last one if there has been no validation), "last", or the round of
            a checkpoint that was kept.

    Returns:
        The players by name; `opt_state` is None, and tuples in their trees become lists.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or another version of jaxgan wrote
            it.
    """
    if weights.exist(absolute(workdir)):
        if checkpoint not in ("best", "last"):
            raise UserError(f"{workdir} holds exported weights, so there is no round {checkpoint}")
        return weights.read(absolute(workdir))
    folder = checkpoints.find(workdir, checkpoint)
    path = folder / "players"
    with (
        checkpoints.readable(folder, "choose another checkpoint"),
        ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader,
    ):
        checksums.check(folder, ("players",))
        tree = reader.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        players = reader.restore(path, restore_args=as_numpy)
    return {name: Player(**fields) for name, fields in players.items()}


def deploy(players: Players, mesh: Mesh) -> Players:
    """Returns players on every device of the mesh, without what only training needs."""
    deployed = {name: player.without_training() for name, player in players.items()}
    placed: Players = devices.put_replicated(deployed, mesh)
    return placed


def adopt(
    state: RunState,
    workdir: epath.PathLike,
    checkpoint: str = "best",
    optional: Collection[str] = (),
    fresh: Collection[str] = (),
) -> RunState:
    """Returns a fresh state with the deployed networks of another run; all else stays fresh.

    Args:
        state: fresh and on its devices; gives the structure, shapes and shardings.
        workdir: the other run's folder.
        checkpoint: as for `load_players`.
        optional: players that the other run may lack; those stay fresh, too.
        fresh: players that stay fresh in any case.

    Raises:
        UserError: the other run lacks a player that is not optional, or an array of a player has
            another name, shape or type there.
    """
    loaded = load_players(workdir, checkpoint)
    missing = sorted(set(state.players) - set(loaded) - set(optional))
    if missing:
        raise UserError(f"init_from={workdir}: that run has no player {', '.join(missing)}")
    players = dict(state.players)
    for name in sorted((state.players.keys() & loaded.keys()) - set(fresh)):
        player, other = state.players[name], loaded[name]
        params = _adopt(player.params, other.deployed, f"{workdir}: {name}.params")
        players[name] = dataclasses.replace(
            player,
            params=params,
            state=_adopt(player.state, other.state, f"{workdir}: {name}.state"),
            # A separate copy, because the first step may overwrite both.
            average=player.average and jax.tree.map(jnp.copy, params),
        )
    return dataclasses.replace(state, players=players)


def _adopt(fresh: PyTree, loaded: PyTree, whose: str) -> PyTree:
    """Returns the loaded values in the structure, and with the shardings, of the fresh ones."""
    ours, theirs = _by_name(fresh), _by_name(loaded)
    if ours.keys() != theirs.keys():
        name = sorted(ours.keys() ^ theirs.keys())[0]
        where = "here" if name in ours else "there"
        raise UserError(f"init_from={whose} is another network: {name} exists only {where}")
    for name, leaf in ours.items():
        other = theirs[name]
        if (leaf.shape, leaf.dtype) != (other.shape, other.dtype):
            raise UserError(
                f"init_from={whose} is another network: {name} is "
                f"{other.dtype}{list(other.shape)} there and {leaf.dtype}{list(leaf.shape)} here"
            )
    leaves = [jax.device_put(theirs[name], leaf.sharding) for name, leaf in ours.items()]
    return jax.tree.unflatten(jax.tree.structure(fresh), leaves)


def _by_name(tree: PyTree) -> dict[str, Any]:
    """Returns the leaves by their paths, such as "layers/0/kernel"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
