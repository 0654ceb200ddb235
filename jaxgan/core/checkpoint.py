"""Checkpoints: a run keeps its last and its best one, and each is either complete or absent.

WORKDIR/checkpoints/ROUND/ holds three items, which orbax commits together: `players` (parameters
and other variables of the networks), `training` (optimizers, step, key, memory) and `position`
(JSON: the format version, the round, the best round, the time spent, and the SHA-256 of each file
of the history). Because the players are an item of their own, evaluation reads them without
knowing how they were trained. The records of the history are written before the checkpoint that
lists them, so a run that is killed while it saves still has its previous checkpoint.

After the commit, a thread writes the SHA-256 of the checkpoint's files to ROUND/sha256.json, and
every reader compares the files with it: orbax restores arrays with flipped bits without an error. A
process that is killed before the thread is done leaves a checkpoint without checksums. It is
usable, and `Checkpoints.restore` adds the missing checksums.
"""

import concurrent.futures
import contextlib
import dataclasses
import logging
import math
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as managers

from jaxgan.core import checksums
from jaxgan.core import history as history_files
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, reason, writable
from jaxgan.core.state import History, PyTree, RunState

FOLDER = "checkpoints"
ORBAX_FILE = "_CHECKPOINT_METADATA"
"""The file by which orbax marks the folder of a checkpoint."""
FORMAT = 2
"""The version of the layout above; a checkpoint of any other version is refused."""

# orbax logs, with tracebacks and from several threads, the errors that it also raises.
logging.getLogger("absl").addFilter(lambda record: "/orbax/" not in record.pathname)
# When one read or write fails, orbax raises its error and forgets the tasks of the others.
logging.getLogger("asyncio").addFilter(lambda record: not _is_forgotten(record.exc_info))
warnings.filterwarnings("ignore", r"coroutine 'Store\.\w+' was never awaited", RuntimeWarning)


def _is_forgotten(raised: Any) -> bool:
    """Returns whether a log record's `exc_info` is of an error in a task that orbax has forgotten.

    Orbax is in its traceback, unless tensorstore has set the error from a thread of its own.
    """
    _, error, trace = raised or (None, None, None)
    if isinstance(error, ValueError) and re.match('[A-Z_]+: Error opening "', str(error)):
        return True
    return any("/orbax/" in frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace))


def _silence_closed_loops() -> None:
    """Drops messages of tensorstore's threads about reads whose error orbax has already raised.

    Their callbacks find the event loop closed. Python reports that through either hook.
    """
    report, report_unraisable = sys.excepthook, sys.unraisablehook

    def is_closed_loop(error: BaseException | None) -> bool:
        return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not is_closed_loop(error):
            report(kind, error, trace)

    def unraisable_hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not is_closed_loop(unraisable.exc_value):
            report_unraisable(unraisable)

    sys.excepthook, sys.unraisablehook = hook, unraisable_hook


