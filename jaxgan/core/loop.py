"""The run loop: all side effects of a training run, around the rounds of a recipe.

A round is the unit of training, of lines in metrics.jsonl and of checkpoints, and it is what a
killed run loses. Each round is trained, validated if that is due, logged, and saved if that is due.
A validation waits for scores from the host; they arrive while the next round trains, and then the
validated round is logged and saved before the next one. A run that is started again continues after
its last checkpoint and repeats, bit for bit, what an uninterrupted run does.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.core import (
    checkpoint,
    compiling,
    profiling,
    progress,
    settings,
    signals,
    tracker,
    weights,
)
from jaxgan.core import config as configs
from jaxgan.core import history as history_files
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.files import absolute, check_reachable, claimed, replace, writable, write_report
from jaxgan.core.finite import not_finite
from jaxgan.core.log import Log
from jaxgan.core.players import adopt
from jaxgan.core.recipe import Evaluation, Recipe
from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Compilations, Timer
from jaxgan.core.tracker import Tracker


def check(config: ConfigDict, workdir: epath.PathLike, may_change: Collection[str] = ()) -> int:
    """Checks that a run of this config can start or continue in this folder; changes nothing.

    Args:
        config: the config of the run.
        workdir: its folder.
        may_change: the recipe's keys that may differ from the run in the folder; see
            `Declaration.may_change`.

    Returns:
        How many rounds are done already: 0 for a new run, `config.rounds` for a finished one.

    Raises:
        UserError: the folder holds a run of another config (every differing key is named), or a
            setting of the run has an invalid value, or names no function.
    """
    settings.check(config)
    workdir = absolute(workdir)
    check_reachable(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file; give a folder")
    if weights.exist(workdir):
        raise UserError(
            f"--workdir={workdir} holds exported weights; start from them with --config.init_from, "
            "and give another folder"
        )
    done = checkpoint.completed(workdir)
    if done:
        configs.check_continues(
            configs.read(workdir), config, workdir, (*settings.MAY_CHANGE, *may_change)
        )
    if jax.process_index() == 0 and done < config.rounds:
        tracker.load(config.get("tracker", ""))
    return done


def finished(config: ConfigDict, workdir: epath.PathLike, may_change: Collection[str] = ()) -> bool:
    """Returns whether the run in this folder is complete, and prints so. Raises like `check`."""
    return _finished(check(config, workdir, may_change), config, workdir)


def _finished(done: int, config: ConfigDict, workdir: epath.PathLike) -> bool:
    """Returns whether no round is left after `done` rounds, and prints so."""
    if done >= config.rounds and jax.process_index() == 0:
        print(f"{workdir}: finished, {done} rounds are done; raise config.rounds to continue")
    return done >= config.rounds


def run(
    recipe: Recipe,
    config: ConfigDict,
    workdir: epath.PathLike,
    profile: int | None = None,
    may_change: Collection[str] = (),
) -> None:
    """Trains until `config.rounds` rounds are done, from the last checkpoint if there is one.

    The first Ctrl-C or SIGTERM ends the run after the round in flight, which is saved; the second
    one ends it at once. With several processes every process calls this function, with a folder
    that all of them see; process 0 writes.

    Args:
        recipe: the system. The caller closes it.
        config: see `settings.run_settings` for the keys that are read here.
        workdir: local or gs://.
        profile: a round to write a profiler trace of, into WORKDIR/profile.
        may_change: see `check`.

    Raises:
        UserError: the folder holds a run of another config or damaged files, another run is using
            it, or it cannot be written.
        NonFiniteError: a metric or the state is not finite any more; nothing of that round was
            saved.
        KeyboardInterrupt: the second signal.
    """
    workdir = absolute(workdir)
    done = check(config, workdir, may_change)
    if _finished(done, config, workdir):
        return
    if profile is not None and not done < profile <= config.rounds:
        raise UserError(
            f"--profile={profile}: the remaining rounds are {done + 1} to {config.rounds}"
        )
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(
            progress.show(config.rounds, done, recipe.phase_starts, silent=jax.process_index() > 0)
        )
        if jax.process_index() == 0:
            with writable(workdir):
                workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(workdir))
        stack.enter_context(compiling.reported(display.compiling))
        _write_config(config, workdir)
        _write_files(recipe.files, workdir, done)
        _write_reports(recipe.reports, workdir)
        checkpoints = stack.enter_context(
            contextlib.closing(Checkpoints(workdir, recipe.history_window))
        )
        state, history, position = _starting_point(recipe, config, checkpoints)
        display.say(_greeting(workdir, config, position))
        log = Log(workdir, position.round) if jax.process_index() == 0 else None
        if log:
            stack.enter_context(contextlib.closing(log))
        compilations = stack.enter_context(contextlib.closing(Compilations()))
        loop = _Loop(
            recipe,
            config,
            workdir,
            profile,
            checkpoints,
            log,
            display,
            compilations,
            track=Tracker(config.get("tracker", "") if log else "", display.say),
            timer=Timer(display.part),
            started=time.perf_counter() - position.wall_seconds,
            shown_at=time.perf_counter(),
        )
        stop = stack.enter_context(signals.listen(loop.reply))
        loop.go(state, history, position, stop)


class _Trained(NamedTuple):
    """A round that has been trained but not yet logged or saved.

    Attributes:
        number: the number of the round.
        state: the state after it.
        record: its history record.
        metrics: the metrics of the recipe.
        waited: the seconds in which the round waited for compilations.
        bad: the name of a value that is not finite, or an empty string.
        validation: waits for the validation, if one is due.
        times: seconds by part.
        compiled: how many programs were compiled, and the seconds that took.
    """

    number: int
    state: RunState
    record: Record
    metrics: Mapping[str, float]
    waited: float
    bad: str = ""
    validation: Callable[[], Evaluation] | None = None
    times: Mapping[str, float] = {}
    compiled: tuple[int, float] = (0, 0.0)


@dataclasses.dataclass
class _Loop:
    """The run without its state, its history and its position."""

    recipe: Recipe
    config: ConfigDict
    workdir: epath.Path
    profile: int | None
    checkpoints: Checkpoints
    log: Log | None
    display: progress.Display
    compilations: Compilations
    track: Tracker
    timer: Timer
    started: float  # on the clock of time.perf_counter, as if the run had never been stopped
    shown_at: float  # on the same clock: when the display last showed a round

    def go(self, state: RunState, history: History, position: Position, stop: signals.Stop) -> None:
        """Trains rounds until all are done, patience has ended, or `stop` is requested."""
        waiting: _Trained | None = None
        number = position.round
        while number < self.config.rounds and not self.patience_ended(position):
            number += 1
            trained = self.train(state, history, number)
            self.show(trained)
            state = trained.state
            if waiting:
                position, history = self.close(waiting, history, position)
                waiting = None
            # An uninterrupted run must see the same window of the history as a resumed one.
            history = history_files.bounded((*history, trained.record), self.recipe.history_window)
            trained = self.start_validation(trained)
            stopping = _anywhere(stop.requested is not None)
            overlaps = not (stopping or self.patience) and number < self.config.rounds
            if trained.validation and overlaps:
                # The next round may overwrite the memory of this state.
                waiting = trained._replace(state=_copied(state))
                continue
            position, history = self.close(trained, history, position, stopping)
            if stopping and number < self.config.rounds and not self.patience_ended(position):
                self.display.say(
                    f"stopped and saved after round {number}; the same command continues"
                )
                return
        if self.patience_ended(position) and position.round < self.config.rounds:
            self.display.say(f"ends early: the last {self.patience} validations were no better")
        self.display.say(_farewell(self.workdir, position))

    def train(self, state: RunState, history: History, number: int) -> _Trained:
        """Trains one round of the recipe and fetches its metrics."""
        traced = number == self.profile and jax.process_index() == 0
        trace = profiling.trace(self.workdir) if traced else contextlib.nullcontext()
        self.compilations.take_wait()  # that of the last validation
        with self.timer.part("round"), trace, _transfer_guard():
            state, record, metrics = self.recipe.round(state, history, number, self.timer)
            values = {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}
        record = history_files.freeze(record)
        return _Trained(number, state, record, values, self.compilations.take_wait())

    def start_validation(self, trained: _Trained) -> _Trained:
        """Starts the validation if one is due, and collects the times of the round."""
        bad, validation = not_finite(trained.metrics, trained.state), None
        if not bad and self.due(trained.number, "validation"):
            with self.timer.part("validation"):
                validation = self.recipe.evaluate(trained.state, trained.number)
        return trained._replace(
            bad=bad,
            validation=validation,
            times=self.timer.take(),
            compiled=self.compilations.take(),
        )

    def close(
        self, trained: _Trained, history: History, position: Position, stopping: bool = False
    ) -> tuple[Position, History]:
        """Waits for the validation of a round, logs the round, and saves it if that is due."""
        number, started = trained.number, time.perf_counter()
        position = dataclasses.replace(position, round=number)
        times, evaluation = dict(trained.times), None
        if trained.validation:
            self.display.part("validation")
            evaluation = _agreed(trained.validation())
            position = position.validated(evaluation.objective)
            times["validation"] += time.perf_counter() - started
        position = dataclasses.replace(position, wall_seconds=time.perf_counter() - self.started)
        self.write(trained._replace(times=times), position, evaluation)
        if trained.bad:
            raise NonFiniteError(self.explain(trained.bad, number))
        ends = stopping or self.patience_ended(position)
        if ends or position.best_round == number or self.due(number, "checkpoint"):
            with self.timer.part("checkpoint"):
                history = self.checkpoints.save(trained.state, history, position)
        if evaluation:
            shown = list(evaluation.metrics.items())[: evaluation.shown]
            self.display.validated(number, dict(shown))
        return position, history

    @property
    def patience(self) -> int:
        """`config.validation.patience`; 0 (no limit) for a config that lacks it."""
        return int(self.config.validation.get("patience", 0))

    def patience_ended(self, position: Position) -> bool:
        """Returns whether the last `config.validation.patience` validations were not better."""
        if not self.patience or position.best_round is None:
            return False
        return position.round - position.best_round >= self.patience * self.config.validation.every

    def due(self, number: int, what: str) -> bool:
        """Returns whether validation or a checkpoint is due after this round."""
        return number % self.config[what].every == 0 or number == self.config.rounds

    def write(self, trained: _Trained, position: Position, evaluation: Evaluation | None) -> None:
        """Logs the round. Saving follows, so its time is in the line of a later round."""
        if not self.log:
            return
        row: dict[str, int | float] = {
            "round": position.round,
            "step": int(jax.device_get(trained.state.step)),
            "wall_seconds": position.wall_seconds,
        }
        for name, value in trained.metrics.items():
            if name.startswith("throughput/"):
                row[f"{name}_per_second"] = value / (trained.times["round"] - trained.waited)
            else:
                row[name if "/" in name else f"train/{name}"] = value
        if evaluation:
            for name, value in evaluation.metrics.items():
                row[name if "/" in name else f"valid/{name}"] = value
        row.update({f"time/{name}": seconds for name, seconds in trained.times.items()})
        compilations, compiling = trained.compiled
        row.update({"time/compile": compiling, "compilations": compilations})
        row["time/compile_wait"] = trained.waited
        self.track(self.log.write(row, evaluation.media if evaluation else {}))

    def show(self, trained: _Trained) -> None:
        """Shows the losses of a round in the progress display, as soon as it is trained."""
        values = {name: value for name, value in trained.metrics.items() if name.endswith("loss")}
        now = time.perf_counter()
        self.display.round_done(trained.number, values, now - self.shown_at)
        self.shown_at = now

    def reply(self, name: str) -> str:
        """Returns the answer to the signal `name`, which asks the run to stop."""
        saved = self.checkpoints.last()
        since = f"round {saved} is saved" if saved else "nothing is saved yet"
        return f"{name}: finishing this round, then saving; again to stop at once ({since})"

    def explain(self, bad: str, number: int) -> str:
        """Returns the error message for a value that is not finite."""
        saved = self.checkpoints.last()
        kept = (
            f"the checkpoint of round {saved} is kept in {self.workdir}"
            if saved
            else "nothing was saved yet"
        )
        return (
            f"round {number}: {bad} is not finite; {kept}. Try a lower learning rate, or find the "
            "operation with --debug_nans; a changed config needs another --workdir and can start "
            "from this run with --config.init_from"
        )


def _starting_point(
    recipe: Recipe, config: ConfigDict, checkpoints: Checkpoints
) -> tuple[RunState, History, Position]:
    # 1. The shapes and shardings of a fresh state, whatever follows.
    state = recipe.init(jax.random.key(config.seed))
    # 2. This run's own last checkpoint.
    if checkpoints.last() is not None:
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
        )
        del state
        return checkpoints.restore(abstract)
    # 3. The players of another run.
    if config.get("init_from"):
        which = config.get("init_checkpoint", "best")
        optional, fresh = recipe.optional_players, recipe.fresh_players
        return adopt(state, config.init_from, which, optional, fresh), (), Position()
    # 4. From scratch.
    return state, (), Position()


def _write_config(config: ConfigDict, workdir: epath.Path) -> None:
    if jax.process_count() > 1:
        # Every process must have compared the old file before process 0 replaces it.
        multihost_utils.sync_global_devices("config checked")
    if jax.process_index() == 0:
        with writable(workdir):
            configs.write(config, workdir)


def _write_files(files: Mapping[str, bytes], workdir: epath.Path, done: int) -> None:
    """Writes the recipe's files; a run that continues must find the same files in its folder."""
    if jax.process_index() > 0:
        return
    for name, data in files.items():
        path = workdir / name
        if done and path.exists() and path.read_bytes() != data:
            raise UserError(
                f"{path} differs from what the data now give, so this run cannot continue: restore "
                "the data, or give another --workdir"
            )
        with writable(workdir):
            replace(path, data)


