"""Compiles programs in the background, several at a time, and reports the progress.

Compiling can take longer than the first rounds of a run, above all for accelerators. So a system
that knows what a round will need asks for all of it at once (`Program.prepare`), in the order of
use. Programs are traced one after the other, since tracing is Python and holds its lock: six at a
time took 18 s together on a machine with an H200, and the first was ready no sooner than the last.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.timer import WAITED

THREADS = {"gpu": 2}
"""The most programs that are compiled at the same time, by platform. XLA tries every algorithm of a
convolution on the GPU, one at a time, so more programs only keep the first one waiting."""
MOST_THREADS = max(1, min(8, os.cpu_count() or 1))
"""The same on other platforms; each program may need a gigabyte of memory."""
OPTIONS = {
    "gpu": {
        # Matrix products by cuBLAS: searching for a Triton kernel compiles dozens of candidates.
        "xla_gpu_enable_triton_gemm": False,
    }
}
"""XLA's options for the programs of a platform."""
INIT_OPTIONS = {"xla_backend_optimization_level": 0}
"""XLA's options for a program that a CPU runs once: it compiles in half the time."""
SECONDS_BETWEEN_REPORTS = 1.0

Report = Callable[[int, int, float], None]
"""(compiled programs, requested programs, seconds since the first request) -> None."""


class _Queue:
    """Traces and compiles what is requested, in that order, and counts.

    Args:
        threads: the most programs that are compiled at the same time.
    """

    def __init__(self, threads: int) -> None:
        self._tracer = ThreadPoolExecutor(1, thread_name_prefix="trace")
        self._compilers = ThreadPoolExecutor(threads, thread_name_prefix="compile")
        self._lock = threading.Lock()
        self._requested = 0
        self._done = 0
        self._since = 0.0

    def submit(self, lower: Callable[[], jax.stages.Lowered]) -> Future[jax.stages.Compiled]:
        """Requests a compilation.

        Args:
            lower: traces the program.
        """
        with self._lock:
            if self._requested == self._done:
                self._requested, self._done, self._since = 0, 0, time.perf_counter()
            self._requested += 1
        compiled: Future[jax.stages.Compiled] = Future()
        compiled.add_done_callback(self._count)

        def compile_lowered(lowered: jax.stages.Lowered) -> None:
            with _errors_to(compiled):
                compiled.set_result(lowered.compile())

        def trace() -> None:
            with _errors_to(compiled):
                self._compilers.submit(compile_lowered, lower())

        self._tracer.submit(trace)
        return compiled

    def _count(self, _: Future[Any]) -> None:
        with self._lock:
            self._done += 1

    def progress(self) -> tuple[int, int, float]:
        """Returns (compiled programs, requested programs, seconds since the first request)."""
        with self._lock:
            return self._done, self._requested, time.perf_counter() - self._since


@contextlib.contextmanager
def _errors_to(future: Future[Any]) -> Iterator[None]:
    """Passes an exception of the block on to the code that waits for the future."""
    try:
        yield
    except BaseException as error:
        future.set_exception(error)


@functools.cache
def _queue() -> _Queue:
    """Returns the one queue of this process, since all programs share its cores."""
    return _Queue(THREADS.get(jax.default_backend(), MOST_THREADS))


@contextlib.contextmanager
def reported(report: Report) -> Iterator[None]:
    """Reports about once a second, and once at the end, what is being compiled during the block."""
    stop = threading.Event()

    def watch() -> None:
        busy = False
        while not stop.wait(SECONDS_BETWEEN_REPORTS):
            done, requested, seconds = _queue().progress()
            before, busy = busy, done < requested
            if busy or before:
                report(done, requested, seconds)

    watcher = threading.Thread(target=watch, name="compilation reports", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


class Program:
    """A jitted function that is compiled once for each shape of its arguments.

    The arguments are pytrees of arrays on the devices; there are no keyword arguments.

    Args:
        function: pure.
        mesh: the devices, whose mesh is set while the function is traced and called; see
            `devices.under`.
        options: those of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], mesh: Mesh, **options: Any) -> None:
        platform = mesh.devices.flat[0].platform
        self._jitted = jax.jit(function, compiler_options=OPTIONS.get(platform), **options)
        self._mesh = mesh
        self._compiled: dict[Hashable, Future[jax.stages.Compiled]] = {}

    def prepare(self, *arguments: Any) -> Future[jax.stages.Compiled]:
        """Starts to compile for arguments like these, unless that has been done, and returns.

        Args:
            arguments: those of a call; instead of an array each leaf may be a
                `jax.ShapeDtypeStruct` with its sharding.
        """
        leaves, structure = jax.tree.flatten(arguments)
        shards = [leaf.sharding.shard_shape(leaf.shape) for leaf in leaves]
        key = structure, *((leaf.shape, leaf.dtype) for leaf in leaves), *shards
        if key not in self._compiled:
            # The arrays themselves may be donated before the program is lowered.
            shapes = jax.tree.map(_without_values, arguments)
            self._compiled[key] = _queue().submit(lambda: self.lower(*shapes))
        return self._compiled[key]

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Returns the program for arguments like those of `prepare`, before it is compiled."""
        with jax.set_mesh(self._mesh):
            return self._jitted.lower(*arguments)

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function, after it has been compiled for these shapes."""
        if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
            # Only a jitted function looks for the operation that made a NaN.
            return devices.under(self._mesh, self._jitted)(*arguments)
        return _awaited(self.prepare(*arguments))(*arguments)


def init_on_host(
    init: Callable[[jax.Array], Any], mesh: Mesh, shardings: Any = None
) -> Callable[[jax.Array], Any]:
    """Returns `init`, computed by the host's CPU and then placed on the devices.

    An initial state is computed once, and a program for the CPU compiles in a few seconds. For an
    accelerator it takes longer, because of a QR decomposition for each orthogonal matrix.

    Args:
        init: (key) -> state; pure.
        mesh: the devices.
        shardings: the shardings of the state, a pytree or a prefix of one; by default every device
            gets all of it.
    """
    placements = shardings or devices.replicated(mesh)
    program = jax.jit(init, compiler_options=INIT_OPTIONS)

    def place(key: jax.Array) -> Any:
        if isinstance(key, jax.core.Tracer):  # such as jax.eval_shape, which computes nothing
            return init(key)
        key = jax.device_put(key, _host_device())
        compiled = _queue().submit(lambda: program.lower(key)).result()
        return jax.tree.map(
            lambda sharding, part: devices.put(part, sharding), placements, compiled(key)
        )

    return place


def _awaited(compiled: Future[jax.stages.Compiled]) -> jax.stages.Compiled:
    """Returns the compiled program, and records for how long the caller waited for it."""
    if compiled.done():
        return compiled.result()
    started = time.perf_counter()
    program = compiled.result()
    jax.monitoring.record_event_duration_secs(WAITED, time.perf_counter() - started)
    return program


def _host_device() -> jax.Device:
    """Returns the host's CPU, or the default device if jax may not use the CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]


def _without_values(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