_silence_closed_loops()


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a run has come.

    Attributes:
        round: the number of completed rounds.
        wall_seconds: the time spent on them, summed over all starts of the run.
        best_round: the round with the highest objective; None before the first validation.
        best_objective: that objective; -inf before the first validation.
    """

    round: int = 0
    wall_seconds: float = 0.0
    best_round: int | None = None
    best_objective: float = -math.inf

    def validated(self, objective: float) -> "Position":
        """Returns the position after the validation of its round; NaN is never the best."""
        if not objective > self.best_objective:
            return self
        return dataclasses.replace(self, best_round=self.round, best_objective=objective)


class Checkpoints:
    """Saves and restores the checkpoints of one run.

    With several processes, all of them make the same calls. Every process writes the shards of the
    arrays that it holds; process 0 writes everything else.

    Args:
        workdir: the run's folder, local or gs://.
        history_window: how many of the last rounds' records a checkpoint keeps; None: all of them.

    Raises:
        UserError: the folder cannot be created or read, or holds something else in place of a
            checkpoint.
    """

    def __init__(self, workdir: epath.PathLike, history_window: int | None = None) -> None:
        self._folder = absolute(workdir) / FOLDER
        self._history = absolute(workdir) / history_files.FOLDER
        self._window = history_window
        self._digests: list[str | None] = []
        self._preserved = managers.AnyPreservationPolicy([])
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checksums")
        self._checksums: concurrent.futures.Future[None] | None = None
        # Saving is synchronous: it takes 0.1 s for millions of parameters, rounds take seconds, and
        # an error is raised in the round that it belongs to.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._preserved,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        rounds(workdir)  # raises for a folder that orbax would take for a checkpoint
        with writable(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def last(self) -> int | None:
        """Returns the round of the last checkpoint, or None."""
        number: int | None = self._manager.latest_step()
        return number

    def save(self, state: RunState, history: History, position: Position) -> History:
        """Writes a checkpoint and removes those that are neither the last nor the best any more.

        Returns:
            The history as the checkpoint keeps it: empty records before the window, and records
            whose large arrays are read from their files from now on.

        Raises:
            UserError: the checkpoint, or the checksums of the previous one, cannot be written.
                Earlier checkpoints are as they were.
        """
        self._finish_checksums()
        previous = self.last()
        intact = f"the checkpoint of round {previous} is intact; " if previous else ""
        players, training = _split(state)
        with writable(self._folder, intact):
            history = history_files.bounded(history, self._window)
            self._append(history)
            items = ocp.args.Composite(
                players=ocp.args.StandardSave(players),
                training=ocp.args.StandardSave(training),
                position=ocp.args.JsonSave(_to_json(position, self._digests[: len(history)])),
            )
            best = [] if position.best_round is None else [position.best_round]
            self._preserved.policies = [managers.LatestN(1), managers.CustomSteps(best)]
            self._manager.save(position.round, args=items, force=True)
            if self._window is not None and jax.process_index() == 0:
                history_files.remove_unused(self._history, self._manager.all_steps(), self._window)
            history = tuple(
                history_files.stored(self._history, record, number)
                for number, record in enumerate(history, 1)
            )
        self._begin_checksums(position.round)
        return history

    def restore(self, fresh: RunState) -> tuple[RunState, History, Position]:
        """Returns what the last checkpoint holds, with the shardings of `fresh`.

        The checkpoint's own files are checked here, and each file of the history when it is first
        read.

        Args:
            fresh: a state of the same run, which gives structure, shapes and shardings: arrays,
                whose values are not used, or `jax.ShapeDtypeStruct`s with a sharding.

        Raises:
            UserError: a file of the checkpoint is missing or damaged, a file of its history is
                missing, or another version of jaxgan wrote the checkpoint.
        """
        self._finish_checksums()
        number = self.last()
        if number is None:
            raise UserError(f"{self._folder} holds no checkpoint")
        remedy = _remedy(self._manager.all_steps())
        folder = self._folder / str(number)
        position, self._digests = _read_position(folder, remedy)
        players, training = _split(jax.tree.map(ocp.utils.to_shape_dtype_struct, fresh))
        with readable(folder, remedy):
            checksums.check(folder)
            items = self._manager.restore(
                number,
                args=ocp.args.Composite(
                    players=ocp.args.StandardRestore(players),
                    training=ocp.args.StandardRestore(training),
                ),
            )
        records = history_files.read(self._history, self._digests)
        if not checksums.recorded(folder):
            self._begin_checksums(number)
        return _join(items["players"], items["training"]), records, position

    def close(self) -> None:
        """Waits until all checksums are written. Raises UserError if they cannot be."""
        try:
            self._finish_checksums()
        finally:
            self._thread.shutdown()
            self._manager.close()

    def _append(self, history: History) -> None:
        """Writes the records that are not in files yet, and forgets those before the window."""
        first = 0 if self._window is None else max(0, len(history) - self._window)
        self._digests[:first] = [None] * min(first, len(self._digests))
        for number in range(len(self._digests) + 1, len(history) + 1):
            written = (
                history_files.write(self._history, history[number - 1], number)
                if jax.process_index() == 0
                else None
            )
            self._digests.append(written)

    def _begin_checksums(self, number: int) -> None:
        if jax.process_index() == 0:
            folder = self._folder / str(number)
            self._checksums = self._thread.submit(checksums.write, folder)

    def _finish_checksums(self) -> None:
        pending, self._checksums = self._checksums, None
        if pending is not None:
            with writable(self._folder):
                pending.result()


def rounds(workdir: epath.PathLike) -> list[int]:
    """Returns the rounds whose complete checkpoints are in a run's folder, in order.

    Raises:
        UserError: a folder that has the name of a round is not a checkpoint.
    """
    folder = absolute(workdir) / FOLDER
    if not folder.is_dir():
        return []
    found = sorted(ocp.utils.checkpoint_steps(folder))
    for number in found:
        if not (folder / str(number) / ORBAX_FILE).is_file():
            raise UserError(
                f"{folder / str(number)} is not a checkpoint that jaxgan has written (it has no "
                f"{ORBAX_FILE}): remove that folder"
            )
    return found


def completed(workdir: epath.PathLike) -> int:
    """Returns how many rounds of a run can be restored, 0 if it has no checkpoint.

    Raises:
        UserError: another version of jaxgan wrote the last checkpoint, or its position is damaged.
    """
    kept = rounds(workdir)
    if not kept:
        return 0
    _read_position(absolute(workdir) / FOLDER / str(kept[-1]), _remedy(kept))
    return kept[-1]


def find(workdir: epath.PathLike, checkpoint: str) -> epath.Path:
    """Returns the folder of a checkpoint.

    Args:
        workdir: a run's folder.
        checkpoint: "best" (the last one if there has been no validation), "last", or the round of
            a checkpoint that was kept.

    Raises:
        UserError: there is no such checkpoint, or another version of jaxgan wrote it.
    """
    folder = absolute(workdir) / FOLDER
    kept = rounds(workdir)
    if not kept:
        raise UserError(f"{folder} holds no checkpoint; train first, or give another folder")
    number = kept[-1]
    if checkpoint == "best":
        best = _read_position(folder / str(number))[0].best_round
        number = best if best in kept else number
    elif checkpoint != "last":
        if not checkpoint.isdecimal() or int(checkpoint) not in kept:
            raise UserError(
                f"{folder} has no checkpoint {checkpoint!r}; give best, last, or one of the rounds "
                f"{', '.join(map(str, kept))}"
            )
        number = int(checkpoint)
    _read_position(folder / str(number))
    return folder / str(number)


@contextlib.contextmanager
def readable(path: epath.Path, remedy: str) -> Iterator[None]:
    """Turns the errors that a damaged or incomplete checkpoint causes into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # orbax raises this very class for an array that it cannot read
        raise UserError(f"{path} cannot be restored ({reason(error)}); {remedy}") from error


