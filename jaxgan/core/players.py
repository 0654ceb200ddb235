"""The trained networks of a run without its optimizers: to evaluate, to use, to begin with."""

import dataclasses
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from jaxgan.core import checkpoint as checkpoints
from jaxgan.core.errors import UserError
from jaxgan.core.state import Player, PyTree, RunState


def load_players(workdir: epath.PathLike, checkpoint: str = "best") -> dict[str, Player]:
    """The players of a run as NumPy arrays, whatever devices they were trained on.

    Args:
        workdir: a run's folder.
        checkpoint: "best" (the last one where no validation has been done), "last", or the round
            of one that was kept.

    Returns:
        By name; `opt_state` is None, tuples inside are lists.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    folder = checkpoints.find(workdir, checkpoint)
    path = folder / "players"
    description = checkpoints.describe(folder)
    with (
        checkpoints.readable(folder, "choose another checkpoint"),
        ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader,
    ):
        tree = reader.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        players = reader.restore(path, restore_args=as_numpy)
        checkpoints.verify(players, description, "players")
    return {name: Player(**fields, opt_state=None) for name, fields in players.items()}


def adopt(
    state: RunState,
    workdir: epath.PathLike,
    checkpoint: str = "best",
    optional: Collection[str] = (),
) -> RunState:
    """A fresh state with the networks of another run, as deployed; all else begins anew.

    Args:
        state: fresh, on its devices; gives structure, shapes and shardings.
        workdir: the other run's folder.
        checkpoint: as for `load_players`.
        optional: players that the other run may lack; they begin anew, too.

    Raises:
        UserError: the other run lacks another player, or one of its arrays has another name, shape
            or type.
    """
    loaded = load_players(workdir, checkpoint)
    missing = sorted(set(state.players) - set(loaded) - set(optional))
    if missing:
        raise UserError(f"init_from={workdir}: that run has no player {', '.join(missing)}")
    players = dict(state.players)
    for name in sorted(state.players.keys() & loaded.keys()):
        player, other = state.players[name], loaded[name]
        params = _adopt(player.params, other.deployed, f"{workdir}: {name}.params")
        players[name] = dataclasses.replace(
            player,
            params=params,
            state=_adopt(player.state, other.state, f"{workdir}: {name}.state"),
            # A copy of its own: the first step is given both to overwrite.
            average=player.average and jax.tree.map(jnp.copy, params),
        )
    return dataclasses.replace(state, players=players)


def _adopt(fresh: PyTree, loaded: PyTree, whose: str) -> PyTree:
    """The loaded values in the structure, and on the devices, of the fresh ones."""
    paths, structure = jax.tree_util.tree_flatten_with_path(fresh)
    ours = {checkpoints.leaf_name(path): leaf for path, leaf in paths}
    theirs = {
        checkpoints.leaf_name(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(loaded)[0]
    }
    refused = f"init_from={whose} is another network:"
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())[0]
        raise UserError(f"{refused} only one of the two has {odd}")
    for name, leaf in ours.items():
        other = theirs[name]
        if (leaf.shape, leaf.dtype) != (other.shape, other.dtype):
            raise UserError(
                f"{refused} {name} is {other.dtype}{list(other.shape)} there and "
                f"{leaf.dtype}{list(leaf.shape)} here"
            )
    leaves = [jax.device_put(theirs[name], leaf.sharding) for name, leaf in ours.items()]
    return jax.tree.unflatten(structure, leaves)
