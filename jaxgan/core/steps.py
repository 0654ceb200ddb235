"""A step over many batches, several of them in one compiled program.

A program that makes one update leaves the devices idle whenever the update is shorter than the time
the host takes to start it: batch 1, small networks, fast accelerators. So batches of one shape run
in a loop that is compiled into the program. The program always has room for the same number of
batches and skips the ones that are missing, so every shape is compiled once. All shapes of a list
of batches are compiled at the same time, before the first step.
"""

import functools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Metrics, PyTree, RunState
from jaxgan.core.timer import Timer

BATCHES = 8
"""The default number of batches in a program. They are all on the devices at once, plus a copy."""

Step = Callable[..., tuple[RunState, Metrics]]
"""(run state, batch, *shared) -> (run state, metrics); pure."""


@struct.dataclass
class StepMetrics:
    """The metrics of the steps in one program.

    Attributes:
        metrics: the metrics, with a leading axis [batches of the program].
        steps: how many of them were made; the entries after these are zeros.
    """

    metrics: Metrics
    steps: int = struct.field(pytree_node=False)


class Steps:
    """A compiled step over many batches. The results equal those of the steps one by one.

    Args:
        step: see `Step`.
        mesh: the devices that hold the state and the batches.
        moves: the names of the players that the step may change. A step that changes another one
            raises ValueError when it is traced.
        batches: how many batches one program has room for.
        out_shardings: shardings of the new state and of the metrics, whose leading axis is that of
            the program's batches; each a pytree or a prefix of one. By default every device holds
            all of both.
    """

    def __init__(
        self,
        step: Step,
        mesh: Mesh,
        moves: Collection[str],
        batches: int = BATCHES,
        out_shardings: tuple[PyTree, PyTree] | None = None,
    ) -> None:
        self._mesh = mesh
        self._batches = batches
        self.moves = tuple(moves)
        replicated = devices.replicated(mesh)

        def program(
            run_state: RunState, batches: Sequence[PyTree], count: jax.Array, shared: Sequence[Any]
        ) -> tuple[RunState, Metrics]:
            return _scan(_only_moving(step, self.moves), run_state, batches, count, shared)

        program.__name__ = _name(step)  # in profiles and in logs of compilations
        shardings = out_shardings or replicated
        self._program = Program(program, mesh, donate_argnums=0, out_shardings=shardings)

    def prepare(
        self, run_state: RunState, batches: Sequence[PyTree], *shared: Any
    ) -> list[Future[jax.stages.Compiled]]:
        """Starts to compile the programs for these batches in the background.

        Args:
            run_state: only its shapes matter.
            batches: pytrees of arrays on the devices, or of `jax.ShapeDtypeStruct` with shardings.
            shared: as in a call.

        Returns:
            The program of each shape, once it is compiled.
        """
        return [
            self._program.prepare(run_state, self._filled([batch]), self._count(), shared)
            for batch in {_shape(batch): batch for batch in batches}.values()
        ]

    def __call__(
        self, run_state: RunState, batches: Iterable[PyTree], *shared: Any
    ) -> tuple[RunState, list[StepMetrics]]:
        """Makes one step for each batch, in order.

        Args:
            run_state: donated, so it must not be used afterwards.
            batches: pytrees of arrays on the devices. Neighbours of one shape share a program; see
                `group`. An iterator is asked for them as late as the devices allow.
            shared: pytrees of arrays on the devices that every step receives after its batch, such
                as a corpus that the batches index.

        Returns:
            The new state, and the metrics, still on the devices; `by_step` separates them.
        """
        if isinstance(batches, Sequence):
            self.prepare(run_state, batches, *shared)
        reports = []
        for together in _neighbours(batches, self._batches):
            count = devices.put_replicated(np.int32(len(together)), self._mesh)
            filled = self._filled(together)
            run_state, metrics = self._program(run_state, filled, count, shared)
            reports.append(StepMetrics(metrics, len(together)))
        return run_state, reports

    def lower(self, run_state: RunState, batch: PyTree, *shared: Any) -> jax.stages.Lowered:
        """Returns the program for batches of this shape, before it is compiled; for its analysis.

        Args:
            run_state: as for a call, like the other arguments, or `jax.ShapeDtypeStruct`s of it.
            batch: one of the batches; the program has room for several of its shape.
            shared: what every step receives after its batch.
        """
        return self._program.lower(run_state, self._filled([batch]), self._count(), shared)

    def timed(
        self, timer: Timer, part: str, run_state: RunState, batches: Iterable[PyTree], *shared: Any
    ) -> tuple[RunState, list[StepMetrics]]:
        """Makes the steps, waits for them, and adds their time to a part of the round."""
        with timer.part(part):
            run_state, reports = self(run_state, batches, *shared)
            jax.block_until_ready(run_state.step)
        return run_state, reports

    def _count(self) -> jax.ShapeDtypeStruct:
        """Returns the shape of the number of batches that a program's call makes steps for."""
        return jax.ShapeDtypeStruct((), np.int32, sharding=devices.replicated(self._mesh))

    def _filled(self, together: Sequence[PyTree]) -> tuple[PyTree, ...]:
        """Returns the batches, and the last one again in the places that are left."""
        return (*together, *[together[-1]] * (self._batches - len(together)))


