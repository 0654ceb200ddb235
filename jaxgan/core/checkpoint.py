"""Checkpoints: the last and the best of a run, each whole or not there at all.

WORKDIR/checkpoints/ROUND/ holds three items that orbax commits together: `players` (parameters and
non-trained state), `training` (optimizers, step, key, memory) and `position` (JSON: round, best
round, seconds, the history's digests). The players stand alone so that evaluation reads them
without knowing how they were trained. History records are written before the checkpoint that lists
them. A run that is killed while saving leaves the previous checkpoint as it was.
"""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from jaxgan.core import history as history_files
from jaxgan.core.errors import UserError
from jaxgan.core.state import History, Player, PyTree, RunState

FOLDER = "checkpoints"
_STORAGE_ERRORS = ("os_error_code", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAVAILABLE")


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run stands: all of a checkpoint that is neither arrays nor history.

    Attributes:
        round: rounds done.
        wall_seconds: time spent on them, over every start of the run.
        best_round: the round with the highest objective, or None before the first validation.
        best_objective: that objective; -inf before.
    """

    round: int = 0
    wall_seconds: float = 0.0
    best_round: int | None = None
    best_objective: float = -math.inf

    def validated(self, objective: float) -> "Position":
        """The position after validation of its round."""
        if not objective > self.best_objective:
            return self
        return dataclasses.replace(self, best_round=self.round, best_objective=objective)


class Checkpoints:
    """The checkpoints of one run: reads the last one, writes new ones, keeps last and best.

    With several processes all of them make the same calls; process 0 writes.
    """

    def __init__(self, workdir: epath.PathLike) -> None:
        self._folder = absolute(workdir) / FOLDER
        self._history = absolute(workdir) / history_files.FOLDER
        self._digests: list[str | None] = []
        with _storage(f"cannot open {self._folder}"):
            self._manager = _manager(self._folder)

    def last(self) -> int | None:
        """The round of the last checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: RunState, history: History, position: Position) -> None:
        """Writes a checkpoint and removes those that are neither last nor best any more.

        Raises:
            UserError: the storage refused; earlier checkpoints are as they were.
        """
        kept = self.last()
        rescue = f"the checkpoint of round {kept} is unharmed; " if kept else ""
        with _storage(
            f"cannot save the checkpoint of round {position.round} in {self._folder}",
            f"{rescue}free space or mend the permissions, then run the same command again",
        ):
            self._append(history)
            items = ocp.args.Composite(
                players=ocp.args.StandardSave(_players_item(state)),
                training=ocp.args.StandardSave(_training_item(state)),
                position=ocp.args.JsonSave(
                    {**_to_json(position), "history": self._digests[: len(history)]}
                ),
            )
            self._manager.save(position.round, args=items, force=True)
            for number in self._manager.all_steps():
                if number not in (position.round, position.best_round):
                    self._manager.delete(number)

    def restore(self, fresh: RunState) -> tuple[RunState, History, Position]:
        """The last checkpoint, on the devices that `fresh` is on.

        Args:
            fresh: a state of the same run, for structure, shapes and shardings; its values are
                not used, and abstract leaves (`jax.ShapeDtypeStruct` with a sharding) serve.

        Raises:
            UserError: a file of the checkpoint or of its history is missing or damaged.
        """
        number = self.last()
        assert number is not None, "no checkpoint to restore"
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, fresh)
        with _readable(self._folder / str(number), self._manager.all_steps()):
            items = self._manager.restore(
                number,
                args=ocp.args.Composite(
                    players=ocp.args.StandardRestore(_players_item(target)),
                    training=ocp.args.StandardRestore(_training_item(target)),
                    position=ocp.args.JsonRestore(),
                ),
            )
            position, digests = _from_json(items["position"])
        records = history_files.read(self._history, digests)
        self._digests = list(digests)
        return _join(items["players"], items["training"]), records, position

    def close(self) -> None:
        """Waits for what orbax still does."""
        self._manager.close()

    def _append(self, history: History) -> None:
        for number in range(len(self._digests) + 1, len(history) + 1):
            written = (
                history_files.write(self._history, history[number - 1], number)
                if jax.process_index() == 0
                else None
            )
            self._digests.append(written)


def load_players(workdir: epath.PathLike, checkpoint: str = "best") -> dict[str, Player]:
    """The players of a run as NumPy arrays, without their optimizers' state.

    Args:
        workdir: a run's folder.
        checkpoint: "best" (the last one where nothing has been validated yet), "last", or the
            round of a checkpoint that was kept.

    Returns:
        By name; `opt_state` is None, lists and tuples inside are lists.

    Raises:
        UserError: there is no such checkpoint, or it cannot be read.
    """
    folder = absolute(workdir) / FOLDER
    number = find(workdir, checkpoint)
    path = folder / str(number) / "players"
    with (
        _readable(path.parent, kept_rounds(workdir)),
        ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader,
    ):
        tree = reader.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        players = reader.restore(path, restore_args=as_numpy)
    return {name: Player(**fields, opt_state=None) for name, fields in players.items()}


def find(workdir: epath.PathLike, checkpoint: str) -> int:
    """The round that "best", "last" or a number stands for in a run's folder.

    Raises:
        UserError: there is no such checkpoint.
    """
    rounds = kept_rounds(workdir)
    folder = absolute(workdir) / FOLDER
    if not rounds:
        raise UserError(f"{folder} holds no checkpoint; train first, or give another workdir")
    if checkpoint == "last":
        return rounds[-1]
    if checkpoint == "best":
        path = folder / str(rounds[-1])
        with _readable(path, rounds), ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            position, _ = _from_json(reader.restore(path / "position"))
        return rounds[-1] if position.best_round is None else position.best_round
    if checkpoint.isdecimal() and int(checkpoint) in rounds:
        return int(checkpoint)
    raise UserError(
        f"{folder} has no checkpoint {checkpoint!r}; say best, last, or one of the rounds "
        f"{', '.join(map(str, rounds))}"
    )


