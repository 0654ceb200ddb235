"""Programs whose rows are independent: each device computes its own rows, in chunks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, PartitionSpec

from jaxgan.core.devices import DATA

ROWS, WHOLE = PartitionSpec(DATA), PartitionSpec()


class Chunks(NamedTuple):
    """How many sequences a device computes at a time.

    Attributes:
        sequences: that are drawn or scored together.
        roll_outs: whose roll-outs are completed and judged together.
    """

    sequences: int
    roll_outs: int


ON_CPU = Chunks(64, 1)
"""As many as a CPU's cache holds the logits of."""
ON_ACCELERATOR = Chunks(1024, 64)
"""Enough to keep an accelerator busy; 0.4 GB of logits with a vocabulary of 5000. Not tuned yet."""


def chunks(mesh: Mesh) -> Chunks:
    """Returns the chunks for the devices of a mesh."""
    return ON_CPU if mesh.devices.flat[0].platform == "cpu" else ON_ACCELERATOR


def on_shards(
    mesh: Mesh, function: Callable[..., Any], arguments: Any, results: Any = ROWS
) -> Callable[..., Any]:
    """Returns the function, which every device of the mesh calls with its own rows.

    Args:
        mesh: the devices.
        function: computes each row independently of the others.
        arguments: the `PartitionSpec` of each argument: `ROWS` or `WHOLE`.
        results: the same for the results.
    """
    # check_vma would refuse loops whose carry starts as a constant and then depends on the rows.
    return jax.shard_map(
        function, mesh=mesh, in_specs=arguments, out_specs=results, check_vma=False
    )
