"""Devices: one mesh axis over all of them, how arrays lie on it, and how processes start.

The same program runs on 1 device or many, in 1 process or many: batches are sharded over the axis
'data', everything else is replicated.
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
_CALLBACKS_FIXED = (0, 11, 2)


def start(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    calls_host: bool = True,
) -> None:
    """Gets jax ready for training; to be called before anything asks for a device.

    Beside what `prepare` does, it guards host callbacks (`guard_callbacks`), keeps memory
    (`keep_memory`), and joins the other processes where the three arguments are given, or where a
    cluster of more than one process is recognised (Slurm's srun, Open MPI, the hosts of a TPU pod).

    Args:
        coordinator: HOST:PORT of process 0.
        processes: how many processes take part.
        process_id: this one's number, from 0.
        calls_host: whether compiled steps call the host and wait for it.

    Raises:
        UserError: only some of the three are given.
    """
    if calls_host:
        guard_callbacks()
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
    """Has compiled programs kept between runs; to be called before anything asks for a device.

    They lie in the user's cache folder, unless jax was told of another.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        folder = cache.folder() / "xla" / cache.machine()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def guard_callbacks() -> None:
    """Keeps host callbacks on several CPU devices from deadlocking, in jax before 0.11.2.

    There a callback copies operands above 100,000 bytes on the very threads that the callbacks of
    the other devices block, so the process needs more threads than devices: twice as many were
    enough in every trial. XLA reads their number from NPROC when its CPU backend starts. It is not
    free: threads that wait for a core cost convolutions an eighth of their time.
    """
    count = _cpu_devices_asked_for()
    if count > 1 and jax.__version_info__ < _CALLBACKS_FIXED and "NPROC" not in os.environ:
        os.environ["NPROC"] = str(max(2 * count, os.cpu_count() or 1))


def keep_memory() -> None:
    """Has this process keep the memory that XLA gives back on a CPU, for its next use.

    XLA asks for the hundreds of megabytes of a program whenever it runs one. The GNU C library gets
    such blocks from the system and gives them back each time, and their first touch, page by page,
    took a third of MetricGAN+'s rounds. It does so no longer, nor does it have a heap for every
    thread, which could not hold them. Other C libraries, and accelerators, are left alone.

    It starts jax's backend.
    """
    # The parameters of mallopt (malloc.h).
    arena_max, mmap_max, trim_threshold = -8, -4, -1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # Before the backend starts the threads that would have a heap.
    mallopt(arena_max, 1)
    if jax.default_backend() == "cpu":
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def use_cores(batch_size: int) -> None:
    """Makes every core of a CPU a device of its own; to be called before `start`.

    XLA runs much of a program on one thread of each CPU device, so two cores are used best as two
    devices. Their number is the largest that divides the batch, unless jax was told one already;
    where there is an accelerator this changes nothing.

    Args:
        batch_size: rows of every batch.
    """
    if _cpu_devices_asked_for() > 1 or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = max(n for n in range(1, (cores or 1) + 1) if batch_size % n == 0)
    jax.config.update("jax_num_cpu_devices", count)


def make_mesh(devices: int | None = None) -> Mesh:
    """A mesh of one axis, 'data', over all devices of all processes (or over the first few)."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (DATA,), axis_types=(AxisType.Auto,), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """The array's first axis is cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def under(mesh: Mesh, program: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled program whose calls know the mesh.

    XLA divides its own operations over the devices, but not functions that it calls; those ask
    `jax.sharding.get_abstract_mesh`.
    """

    def call(*arguments: Any) -> Any:
        with jax.set_mesh(mesh):
            return program(*arguments)

    return call


def on_each(
    function: Callable[[Any, Any], Any], of_rows: tuple[Any, ...], shared: tuple[Any, ...]
) -> Any:
    """function(of_rows, shared), where every device of the mesh calls it with its own rows.

    For functions that XLA cannot divide; see `under`. Without a mesh, or where the rows do not
    divide, one call has them all. Differentiable if the function is.

    Args:
        function: gives arrays of as many rows as it gets.
        of_rows: arrays [B, ...].
        shared: arrays that every call gets whole.
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


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """Host arrays, equal in every process, onto every device."""
    return _put(tree, replicated(mesh))


def put_sharded(tree: Any, mesh: Mesh) -> Any:
    """Host arrays, equal in every process, cut over the devices along their first axis.

    Each process copies only what its own devices hold.
    """
    return _put(tree, sharded(mesh))


def _put(tree: Any, sharding: NamedSharding) -> Any:
    def place(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    # With one process device_put does the same; with several it would first compare the values
    # over all of them. make_array_from_callback does not, but is an implicit transfer to jax.
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    with jax.transfer_guard("allow"):
        return jax.tree.map(place, tree)


def _cpu_devices_asked_for() -> int:
    flag = re.search(
        r"--xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", "")
    )
    asked: int = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    return max(asked, int(flag.group(1)) if flag else 1)


def _in_cluster() -> bool:
    environment = os.environ
    counts = (environment.get(key, "1") for key in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    several_hosts = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return several_hosts or any(count.isdecimal() and int(count) > 1 for count in counts)