def _read_position(
    folder: epath.Path, remedy: str = "choose another checkpoint"
) -> tuple[Position, list[str | None]]:
    """Returns the position and the digests of the history that a checkpoint's folder holds.

    Raises:
        UserError: the position cannot be read or is damaged, or the format is not `FORMAT`.
    """
    with (
        readable(folder, remedy),
        ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader,
    ):
        checksums.check(folder, ("position",))
        content: dict[str, Any] = reader.restore(folder / "position")
        found = content.get("format", 1)
        if found == FORMAT:
            fields = {field.name: content[field.name] for field in dataclasses.fields(Position)}
            if fields["best_round"] is None:
                fields["best_objective"] = -math.inf
            return Position(**fields), list(content["history"])
    raise UserError(
        f"{folder} is in checkpoint format {found}, and this version of jaxgan reads only format "
        f"{FORMAT}: train again with this version, or use the release that wrote it"
    )


def _remedy(kept: Sequence[int]) -> str:
    """Returns how a run can continue without the last of its checkpoints."""
    if len(kept) > 1:
        return f"remove that folder to continue after round {kept[-2]}"
    return "start a new run in another --workdir"


def _to_json(position: Position, digests: list[str | None]) -> dict[str, Any]:
    content = {"format": FORMAT, **dataclasses.asdict(position), "history": digests}
    if position.best_round is None:
        # JSON has no infinity.
        content["best_objective"] = None
    return content


def _split(state: RunState) -> tuple[PyTree, PyTree]:
    """Returns the items `players` and `training` of a state."""
    players = {
        name: dataclasses.replace(player, opt_state=None) for name, player in state.players.items()
    }
    opt_states = {name: player.opt_state for name, player in state.players.items()}
    return players, dataclasses.replace(state, players=opt_states)


def _join(players: PyTree, training: PyTree) -> RunState:
    whole = {
        name: dataclasses.replace(player, opt_state=training.players[name])
        for name, player in players.items()
    }
    state: RunState = dataclasses.replace(training, players=whole)
    return state
