"""A phase of a round: one step over many batches, several of them in one compiled program.

A program that makes one update leaves the devices waiting where the update is shorter than the time
a host takes to start it: batch 1, small networks, fast accelerators. So batches of one shape run in
a loop that is compiled into the program. It always has room for the same number of batches, and
leaves out what is not there, so each shape is compiled once.
"""

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.state import Metrics, PyTree, RunState

TOGETHER = 8
"""Batches of a program. All of them lie on the devices at once, beside one copy."""

Step = Callable[[RunState, PyTree], tuple[RunState, Metrics]]


@struct.dataclass
class Report:
    """What the steps of one program reported.

    Attributes:
        metrics: with a first axis [TOGETHER].
        steps: how many of them were made.
    """

    metrics: Metrics
    steps: int = struct.field(pytree_node=False)


class Phase:
    """A compiled step over many batches. The numbers are those of the steps one by one.

    Args:
        step: (state, batch) -> (state, metrics); pure.
        mesh: of the devices that hold the state, which is replicated, and the batches.
    """

    def __init__(self, step: Step, mesh: Mesh) -> None:
        self._mesh = mesh
        program = jax.jit(
            functools.partial(_run, step),
            donate_argnums=0,
            out_shardings=devices.replicated(mesh),
        )
        self._run = devices.under(mesh, program)

    def __call__(self, state: RunState, batches: Iterable[PyTree]) -> tuple[RunState, list[Report]]:
        """Makes one step for each batch, in order.

        Args:
            state: donated: it must not be used any more.
            batches: pytrees of arrays on the devices. Neighbours of one shape share programs: see
                `in_runs`. They are asked for as late as the devices allow.

        Returns:
            The state, and what the steps reported, still on the devices; `by_step` takes it apart.
        """
        log = []
        for together in _runs(batches):
            count = devices.put_replicated(np.int32(len(together)), self._mesh)
            filled = (*together, *[together[-1]] * (TOGETHER - len(together)))
            state, metrics = self._run(state, filled, count)
            log.append(Report(metrics, len(together)))
        return state, log


def by_step(log: Sequence[Report]) -> list[dict[str, np.ndarray]]:
    """What each step of a phase reported, from reports in the host's memory."""
    return [
        {name: np.asarray(values)[step] for name, values in report.metrics.items()}
        for report in log
        for step in range(report.steps)
    ]


def in_runs(shapes: Sequence[Hashable]) -> list[list[int]]:
    """Positions of equal shapes, as many together as a program takes, in order of appearance."""
    positions: dict[Hashable, list[int]] = {}
    for position, shape in enumerate(shapes):
        positions.setdefault(shape, []).append(position)
    return [
        alike[start : start + TOGETHER]
        for alike in positions.values()
        for start in range(0, len(alike), TOGETHER)
    ]


def shuffled(shapes: Sequence[Hashable], random: np.random.Generator) -> list[int]:
    """A random order of batches in which those that share a program stay together."""
    runs = in_runs(shapes)
    return [position for place in random.permutation(len(runs)) for position in runs[place]]


def _runs(batches: Iterable[PyTree]) -> Iterator[list[PyTree]]:
    """Neighbours of one shape, at most `TOGETHER`."""
    run: list[PyTree] = []
    for batch in batches:
        if run and (len(run) == TOGETHER or _shape(batch) != _shape(run[0])):
            yield run
            run = []
        run.append(batch)
    if run:
        yield run


def _shape(batch: PyTree) -> Hashable:
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _run(
    step: Step, state: RunState, batches: Sequence[PyTree], count: jax.Array
) -> tuple[RunState, Metrics]:
    """The step over the first `count` batches; metrics get a first axis [TOGETHER], then zeros."""
    _, metrics = jax.eval_shape(step, state, batches[0])

    def leave_out(state: RunState, _: PyTree) -> tuple[RunState, Metrics]:
        return state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

    def body(state: RunState, item: tuple[jax.Array, PyTree]) -> tuple[RunState, Metrics]:
        number, batch = item
        return jax.lax.cond(number < count, step, leave_out, state, batch)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    return jax.lax.scan(body, state, (jnp.arange(len(batches)), stacked))
