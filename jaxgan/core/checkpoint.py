"""Checkpoints: the last and the best of a run, each whole or not there at all.

WORKDIR/checkpoints/ROUND/ holds three items that orbax commits together: `players` (parameters and
non-trained state), `training` (optimizers, step, key, memory) and `position` (JSON: round, best
round, seconds, and SHA-256 digests of the arrays and of the history; the array files themselves
would hide a flipped bit). The players stand alone so that evaluation reads them without knowing how
they were trained. History records are written before the checkpoint that lists them. A run that is
killed while saving leaves the previous checkpoint as it was.
"""

import contextlib
import dataclasses
import hashlib
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from jaxgan.core import history as history_files
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.state import History, Player, PyTree, RunState

FOLDER = "checkpoints"
_STRAGGLERS = 1.0
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

    With several processes all of them make the same calls; process 0 writes. The arrays of a state
    are replicated: every process holds all of them.

    Raises:
        UserError: the folder cannot be made or read.
    """

    def __init__(self, workdir: epath.PathLike) -> None:
        self._folder = absolute(workdir) / FOLDER
        self._history = absolute(workdir) / history_files.FOLDER
        self._digests: list[str | None] = []
        # Saving waits for the disk: 0.1 s for millions of parameters, against rounds of seconds,
        # and what goes wrong is known in the round that it belongs to.
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        with _storage(f"cannot open {self._folder}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def last(self) -> int | None:
        """The round of the last checkpoint, or None."""
        number: int | None = self._manager.latest_step()
        return number

    def save(self, state: RunState, history: History, position: Position) -> History:
        """Writes a checkpoint and removes those that are neither last nor best any more.

        Returns:
            The same history, its records read from their files from now on.

        Raises:
            UserError: the storage refused; earlier checkpoints are as they were.
        """
        kept = self.last()
        what = f"cannot save the checkpoint of round {position.round} in {self._folder}"
        players, training = _split(state)
        with _storage(what, f"the checkpoint of round {kept} is unharmed; " if kept else ""):
            self._append(history)
            description = {
                **_to_json(position),
                "sha256": {"players": digest(players), "training": digest(training)},
                "history": self._digests[: len(history)],
            }
            items = ocp.args.Composite(
                players=ocp.args.StandardSave(players),
                training=ocp.args.StandardSave(training),
                position=ocp.args.JsonSave(description),
            )
            self._manager.save(position.round, args=items, force=True)
            for number in self._manager.all_steps():
                if number not in (position.round, position.best_round):
                    self._manager.delete(number)
            return tuple(
                history_files.stored(self._history, record, number)
                for number, record in enumerate(history, 1)
            )

    def restore(self, fresh: RunState) -> tuple[RunState, History, Position]:
        """The last checkpoint, on the devices that `fresh` is on.

        Args:
            fresh: a state of the same run for structure, shapes and shardings: arrays, whose values
                are not used, or `jax.ShapeDtypeStruct`s with a sharding.

        Raises:
            UserError: a file of the checkpoint or of its history is missing or damaged.
        """
        number = self.last()
        if number is None:
            raise UserError(f"{self._folder} holds no checkpoint")
        others = [other for other in self._manager.all_steps() if other != number]
        remedy = f"remove that folder to go on after round {others[-1]}" if others else "train anew"
        players, training = _split(jax.tree.map(ocp.utils.to_shape_dtype_struct, fresh))
        with readable(self._folder / str(number), remedy):
            items = self._manager.restore(
                number,
                args=ocp.args.Composite(
                    players=ocp.args.StandardRestore(players),
                    training=ocp.args.StandardRestore(training),
                    position=ocp.args.JsonRestore(),
                ),
            )
            description = items["position"]
            for item in ("players", "training"):
                verify(items[item], description, item)
            position = _from_json(description)
        self._digests = list(description["history"])
        records = history_files.read(self._history, self._digests)
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


def rounds(workdir: epath.PathLike) -> list[int]:
    """The rounds that a run's folder has whole checkpoints of, in order."""
    folder = absolute(workdir) / FOLDER
    return sorted(ocp.utils.checkpoint_steps(folder)) if folder.is_dir() else []


