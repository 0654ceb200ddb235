"""Functions over many sequences that know nothing of each other: each device computes its own."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from jaxgan.core.devices import DATA

ROWS, WHOLE = PartitionSpec(DATA), PartitionSpec()
AT_ONCE = {"cpu": (64, 1)}
"""Sequences that are drawn or scored together, and sequences whose roll-outs are: on a CPU as many
as its cache holds the logits of, on accelerators all that a device has."""


def by_rows(
    mesh: Mesh, on_shard: Callable[..., Any], specs: Any, results: Any = ROWS
) -> Callable[..., Any]:
    """The function on every device's rows.

    Loops that begin with constants and go on with rows are what `check_vma` would refuse.
    """
    return jax.shard_map(on_shard, mesh=mesh, in_specs=specs, out_specs=results, check_vma=False)


def chunks() -> tuple[int | None, int | None]:
    """`AT_ONCE` of this backend; None: all."""
    return AT_ONCE.get(jax.default_backend(), (None, None))
