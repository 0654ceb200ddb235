"""The run loop: everything with a side effect that a training run has, around a recipe's rounds.

A round is the unit of everything: of training, of a line in metrics.jsonl, of a checkpoint, of
what a killed run loses. For every round, in this order: train, validate where it is due, write the
line, save where it is due. A run that is started again goes on after its last checkpoint and
repeats, bit for bit, what an uninterrupted run does.
"""

import contextlib
import dataclasses
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.core import checkpoint, progress, signals
from jaxgan.core import config as configs
from jaxgan.core import history as history_files
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.files import absolute, claimed, replace, writable
from jaxgan.core.log import Log
from jaxgan.core.players import adopt
from jaxgan.core.recipe import Evaluation, Recipe
from jaxgan.core.state import History, PyTree, Record, RunState
from jaxgan.core.timer import Compilations, Timer

PROFILE_FOLDER = "profile"


def check(config: ConfigDict, workdir: epath.PathLike) -> int:
    """Whether a run of this config can begin or go on in this folder; changes nothing.

    Returns:
        The rounds that are done already: 0 for a new run, `config.rounds` for a finished one.

    Raises:
        UserError: the folder holds a run of another config, with every key named, or a setting of
            the loop makes no sense.
    """
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
    kept = checkpoint.rounds(workdir)
    if not kept:
        return 0
    configs.check_continues(configs.read(workdir), config, workdir)
    return kept[-1]


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
        loop = _Loop(recipe, config, workdir, profile, checkpoints, log, display, compilations)
        stop = stack.enter_context(signals.listen(loop.reply))
        loop.go(state, history, position, stop)


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

    def go(self, state: RunState, history: History, position: Position, stop: signals.Stop) -> None:
        """Rounds until all are done or `stop` is requested."""
        timer = Timer(self.display.part)
        before = position.wall_seconds
        begun = time.perf_counter()
        while position.round < self.config.rounds:
            started = time.perf_counter()
            number = position.round + 1
            state, record, metrics = self.train(state, history, number, timer)
            history = (*history, history_files.freeze(record))
            bad = _not_finite(metrics, state)
            position = dataclasses.replace(position, round=number)
            evaluation = None
            if not bad and self.due(number, "validation"):
                with timer.part("validation"):
                    evaluation = _agreed(self.recipe.evaluate(state, number))
                position = position.validated(evaluation.objective)
            seconds = before + time.perf_counter() - begun
            position = dataclasses.replace(position, wall_seconds=seconds)
            self.write(state, position, metrics, evaluation, timer)
            if bad:
                raise NonFiniteError(self.explain(bad, number))
            stopping = _anywhere(stop.requested is not None)
            if stopping or position.best_round == number or self.due(number, "checkpoint"):
                with timer.part("checkpoint"):
                    history = self.checkpoints.save(state, history, position)
            self.show(number, metrics, evaluation, time.perf_counter() - started)
            if stopping and number < self.config.rounds:
                self.display.say(
                    f"stopped and saved after round {number}; the same command goes on"
                )
                return
        self.display.say(_farewell(self.workdir, position))

    def train(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, dict[str, float]]:
        """One round of the recipe, and its metrics on the host."""
        traced = number == self.profile and jax.process_index() == 0
        trace = _trace(self.workdir / PROFILE_FOLDER) if traced else contextlib.nullcontext()
        with timer.part("round"), trace, _transfer_guard():
            state, record, metrics = self.recipe.round(state, history, number, timer)
            values = {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}
        return state, record, values

    def due(self, number: int, what: str) -> bool:
        """Whether validation or a checkpoint is due after this round."""
        return number % self.config[what].every == 0 or number == self.config.rounds

    def write(
        self,
        state: RunState,
        position: Position,
        metrics: Mapping[str, float],
        evaluation: Evaluation | None,
        timer: Timer,
    ) -> None:
        """The round's line. Saving comes after it, so its time stands in the next line."""
        times = timer.take()
        compiled, compiling = self.compilations.take()
        if not self.log:
            return
        row: dict[str, int | float] = {
            "round": position.round,
            "step": int(jax.device_get(state.step)),
            "wall_seconds": position.wall_seconds,
        }
        for name, value in metrics.items():
            if name.startswith("throughput/"):
                row[f"{name}_per_second"] = value / times["round"]
            else:
                row[name if "/" in name else f"train/{name}"] = value
        if evaluation:
            for name, value in evaluation.metrics.items():
                row[name if "/" in name else f"valid/{name}"] = value
        row.update({f"time/{name}": seconds for name, seconds in times.items()})
        row.update({"time/compile": compiling, "compilations": compiled})
        self.log.write(row, evaluation.media if evaluation else {})

    def show(
        self,
        number: int,
        metrics: Mapping[str, float],
        evaluation: Evaluation | None,
        seconds: float,
    ) -> None:
        """The round's losses and the first validation metric, in the progress display."""
        values = {name: value for name, value in metrics.items() if name.endswith("loss")}
        if evaluation:
            values.update(list(evaluation.metrics.items())[:1])
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


@contextlib.contextmanager
def _trace(folder: epath.Path) -> Iterator[None]:
    """Writes a profiler trace of the block; the profiler itself knows local folders alone."""
    with tempfile.TemporaryDirectory() as local:
        with jax.profiler.trace(local):
            yield
        for path in Path(local).rglob("*"):
            if path.is_file():
                copy = folder / path.relative_to(local)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())


def _transfer_guard() -> contextlib.AbstractContextManager[None]:
    # Looking for NaNs reads every result, which the guard would refuse.
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        return contextlib.nullcontext()
    return jax.transfer_guard("disallow")


def _not_finite(metrics: Mapping[str, float], state: RunState) -> str:
    """The first metric or array that is not finite, or an empty string."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            return f"train/{name} ({value})"
    if bool(jax.device_get(_all_finite((state.players, state.memory)))):
        return ""
    for path, leaf in jax.tree_util.tree_flatten_with_path(state.players)[0]:
        if not bool(jax.device_get(_all_finite(leaf))):
            return jax.tree_util.keystr(path)
    return "the run's memory"


@jax.jit
def _all_finite(tree: PyTree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves], bool))


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