def kept_rounds(workdir: epath.PathLike) -> list[int]:
    """The rounds that a run's folder has whole checkpoints of, in order."""
    folder = absolute(workdir) / FOLDER
    if not folder.is_dir():
        return []
    return sorted(ocp.utils.checkpoint_steps(folder))


def adopt(state: RunState, workdir: epath.PathLike, checkpoint: str = "best") -> RunState:
    """A fresh state with the players' variables of another run; optimizers begin anew.

    Args:
        state: fresh, on its devices; gives structure, shapes and shardings.
        workdir: the other run's folder.
        checkpoint: as for `load_players`.

    Raises:
        UserError: the other run lacks a player, or one of its arrays has another name, shape or
            type.
    """
    loaded = load_players(workdir, checkpoint)
    missing = sorted(set(state.players) - set(loaded))
    if missing:
        raise UserError(f"init_from={workdir}: it has no player {', '.join(missing)}")
    players = {}
    for name, player in state.players.items():
        place = f"init_from={workdir}: {name}"
        fields = {
            field: _adopt_tree(getattr(player, field), getattr(loaded[name], field), place)
            for field in _variable_fields(player)
        }
        players[name] = dataclasses.replace(player, **fields)
    return dataclasses.replace(state, players=players)


def absolute(workdir: epath.PathLike) -> epath.Path:
    """The folder as orbax wants it: absolute, with ~ expanded; gs:// stays as it is."""
    path = epath.Path(workdir)
    return path if "://" in str(path) else path.expanduser().absolute()


def _adopt_tree(fresh: PyTree, loaded: PyTree, place: str) -> PyTree:
    expected, structure = jax.tree_util.tree_flatten_with_path(fresh)
    found = _by_path(loaded)
    names = [_name(path) for path, _ in expected]
    if set(names) != set(found):
        odd = sorted(set(names) ^ set(found))[0]
        raise UserError(f"{place}: the networks differ: only one of them has {odd}")
    for name, (_, leaf) in zip(names, expected, strict=True):
        ours, theirs = (leaf.shape, leaf.dtype), (found[name].shape, found[name].dtype)
        if ours != theirs:
            raise UserError(
                f"{place}: the networks differ: {name} is {theirs[1]}{list(theirs[0])} there and "
                f"{ours[1]}{list(ours[0])} here"
            )
    leaves = [
        jax.device_put(found[name], leaf.sharding)
        for name, (_, leaf) in zip(names, expected, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)


def _by_path(tree: PyTree) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _variable_fields(player: Player) -> list[str]:
    return [field.name for field in dataclasses.fields(player) if field.name != "opt_state"]


def _players_item(state: RunState) -> PyTree:
    return {
        name: {field: getattr(player, field) for field in _variable_fields(player)}
        for name, player in state.players.items()
    }


def _training_item(state: RunState) -> PyTree:
    return {
        "opt_states": {name: player.opt_state for name, player in state.players.items()},
        "step": state.step,
        "key": state.key,
        "memory": state.memory,
    }


def _join(players: PyTree, training: PyTree) -> RunState:
    whole = {
        name: Player(**fields, opt_state=training["opt_states"][name])
        for name, fields in players.items()
    }
    return RunState(
        players=whole, step=training["step"], key=training["key"], memory=training["memory"]
    )


def _to_json(position: Position) -> dict[str, Any]:
    plain = dataclasses.asdict(position)
    if position.best_round is None:
        plain["best_objective"] = None
    return plain


def _from_json(plain: dict[str, Any]) -> tuple[Position, list[str | None]]:
    fields = {key: value for key, value in plain.items() if key != "history"}
    if fields["best_objective"] is None:
        fields["best_objective"] = -math.inf
    return Position(**fields), plain["history"]


def _manager(folder: epath.Path) -> ocp.CheckpointManager:
    # Saving waits for the disk: 0.1 s for 2 million parameters, against rounds of seconds, and a
    # failure is known in the round it belongs to.
    options = ocp.CheckpointManagerOptions(
        enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    with _quiet():
        return ocp.CheckpointManager(folder, options=options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax from printing what is raised, or dealt with, anyway."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _storage(what: str, remedy: str = "choose another --workdir or mend it") -> Iterator[None]:
    """Turns what a full or forbidden disk raises into a UserError."""
    try:
        with _quiet():
            yield
    except OSError as error:
        raise UserError(f"{what}: {error.strerror or error}; {remedy}") from error
    except ValueError as error:
        # tensorstore reports the operating system's errors as ValueError.
        if not any(mark in str(error) for mark in _STORAGE_ERRORS):
            raise
        raise UserError(f"{what}: {_last_clause(error)}; {remedy}") from error


@contextlib.contextmanager
def _readable(path: epath.Path, rounds: Any) -> Iterator[None]:
    """Turns what a damaged or incomplete checkpoint raises into a UserError."""
    try:
        with _quiet():
            yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        others = [str(number) for number in rounds if str(number) != path.name]
        remedy = f"remove that folder to use round {others[-1]}" if others else "train anew"
        detail = _last_clause(error)
        raise UserError(f"{path} cannot be restored ({detail}); {remedy}") from error


def _last_clause(error: Exception) -> str:
    """The end of an error's chain of causes, on one line and without tensorstore's dumps."""
    lines = str(error).split(" [tensorstore_spec")[0].split(" [source locations")[0].splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 240 else f"... {text[-236:]}"