def by_step(reports: Sequence[StepMetrics]) -> list[Metrics]:
    """Returns the metrics of each step, from reports that were fetched to the host."""

    def of_step(report: StepMetrics, number: int) -> Metrics:
        metrics: Metrics = jax.tree.map(lambda values: np.asarray(values)[number], report.metrics)
        return metrics

    return [of_step(report, number) for report in reports for number in range(report.steps)]


def take_outputs(reports: Sequence[StepMetrics], *names: str) -> list[tuple[jax.Array, ...]]:
    """Removes outputs that stay on the devices from reports and returns those of each step."""
    outputs: list[tuple[jax.Array, ...]] = []
    for report in reports:
        stacked = [report.metrics.pop(name) for name in names]
        outputs += _unstack(stacked)[: report.steps]
    return outputs


def group(shapes: Sequence[Hashable], batches: int = BATCHES) -> list[list[int]]:
    """Returns the positions of equal shapes, up to `batches` together, in order of appearance."""
    positions: dict[Hashable, list[int]] = {}
    for position, shape in enumerate(shapes):
        positions.setdefault(shape, []).append(position)
    return [
        alike[start : start + batches]
        for alike in positions.values()
        for start in range(0, len(alike), batches)
    ]


def shuffled(
    shapes: Sequence[Hashable], random: np.random.Generator, batches: int = BATCHES
) -> list[int]:
    """Returns a random order of batches in which those that share a program stay together."""
    groups = group(shapes, batches)
    return [position for place in random.permutation(len(groups)) for position in groups[place]]


@jax.jit
def _unstack(stacked: Sequence[jax.Array]) -> list[tuple[jax.Array, ...]]:
    """Splits arrays [n, ...] into n tuples."""
    return list(zip(*stacked, strict=True))


def _neighbours(batches: Iterable[PyTree], limit: int) -> Iterator[list[PyTree]]:
    """Yields runs of neighbours that have one shape, at most `limit` long."""
    run: list[PyTree] = []
    for batch in batches:
        if run and (len(run) == limit or _shape(batch) != _shape(run[0])):
            yield run
            run = []
        run.append(batch)
    if run:
        yield run


def _name(step: Step) -> str:
    """Returns the name of a function, also if some of its arguments have been bound."""
    while isinstance(step, functools.partial):
        step = step.func
    return getattr(step, "__name__", "steps")


def _shape(batch: PyTree) -> Hashable:
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _only_moving(step: Step, moves: Collection[str]) -> Step:
    """Returns the step, which raises ValueError while it is traced if it changes another player."""

    def checked(run_state: RunState, *inputs: Any) -> tuple[RunState, Metrics]:
        after, metrics = step(run_state, *inputs)
        for name, player in run_state.players.items():
            leaves = zip(jax.tree.leaves(player), jax.tree.leaves(after.players[name]), strict=True)
            if name not in moves and any(old is not new for old, new in leaves):
                raise ValueError(f"the step changes the player {name!r}; it declares {moves}")
        return after, metrics

    return checked


def _scan(
    step: Step,
    run_state: RunState,
    batches: Sequence[PyTree],
    count: jax.Array,
    shared: Sequence[Any],
) -> tuple[RunState, Metrics]:
    """Makes the step for the first `count` batches; later entries of the metrics are zeros."""
    step = jax.jit(step)  # so that it is traced once, not once for each use below
    _, metrics = jax.eval_shape(step, run_state, batches[0], *shared)

    def make(run_state: RunState, batch: PyTree) -> tuple[RunState, Metrics]:
        return step(run_state, batch, *shared)

    def skip(run_state: RunState, _: PyTree) -> tuple[RunState, Metrics]:
        return run_state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

    def body(run_state: RunState, item: tuple[jax.Array, PyTree]) -> tuple[RunState, Metrics]:
        number, batch = item
        return jax.lax.cond(number < count, make, skip, run_state, batch)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    return jax.lax.scan(body, run_state, (jnp.arange(len(batches)), stacked))
