"""Several seeds of one system, trained in one program by `jax.vmap`.

A run of a small network leaves an accelerator idle, and a result needs several seeds. Here the
players, the keys and the memory of all seeds are stacked along a first axis, seed s takes the steps
that a run of its own with `config.seed + s` takes, and one program makes them for all. The step of
the state is one number, and so is every integer scalar of the memory: those are counters, the same
in every seed, and a decision that depends on them stays one decision.

The arithmetic of a batch of matrices rounds differently from that of one matrix, so the results
equal those of single runs up to rounding, not bit for bit.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from jaxgan.core import config as configs
from jaxgan.core import metrics
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import Metrics, Players, PyTree, RunState, StepResult
from jaxgan.core.steps import Step

Init = Callable[[jax.Array], RunState]
"""(key) -> the state of one seed before its first update; pure."""
Evaluate = Callable[[RunState, int], Callable[[], Evaluation]]
"""As `Recipe.evaluate`."""


def stacked_init(init: Init, seed: int, count: int) -> Init:
    """Returns the `init` of several seeds; it ignores the key that it is given.

    Args:
        init: the `init` of one seed.
        seed: the seed of the first one; the others follow it.
        count: how many.
    """

    def stacked(key: jax.Array) -> RunState:
        del key
        keys = jnp.stack([jax.random.key(seed + number) for number in range(count)])
        state: RunState = jax.lax.map(init, keys)
        shared = jax.tree.map(
            lambda leaf: leaf[0] if leaf.ndim == 1 and _is_integer(leaf) else leaf, state.memory
        )
        return dataclasses.replace(state, step=state.step[0], memory=shared)

    return stacked


def stacked_step(step: Step) -> Step:
    """Returns the step of several seeds: (their state, batches [seeds, ...], *shared).

    Its metrics have a leading axis [seeds].

    Args:
        step: the step of one seed.

    Raises:
        UserError: when it is traced: the number of updates, or an integer scalar of the memory,
            differs between seeds.
    """

    def steps_of_seeds(run_state: RunState, batch: PyTree, *shared: Any) -> StepResult:
        memory = jax.tree.map(lambda leaf: 0 if leaf.ndim else None, run_state.memory)
        axes: Any = RunState(players=0, step=None, key=0, memory=memory)  # type: ignore[arg-type]
        mapped = jax.vmap(step, in_axes=(axes, 0, *[None] * len(shared)), out_axes=(axes, 0))
        try:
            result: StepResult = mapped(run_state, batch, *shared)
        except ValueError as error:
            if "out_axes" not in str(error):
                raise
            raise UserError(
                "config.seeds: the number of updates differs between seeds of this system; start "
                "one run per seed with config.seed"
            ) from error
        return result

    return steps_of_seeds


def stacked_evaluate(evaluates: Sequence[Evaluate]) -> Evaluate:
    """Returns a validation that reports every seed, and the mean over them.

    The objective is the mean of theirs, so the best checkpoint is the best one for all seeds.

    Args:
        evaluates: the validation of each seed. It sees the deployed players, without what only
            training needs.
    """

    @jax.jit
    def separate(state: RunState) -> list[RunState]:
        deployed = {name: player.without_training() for name, player in state.players.items()}
        stacked = dataclasses.replace(state, players=deployed)
        return [_row(stacked, number) for number in range(len(evaluates))]

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        pairs = zip(evaluates, separate(state), strict=True)
        waits = [of_one(one, number) for of_one, one in pairs]

        def wait() -> Evaluation:
            found = [each() for each in waits]
            media = {
                f"{tag}/seed_{place}": shown
                for place, each in enumerate(found)
                for tag, shown in each.media.items()
            }
            return Evaluation(
                with_mean([each.metrics for each in found], "valid"),
                float(np.mean([each.objective for each in found])),
                media,
                found[0].shown,
            )

        return wait

    return evaluate


def of_round(steps: Sequence[Metrics]) -> dict[str, float]:
    """Returns the metrics of a round, as `metrics.of_round`, for every seed and their mean.

    Args:
        steps: the metrics of every step, whose arrays have a leading axis [seeds].
    """
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *steps)
    count = len(jax.tree.leaves(stacked)[0])
    return with_mean(
        [metrics.of_stacked(_row(stacked, number)) for number in range(count)], "train"
    )


def with_mean(each: Sequence[Mapping[str, float]], group: str) -> dict[str, float]:
    """Returns the mean over seeds under the name of a metric, and each one as NAME/seed_S.

    Args:
        each: the metrics of every seed. One that a seed lacks is averaged over the others.
        group: what the log puts in front of a name without a slash.
    """
    names = dict.fromkeys(name for found in each for name in found)
    means = {
        name: float(np.mean([found[name] for found in each if name in found])) for name in names
    }
    of_seeds = {
        f"{name if '/' in name else f'{group}/{name}'}/seed_{number}": found[name]
        for name in names
        for number, found in enumerate(each)
        if name in found
    }
    return means | of_seeds


def of_seed(players: Players, number: int) -> Players:
    """Returns the players of one seed."""
    found: Players = _row(players, number)
    return found


def load_seed(workdir: epath.PathLike, checkpoint: str, number: int) -> Players:
    """Returns the players of one seed of a run, as `load_players` does.

    Args:
        workdir: the run's folder.
        checkpoint: best, last or a round.
        number: the number of the seed, from 0; the run has `config.seeds` of them, or one.

    Raises:
        UserError: there is no such seed or checkpoint.
    """
    count = configs.read(workdir).get("seeds", 1)
    if not 0 <= number < count:
        raise UserError(f"--seed_index={number}: {workdir} has the seeds 0 to {count - 1}")
    players = load_players(workdir, checkpoint)
    return of_seed(players, number) if count > 1 else players


def _row(tree: PyTree, number: int) -> PyTree:
    """Returns one seed of a tree; what all seeds share stays as it is."""
    return jax.tree.map(lambda leaf: leaf[number] if leaf.ndim else leaf, tree)


def _is_integer(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.integer))
