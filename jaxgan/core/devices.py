"""Devices: one mesh axis over all of them, the placement of arrays, and the start of processes.

The same program runs on 1 device or many, in 1 process or many: batches are sharded over the axis
'data', everything else is replicated unless a system shards its memory.
"""

import ctypes
import math
import os
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgan.core import cache
from jaxgan.core.errors import UserError

DATA = "data"


def start(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Prepares jax for training; must be called before anything asks for a device.

    In addition to what `prepare` does, it makes the process keep its memory (`keep_memory`), and
    joins the other processes if the three arguments are given or if it recognises a cluster of more
    than one process (Slurm's srun, Open MPI, the hosts of a TPU pod).

    Args:
        coordinator: HOST:PORT of process 0.
        processes: how many processes take part.
        process_id: the number of this one, from 0.

    Raises:
        UserError: only some of the three are given.
    """
    prepare()
    given = [value is not None for value in (coordinator, processes, process_id)]
    if any(given) and not all(given):
        raise UserError("--coordinator, --processes and --process_id: give all three or none")
    if all(given):
        jax.distributed.initialize(coordinator, processes, process_id)
    elif _in_cluster():
        jax.distributed.initialize()
    keep_memory()


def prepare() -> None:
    """Prepares jax for any command; must be called before anything asks for a device.

    It stores compiled programs in the user's cache folder, unless jax was given another folder, and
    calls `guarantee_threads`.
    """
    guarantee_threads()
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        folder = cache.folder() / "xla" / cache.machine()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def guarantee_threads() -> None:
    """Gives XLA enough threads on a CPU that none can block all others.

    A thread waits while its device is in a collective or in a host callback. With as many threads
    as simulated devices a collective hangs (jax 0.10 and 0.11), and with two threads so does one
    device that calls the host in a loop (jax 0.11.2). XLA reads the number of threads from NPROC
    when its CPU backend starts; two more than twice the number of devices were enough in every
    trial. Machines with more cores than that are not affected.
    """
    if "NPROC" not in os.environ:
        os.environ["NPROC"] = str(max(2 * _simulated_devices() + 2, os.cpu_count() or 1))


def keep_memory() -> None:
    """Makes this process keep the memory that XLA frees on a CPU, for its next use.

    XLA requests hundreds of megabytes whenever it runs a program. By default the GNU C library
    gets such blocks from the system and returns them each time, and touching them again page by
    page took a third of the time of MetricGAN+'s rounds. Other C libraries and accelerators are not
    affected. This function starts jax's backend.
    """
    # The parameters of mallopt (malloc.h).
    arena_max, mmap_max, trim_threshold = -8, -4, -1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # Before the backend starts its threads, since each of them would get a heap of its own.
    mallopt(arena_max, 1)
    if jax.default_backend() == "cpu":
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def make_mesh(devices: int | None = None) -> Mesh:
    """Returns a mesh of one axis, 'data', over all devices of all processes or the first few."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (DATA,), axis_types=(AxisType.Auto,), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with which every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that cuts the first axis of an array over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def under(mesh: Mesh, program: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the compiled program with the mesh set during its calls.

    XLA divides its own operations over the devices, but not the external functions that it calls;
    those read `jax.sharding.get_abstract_mesh`.
    """

    def call(*arguments: Any) -> Any:
        with jax.set_mesh(mesh):
            return program(*arguments)

    return call


def on_each(
    function: Callable[[Any, Any], Any], of_rows: tuple[Any, ...], shared: tuple[Any, ...]
) -> Any:
    """Returns function(of_rows, shared); every device of the mesh calls it with its own rows.

    This is for functions that XLA cannot divide; see `under`. Without a mesh, or if the rows cannot
    be divided equally, one call receives all rows. Differentiable if the function is.

    Args:
        function: returns arrays with as many rows as it receives.
        of_rows: arrays [B, ...].
        shared: arrays that every call receives whole.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = mesh.auto_axes
    count = math.prod(mesh.shape[axis] for axis in axes)
    if count > 1 and len(of_rows[0]) % count == 0:
        rows = jax.P(axes)
        function = jax.shard_map(
            function,
            in_specs=(rows, jax.P()),
            out_specs=rows,
            axis_names=frozenset(axes),
            check_vma=False,
        )
    return function(of_rows, shared)


def cut_rows(array: jax.Array) -> jax.Array:
    """Returns the array with its first axis cut over the devices of the mesh that is set.

    What a compiled program computes from it, row by row, is divided the same way. Without a mesh,
    or if the rows cannot be divided equally, the array is returned as it is.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = mesh.auto_axes
    count = math.prod(mesh.shape[axis] for axis in axes)
    if count == 1 or len(array) % count:
        return array
    return jax.lax.with_sharding_constraint(array, jax.P(axes))


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """Copies arrays of the host, which are equal in every process, to every device."""
    return put(tree, replicated(mesh))


def put_sharded(tree: Any, mesh: Mesh) -> Any:
    """Cuts host arrays, which are equal in every process, over the devices along their first axis.

    Each process copies only what its own devices hold.
    """
    return put(tree, sharded(mesh))


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Places host arrays, which are equal in every process, with a sharding.

    Each process copies only what its own devices hold.
    """

    def place(array: Any) -> jax.Array:
        if isinstance(array, jax.Array) and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = place(jax.random.key_data(array))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    # With one process device_put does the same; with several it would first compare the values
    # over all of them. make_array_from_callback does not, but is an implicit transfer to jax.
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    with jax.transfer_guard("allow"):
        return jax.tree.map(place, tree)


def _simulated_devices() -> int:
    flag = re.search(
        r"--xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", "")
    )
    count: int = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    return max(count, int(flag.group(1)) if flag else 1)


def _in_cluster() -> bool:
    environment = os.environ
    counts = (environment.get(key, "1") for key in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    several_hosts = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return several_hosts or any(count.isdecimal() and int(count) > 1 for count in counts)
