"""The round of a simple system: one step over the batches of the round.

A system of a few losses needs `init`, a `step`, a function that draws the batches of a round, and
one that evaluates; `StepRecipe` makes a recipe of them. A system with a longer round writes that
round itself, with `Steps`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from jaxgan.core import devices, metrics
from jaxgan.core.compiling import init_on_host
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import History, Metrics, PyTree, Record, RunState
from jaxgan.core.steps import BATCHES, Step, Steps, by_step
from jaxgan.core.timer import Timer


class Draw(NamedTuple):
    """The data of one round.

    Attributes:
        batches: pytrees of arrays on the devices, cut over them along their first axis.
        amounts: how much data they are, by unit, such as {"audio_seconds": 480.0}; logged as
            throughput.
    """

    batches: Sequence[PyTree]
    amounts: Mapping[str, float] = {}


class StepRecipe:
    """A recipe whose round is one step over the round's batches; see `core.recipe.Recipe`.

    Args:
        mesh: the devices.
        init: (key) -> the state before the first update; pure.
        step: (state, batch, *shared) -> (state, metrics); pure. Metrics are scalars or the
            accumulators of `core.metrics`.
        moves: the names of the players that the step changes.
        draw: (round number) -> the data of the round.
        evaluate: as `Recipe.evaluate`.
        check: is given the metrics of every round, and raises UserError if nothing can be learned.
        close: stops what the data started.
        files: as `Recipe.files`.
        reports: as `Recipe.reports`.
        optional_players: as `Recipe.optional_players`.
        shared: pytrees of arrays on the devices that every step receives after its batch, such as
            data that the batches index.
        batches: how many batches one program has room for.
        phase_starts: as `Recipe.phase_starts`.
        shardings: the shardings of the state, a pytree or a prefix of one; by default every device
            holds all of it.
        summarise: (the metrics of every step, in host memory) -> those of the round.
    """

    history_window: int | None = 0
    fresh_players: tuple[str, ...] = ()

    def __init__(
        self,
        mesh: Mesh,
        *,
        init: Callable[[jax.Array], RunState],
        step: Step,
        moves: Sequence[str],
        draw: Callable[[int], Draw],
        evaluate: Callable[[RunState, int], Callable[[], Evaluation]],
        check: Callable[[Mapping[str, float]], None] | None = None,
        close: Callable[[], None] | None = None,
        files: Mapping[str, bytes] | None = None,
        reports: Mapping[str, bytes] | None = None,
        optional_players: Sequence[str] = (),
        shared: Sequence[PyTree] = (),
        batches: int = BATCHES,
        phase_starts: Sequence[int] = (),
        shardings: PyTree = None,
        summarise: Callable[[Sequence[Metrics]], dict[str, float]] = metrics.of_round,
    ) -> None:
        self.init = init_on_host(init, mesh, shardings)
        self.evaluate = evaluate
        self.files, self.reports = files or {}, reports or {}
        self.optional_players = tuple(optional_players)
        self.phase_starts = tuple(phase_starts)
        whole = devices.replicated(mesh)
        self._steps = Steps(step, mesh, moves, batches, (shardings or whole, whole))
        self._shared = shared
        self._draw = draw
        self._check = check
        self._close = close
        self._summarise = summarise

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Draws the batches of the round and makes a step for each."""
        with timer.part("data"):
            batches, amounts = self._draw(number)
        with timer.part("steps"):
            state, reports = self._steps(state, batches, *self._shared)
            found = self._summarise(by_step(jax.device_get(reports)))
        if self._check:
            self._check(found)
        throughput = {f"throughput/{unit}": amount for unit, amount in amounts.items()}
        return state, {}, found | throughput

    def close(self) -> None:
        """Stops what the data started."""
        if self._close:
            self._close()


def evaluate_with(
    measure: Callable[[RunState], dict[str, jax.Array]],
    objective: Callable[[Mapping[str, float]], float],
    mesh: Mesh,
) -> Callable[[RunState, int], Callable[[], Evaluation]]:
    """Returns a recipe's `evaluate` for metrics that a pure function computes from the state.

    Args:
        measure: (state) -> scalars by name; compiled here.
        objective: (the scalars) -> the objective of `Evaluation`.
        mesh: the devices.
    """
    program = jax.jit(measure, out_shardings=devices.replicated(mesh))

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        requested = program(state)

        def wait() -> Evaluation:
            values: Any = jax.device_get(requested)
            found = {name: float(value) for name, value in values.items()}
            return Evaluation(found, objective(found))

        return wait

    return evaluate