def find(workdir: epath.PathLike, checkpoint: str) -> epath.Path:
    """The folder of a checkpoint.

    Args:
        workdir: a run's folder.
        checkpoint: "best" (the last one where no validation has been done), "last", or the round
            of one that was kept.

    Raises:
        UserError: there is no such checkpoint.
    """
    folder = absolute(workdir) / FOLDER
    kept = rounds(workdir)
    if not kept:
        raise UserError(f"{folder} holds no checkpoint; train first, or give another folder")
    if checkpoint == "best":
        best = _from_json(describe(folder / str(kept[-1]))).best_round
        return folder / str(best if best in kept else kept[-1])
    if checkpoint == "last":
        return folder / str(kept[-1])
    if checkpoint.isdecimal() and int(checkpoint) in kept:
        return folder / str(int(checkpoint))
    raise UserError(
        f"{folder} has no checkpoint {checkpoint!r}; say best, last, or one of the rounds "
        f"{', '.join(map(str, kept))}"
    )


def describe(path: epath.Path) -> dict[str, Any]:
    """The JSON of a checkpoint's folder."""
    with (
        readable(path, "choose another checkpoint"),
        ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader,
    ):
        description: dict[str, Any] = reader.restore(path / "position")
        return description


def digest(tree: PyTree) -> str:
    """SHA-256 in hex of the arrays of a tree with their names, types and shapes."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(jax.device_get(leaf))
        total.update(f"{leaf_name(path)} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def verify(tree: PyTree, description: dict[str, Any], item: str) -> None:
    """Raises ValueError unless the arrays are those that the checkpoint was made of."""
    if digest(tree) != description["sha256"][item]:
        raise ValueError(f"the arrays of {item} are damaged: their SHA-256 differs")


def leaf_name(path: tuple[Any, ...]) -> str:
    """Where a leaf stands in its tree: "params/Dense_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def variable_fields(player: Player) -> list[str]:
    """The fields of a player that its network needs: all but the optimizer's state."""
    return [field.name for field in dataclasses.fields(player) if field.name != "opt_state"]


@contextlib.contextmanager
def readable(path: epath.Path, remedy: str) -> Iterator[None]:
    """Turns what a damaged or incomplete checkpoint raises into a UserError."""
    try:
        with _quiet():
            yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be restored ({_short(error)}); {remedy}") from error


def _split(state: RunState) -> tuple[PyTree, PyTree]:
    """The items `players` and `training` of a state."""
    players = {
        name: {field: getattr(player, field) for field in variable_fields(player)}
        for name, player in state.players.items()
    }
    training = {
        "opt_states": {name: player.opt_state for name, player in state.players.items()},
        "step": state.step,
        "key": state.key,
        "memory": state.memory,
    }
    return players, training


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


def _from_json(plain: dict[str, Any]) -> Position:
    fields = {field.name: plain[field.name] for field in dataclasses.fields(Position)}
    if fields["best_objective"] is None:
        fields["best_objective"] = -math.inf
    return Position(**fields)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax and its threads from printing what is raised, or dealt with, anyway."""
    logger = logging.getLogger("absl")
    level, hooks = logger.level, (sys.excepthook, sys.unraisablehook)
    before = set(threading.enumerate())
    logger.setLevel(logging.CRITICAL)
    # tensorstore prints by way of excepthook what fails after its event loop has been closed.
    sys.excepthook, sys.unraisablehook = (lambda *_: None), (lambda _: None)
    try:
        yield
    except BaseException:
        # The other writers of a save that failed go on for a moment, and fail in their turn.
        end = time.monotonic() + _STRAGGLERS
        for thread in set(threading.enumerate()) - before:
            thread.join(max(0.0, end - time.monotonic()))
        raise
    finally:
        logger.setLevel(level)
        sys.excepthook, sys.unraisablehook = hooks


@contextlib.contextmanager
def _storage(what: str, rescue: str = "") -> Iterator[None]:
    """Turns what a full or forbidden disk raises into a UserError."""
    remedy = f"{rescue}free space or mend the permissions, then run the same command again"
    try:
        with _quiet():
            yield
    except OSError as error:
        raise UserError(f"{what} ({_short(error)}); {remedy}") from error
    except ValueError as error:
        # tensorstore reports the operating system's errors as ValueError.
        if not any(mark in str(error) for mark in _STORAGE_ERRORS):
            raise
        raise UserError(f"{what} ({_short(error)}); {remedy}") from error


def _short(error: Exception) -> str:
    """The reason in an error's text: on one line, without tensorstore's dumps."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).split(" [")[0].splitlines()
    line = text[0] if text else type(error).__name__
    return line if len(line) <= 200 else f"...{line[-200:]}"
