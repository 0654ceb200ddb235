import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.core.errors import UserError


def test_the_mesh_has_all_devices_on_one_automatic_axis():
    mesh = devices.make_mesh()
    assert mesh.shape == {"data": 8}
    assert mesh.axis_types == (jax.sharding.AxisType.Auto,)
    assert devices.make_mesh(3).shape == {"data": 3}


def test_where_arrays_lie():
    mesh = devices.make_mesh()
    tree = {"x": np.arange(16.0).reshape(8, 2)}
    whole = devices.put_replicated(tree, mesh)["x"]
    cut = devices.put_sharded(tree, mesh)["x"]
    assert whole.is_fully_replicated
    assert len(cut.addressable_shards) == 8
    for number, shard in enumerate(cut.addressable_shards):
        np.testing.assert_array_equal(shard.data, tree["x"][number : number + 1])
    np.testing.assert_array_equal(whole, tree["x"])


def test_placing_is_an_explicit_transfer():
    mesh = devices.make_mesh()
    with jax.transfer_guard("disallow"):
        devices.put_replicated(np.int32(3), mesh)
        devices.put_sharded(np.zeros((8, 3)), mesh)


@pytest.mark.parametrize(
    ("environment", "version", "expected"),
    [
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=40"}, (0, 10, 2), "80"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=40"}, (0, 11, 2), None),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=40"}, (0, 12, 0, 1), None),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "NPROC": "3"}, (0, 10, 2), "3"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}, (0, 10, 2), None),
        ({"XLA_FLAGS": "--xla_some_other_flag=8"}, (0, 10, 2), None),
        ({}, (0, 10, 2), None),
    ],
)
def test_the_guard_gives_callbacks_twice_as_many_threads(
    monkeypatch, environment, version, expected
):
    for key in ("XLA_FLAGS", "NPROC"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(jax, "__version_info__", version)
    devices.guard_callbacks()
    assert os.environ.get("NPROC") == expected


@pytest.mark.parametrize(
    ("batch_size", "environment", "count"),
    [
        (8, {}, 4),
        (6, {}, 6),
        (9, {}, 3),
        (7, {}, 1),
        (1, {}, 1),
        (8, {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, None),
        (8, {"JAX_NUM_CPU_DEVICES": "1"}, None),
    ],
)
def test_cores_become_devices_that_divide_the_batch(monkeypatch, batch_size, environment, count):
    monkeypatch.delenv("XLA_FLAGS")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    updates = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(jax.config, "update", lambda *given: updates.append(given))
    devices.use_cores(batch_size)
    assert updates == ([("jax_num_cpu_devices", count)] if count else [])


CALLBACK = """
import os
os.environ.pop("NPROC", None)
import jax, numpy as np
from jaxgan.core import devices
devices.start()
mesh = devices.make_mesh()
def total(x):
    return np.asarray(x).sum(-1)
def shard(x):
    return jax.pure_callback(total, jax.ShapeDtypeStruct(x.shape[:1], x.dtype), x)
run = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=jax.P("data"), out_specs=jax.P("data")))
x = devices.put_sharded(np.ones((8, 40_000), np.float32), mesh)
for _ in range(60):
    y = run(x)
print(jax.device_get(y)[0])
"""


def test_large_callbacks_on_eight_devices_do_not_deadlock(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CALLBACK],
        env=environment,
        timeout=90,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "40000.0\n"


MEMORY = """
import resource
from jaxgan.core import devices
devices.start()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * 100_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first, again = faults(), faults()
print(first > 20_000, again < 1000)
"""


def test_memory_is_kept(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environment, timeout=90, capture_output=True, text=True
    )
    assert done.stdout == "True True\n"


def test_processes_need_all_three_flags(monkeypatch):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    with pytest.raises(UserError, match="give all three or none"):
        devices.start(coordinator="localhost:1")


@pytest.mark.parametrize(
    ("environment", "joins"),
    [
        ({}, False),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, False),
    ],
)
def test_clusters_are_joined_where_there_are_several_processes(monkeypatch, environment, joins):
    calls = []
    monkeypatch.setattr(devices, "prepare", lambda: None)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: calls.append(given))
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    devices.start()
    assert calls == ([()] if joins else [])


def test_the_compilation_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    seconds = jax.config.jax_persistent_cache_min_compile_time_secs
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        devices.prepare()
        assert jax.config.jax_compilation_cache_dir.startswith(str(tmp_path / "jaxgan" / "xla"))
        jax.config.update("jax_compilation_cache_dir", "/elsewhere")
        devices.prepare()
        assert jax.config.jax_compilation_cache_dir == "/elsewhere"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)


@pytest.mark.parametrize(("rows", "seen"), [(16, 2), (12, 12)])
def test_on_each_device_its_own_rows_where_they_divide(rows, seen):
    mesh = devices.make_mesh()
    shapes = []

    def function(of_rows, shared):
        (x,), (factor,) = of_rows, shared
        shapes.append(x.shape)
        return factor * x

    program = jax.jit(lambda x, factor: devices.on_each(function, (x,), (factor,)))
    x = np.arange(rows * 3.0, dtype=np.float32).reshape(rows, 3)
    np.testing.assert_array_equal(devices.under(mesh, program)(x, np.float32(2)), 2 * x)
    assert shapes == [(seen, 3)]


def test_on_each_without_a_mesh_is_one_call():
    x = np.ones((16, 3), np.float32)
    found = devices.on_each(lambda of_rows, shared: (of_rows[0].shape, shared), (x,), (1,))
    assert found == ((16, 3), (1,))
