"""The run loop: everything with a side effect that a training run has, around a recipe's rounds.

A round is the unit of everything: of training, of a line in metrics.jsonl, of a checkpoint, of
what a killed run loses. For every round, in this order: train, validate where it is due, write the
line, save where it is due. What a validation waits for, scores from the host, comes in while the
next round trains; then its round is written and saved, before that one. A run that is started again
goes on after its last checkpoint and repeats, bit for bit, what an uninterrupted run does.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.core import checkpoint, profiling, progress, signals
from jaxgan.core import config as configs
from jaxgan.core import history as history_files
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.files import absolute, claimed, replace, writable
from jaxgan.core.finite import not_finite
from jaxgan.core.log import Log
from jaxgan.core.players import adopt
from jaxgan.core.recipe import Evaluation, Recipe
from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Compilations, Timer


def check(config: ConfigDict, workdir: epath.PathLike) -> int:
    """Whether a run of this config can begin or go on in this folder; changes nothing.

    Returns:
        The rounds that are done already: 0 for a new run, `config.rounds` for a finished one.

    Raises:
        UserError: the folder holds a run of another config, with every key named, or a setting of
            the loop makes no sense.
    """
    if config.seed < 0:
        raise UserError(f"config.seed={config.seed}: must be 0 or more")
    counts = {
        "rounds": config.rounds,
        "validation.every": config.validation.every,
        "checkpoint.every": config.checkpoint.every,
    }
    for key, count in counts.items():
        if count < 1:
            raise UserError(f"config.{key}={count}: must be 1 or more")
    workdir = absolute(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file; give a folder")
    done = checkpoint.completed(workdir)
    if done:
        configs.check_continues(configs.read(workdir), config, workdir)
    return done


def finished(config: ConfigDict, workdir: epath.PathLike) -> bool:
    """Whether the run in this folder has all its rounds; if so, says it. Raises as `check`."""
    done = check(config, workdir)
    if done and done >= config.rounds and jax.process_index() == 0:
        print(f"{workdir}: finished, {done} rounds are done; raise config.rounds to go on")
    return done >= config.rounds


def run(
    recipe: Recipe, config: ConfigDict, workdir: epath.PathLike, profile: int | None = None
) -> None:
    """Trains until `config.rounds` rounds are done, from the last checkpoint where there is one.

    Ctrl-C or SIGTERM ends it after the round in flight, saved; a second one at once. With several
    processes every one calls this, on a folder that all of them see; process 0 writes.

    Args:
        recipe: the system; the caller closes it.
        config: keys read here: rounds, seed, validation.every, checkpoint.every, and where they are
            set init_from (a run whose players a new run begins with), init_checkpoint (which of
            that run's, the best unless it says another) and debug_nans.
        workdir: local or gs://.
        profile: a round to write a profiler trace of, into WORKDIR/profile.

    Raises:
        UserError: the folder holds another config's run or damaged files, another run is at work in
            it, or it cannot be written.
        NonFiniteError: a metric or the state stopped being finite; nothing of that round was saved.
        KeyboardInterrupt: the second signal.
    """
    workdir = absolute(workdir)
    if finished(config, workdir):
        return
    done = check(config, workdir)
    if profile is not None and not done < profile <= config.rounds:
        raise UserError(
            f"--profile={profile}: the rounds still to run are {done + 1} to {config.rounds}"
        )
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(
            progress.show(config.rounds, done, silent=jax.process_index() > 0)
        )
        if jax.process_index() == 0:
            with writable(workdir):
                workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(workdir))
        _write_config(config, workdir)
        _write_kept(getattr(recipe, "keeps", {}), workdir, done)
        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(workdir)))
        state, history, position = _begin(recipe, config, checkpoints)
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
            timer=Timer(display.part),
            begun=time.perf_counter() - position.wall_seconds,
        )
        stop = stack.enter_context(signals.listen(loop.reply))
        loop.go(state, history, position, stop)


class _Trained(NamedTuple):
    """A round that has been trained, and is not written or saved yet.

    Attributes:
        number: of the round.
        state: after it.
        record: for later rounds.
        metrics: of the recipe.
        seconds: that it took.
        bad: what of it is not finite, or an empty string.
        validation: waits for the validation, where one is due.
        times: seconds by part.
        compiled: programs, and seconds.
    """

    number: int
    state: RunState
    record: Record
    metrics: Mapping[str, float]
    seconds: float
    bad: str = ""
    validation: Callable[[], Evaluation] | None = None
    times: Mapping[str, float] = {}
    compiled: tuple[int, float] = (0, 0.0)


@dataclasses.dataclass
class _Loop:
    """What stays the same from round to round."""

    recipe: Recipe
    config: ConfigDict
    workdir: epath.Path
    profile: int | None
    checkpoints: Checkpoints
    log: Log | None
    display: progress.Display
    compilations: Compilations
    timer: Timer
    begun: float  # on the clock of time.perf_counter, as if the run had never been stopped

    def go(self, state: RunState, history: History, position: Position, stop: signals.Stop) -> None:
        """Rounds until all are done or `stop` is requested."""
        waiting: _Trained | None = None
        number = position.round
        while number < self.config.rounds:
            number += 1
            trained = self.train(state, history, number)
            state = trained.state
            if waiting:
                position, history = self.close(waiting, history, position)
                waiting = None
            history = (*history, trained.record)
            trained = self.begin_validation(trained)
            stopping = _anywhere(stop.requested is not None)
            if trained.validation and not stopping and number < self.config.rounds:
                # The next round may be given the memory that this state lies in.
                waiting = trained._replace(state=_copied(state))
                continue
            position, history = self.close(trained, history, position, stopping)
            if stopping and number < self.config.rounds:
                self.display.say(
                    f"stopped and saved after round {number}; the same command goes on"
                )
                return
        self.display.say(_farewell(self.workdir, position))

    def train(self, state: RunState, history: History, number: int) -> _Trained:
        """One round of the recipe, with its metrics on the host."""
        traced = number == self.profile and jax.process_index() == 0
        trace = profiling.trace(self.workdir) if traced else contextlib.nullcontext()
        started = time.perf_counter()
        with self.timer.part("round"), trace, _transfer_guard():
            state, record, metrics = self.recipe.round(state, history, number, self.timer)
            values = {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}
        record = history_files.freeze(record)
        return _Trained(number, state, record, values, time.perf_counter() - started)

    def begin_validation(self, trained: _Trained) -> _Trained:
        """Asks for the validation where one is due, and takes the times of the round."""
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
        """Waits for the validation of a round, writes its line, and saves it where that is due."""
        number, started = trained.number, time.perf_counter()
        position = dataclasses.replace(position, round=number)
        times, evaluation = dict(trained.times), None
        if trained.validation:
            self.display.part("validation")
            evaluation = _agreed(trained.validation())
            position = position.validated(evaluation.objective)
            times["validation"] += time.perf_counter() - started
        position = dataclasses.replace(position, wall_seconds=time.perf_counter() - self.begun)
        self.write(trained._replace(times=times), position, evaluation)
        if trained.bad:
            raise NonFiniteError(self.explain(trained.bad, number))
        if stopping or position.best_round == number or self.due(number, "checkpoint"):
            with self.timer.part("checkpoint"):
                history = self.checkpoints.save(trained.state, history, position)
        seconds = trained.seconds + time.perf_counter() - started
        self.show(number, trained.metrics, evaluation, seconds)
        return position, history

    def due(self, number: int, what: str) -> bool:
        """Whether validation or a checkpoint is due after this round."""
        return number % self.config[what].every == 0 or number == self.config.rounds

    def write(self, trained: _Trained, position: Position, evaluation: Evaluation | None) -> None:
        """The round's line. Saving comes after it, so its time stands in a later line."""
        if not self.log:
            return
        row: dict[str, int | float] = {
            "round": position.round,
            "step": int(jax.device_get(trained.state.step)),
            "wall_seconds": position.wall_seconds,
        }
        for name, value in trained.metrics.items():
            if name.startswith("throughput/"):
                row[f"{name}_per_second"] = value / trained.times["round"]
            else:
                row[name if "/" in name else f"train/{name}"] = value
        if evaluation:
            for name, value in evaluation.metrics.items():
                row[name if "/" in name else f"valid/{name}"] = value
        row.update({f"time/{name}": seconds for name, seconds in trained.times.items()})
        compilations, compiling = trained.compiled
        row.update({"time/compile": compiling, "compilations": compilations})
        self.log.write(row, evaluation.media if evaluation else {})

    def show(
        self,
        number: int,
        metrics: Mapping[str, float],
        evaluation: Evaluation | None,
        seconds: float,
    ) -> None:
        """The round's losses and the first metrics of validation, in the progress display."""
        values = {name: value for name, value in metrics.items() if name.endswith("loss")}
        if evaluation:
            values.update(list(evaluation.metrics.items())[: evaluation.shown])
        self.display.round_done(number, values, seconds)

    def reply(self, name: str) -> str:
        """What is told to who asks the run to end."""
        saved = self.checkpoints.last()
        since = f"round {saved} is saved" if saved else "nothing is saved yet"
        return f"{name}: finishing this round, then saving; again to stop at once ({since})"

    def explain(self, bad: str, number: int) -> str:
        """What is told when a number is not finite."""
        saved = self.checkpoints.last()
        kept = (
            f"the checkpoint of round {saved} is kept in {self.workdir}"
            if saved
            else "nothing was saved yet"
        )
        return (
            f"round {number}: {bad} is not finite; {kept}. Try a lower learning rate, or find the "
            "operation with --debug_nans; a changed config needs another --workdir and can begin "
            "with --config.init_from"
        )


def _begin(
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
        optional = getattr(recipe, "begin_anew", ())
        return adopt(state, config.init_from, which, optional), (), Position()
    # 4. From scratch.
    return state, (), Position()


def _write_config(config: ConfigDict, workdir: epath.Path) -> None:
    if jax.process_count() > 1:
        # Every process has compared the file that was there before one replaces it.
        multihost_utils.sync_global_devices("config checked")
    if jax.process_index() == 0:
        with writable(workdir):
            configs.write(config, workdir)


def _write_kept(files: Mapping[str, bytes], workdir: epath.Path, done: int) -> None:
    """Writes what a recipe keeps beside its run; a run that goes on has to find the same there."""
    if jax.process_index() > 0:
        return
    for name, data in files.items():
        path = workdir / name
        if done and path.exists() and path.read_bytes() != data:
            raise UserError(
                f"{path} is not what the data give now, so this run cannot go on with them: "
                "restore the data, or give another --workdir"
            )
        with writable(workdir):
            replace(path, data)


def _greeting(workdir: epath.Path, config: ConfigDict, position: Position) -> str:
    if position.round:
        return f"{workdir}: goes on after round {position.round} of {config.rounds}"
    source = f" with the players of {config.init_from}" if config.get("init_from") else ""
    return f"{workdir}: begins{source}, {config.rounds} rounds"


def _farewell(workdir: epath.Path, position: Position) -> str:
    best = f"; the best is round {position.best_round}" if position.best_round else ""
    spent = progress.duration(position.wall_seconds)
    return f"{workdir}: done, {position.round} rounds in {spent}{best}"


def _transfer_guard() -> contextlib.AbstractContextManager[None]:
    # Looking for NaNs reads every result, which the guard would refuse.
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        return contextlib.nullcontext()
    return jax.transfer_guard("disallow")


@jax.jit
def _copied(state: RunState) -> RunState:
    return jax.tree.map(jnp.copy, state)


def _anywhere(flag: bool) -> bool:
    """Whether any process says so."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def _agreed(evaluation: Evaluation) -> Evaluation:
    """The evaluation with process 0's objective, so that all keep the same best checkpoint."""
    if jax.process_count() == 1:
        return evaluation
    objective = multihost_utils.broadcast_one_to_all(np.float32(evaluation.objective))
    return dataclasses.replace(evaluation, objective=float(objective))