def _write_reports(reports: Mapping[str, bytes], workdir: epath.Path) -> None:
    if jax.process_index() == 0:
        with writable(workdir):
            for name, data in reports.items():
                write_report(workdir / name, data)


def _greeting(workdir: epath.Path, config: ConfigDict, position: Position) -> str:
    if position.round:
        return f"{workdir}: continues after round {position.round} of {config.rounds}"
    source = f" with the networks of {config.init_from}" if config.get("init_from") else ""
    return f"{workdir}: starts{source}, {config.rounds} rounds"


def _farewell(workdir: epath.Path, position: Position) -> str:
    best = f"; the best is round {position.best_round}" if position.best_round else ""
    spent = progress.duration(position.wall_seconds)
    return f"{workdir}: done, {position.round} rounds in {spent}{best}"


def _transfer_guard() -> contextlib.AbstractContextManager[None]:
    # jax_debug_nans reads every result, which the guard would refuse.
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        return contextlib.nullcontext()
    return jax.transfer_guard("disallow")


@jax.jit
def _copied(state: RunState) -> RunState:
    return jax.tree.map(jnp.copy, state)


def _anywhere(flag: bool) -> bool:
    """Returns whether the flag is set in any process."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def _agreed(evaluation: Evaluation) -> Evaluation:
    """Returns the evaluation with process 0's objective, so that all agree on the best one."""
    if jax.process_count() == 1:
        return evaluation
    objective = multihost_utils.broadcast_one_to_all(np.float32(evaluation.objective))
    return dataclasses.replace(evaluation, objective=float(objective))
