"""How programs lie on the devices: rows that know nothing of each other, and large products."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from jaxgan.core import devices
from jaxgan.core.devices import DATA

ROWS, WHOLE = PartitionSpec(DATA), PartitionSpec()
AT_ONCE = {"cpu": (64, 1)}
"""Sequences that are drawn or scored together, and sequences whose roll-outs are: on a CPU as many
as its cache holds the logits of."""
AT_ONCE_ELSEWHERE = (1024, 64)
"""On accelerators: enough to fill one, and 0.4 GB of logits with a vocabulary of 5000. Not measured
on one yet."""


def by_rows(
    mesh: Mesh, on_shard: Callable[..., Any], specs: Any, results: Any = ROWS
) -> Callable[..., Any]:
    """The function on every device's rows.

    Loops that begin with constants and go on with rows are what `check_vma` would refuse.
    """
    return jax.shard_map(on_shard, mesh=mesh, in_specs=specs, out_specs=results, check_vma=False)


def chunks() -> tuple[int, int]:
    """`AT_ONCE` of this backend."""
    return AT_ONCE.get(jax.default_backend(), AT_ONCE_ELSEWHERE)


def move_large(step: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Compiles a step of large matrix products that changes the state, its first, donated argument.

    The CPU devices of a process share its cores and its memory: one of them uses all cores in such
    a product. There the step runs on the first alone, which saves the others' updates of the same
    parameters and the exchange of gradients (30 CPU seconds for an epoch of D rather than 65).
    """
    whole = devices.replicated(mesh)
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return jax.jit(step, donate_argnums=0, out_shardings=whole)
    one = devices.replicated(devices.make_mesh(1))
    program = jax.jit(step, donate_argnums=0, out_shardings=one)

    gather = jax.jit(lambda arrays: arrays, out_shardings=whole)

    def run(state: Any, *arguments: Any) -> Any:
        # The first device needs the whole of each; `device_put` would fetch rows through the host.
        moved = jax.device_put((state, *gather(arguments)), one)
        return jax.device_put(program(*moved), whole)

    return run
