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


def test_arrays_are_replicated_or_sharded():
    mesh = devices.make_mesh()
    tree = {"x": np.arange(16.0).reshape(8, 2)}
    whole = devices.put_replicated(tree, mesh)["x"]
    cut = devices.put_sharded(tree, mesh)["x"]
    assert whole.is_fully_replicated
    assert len(cut.addressable_shards) == 8
    for number, shard in enumerate(cut.addressable_shards):
        np.testing.assert_array_equal(shard.data, tree["x"][number : number + 1])
    np.testing.assert_array_equal(whole, tree["x"])


def test_putting_arrays_is_an_explicit_transfer():
    mesh = devices.make_mesh()
    with jax.transfer_guard("disallow"):
        devices.put_replicated(np.int32(3), mesh)
        devices.put_sharded(np.zeros((8, 3)), mesh)


FORCED = "--xla_force_host_platform_device_count"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XLA_FLAGS": f"--xla_some_flag=1 {FORCED}=40"}, "82"),
        ({"XLA_FLAGS": f"{FORCED}=2"}, "6"),
        ({"XLA_FLAGS": f"{FORCED}=4", "NPROC": "3"}, "3"),
        ({"XLA_FLAGS": "--xla_some_flag=8"}, "4"),
        ({}, "4"),
    ],
)
def test_there_are_two_more_than_twice_as_many_threads_as_devices(
    monkeypatch, environment, expected
):
    for key in ("XLA_FLAGS", "NPROC"):
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    devices.guarantee_threads()
    assert os.environ.get("NPROC") == expected


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
def test_clusters_of_several_processes_are_joined(monkeypatch, environment, joins):
    calls = []
    monkeypatch.setattr(devices, "prepare", lambda: None)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: calls.append(given))
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    devices.start()
    assert calls == ([()] if joins else [])


def test_the_compilation_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXGAN_CACHE", raising=False)
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
def test_each_device_receives_its_own_rows_if_they_divide(rows, seen):
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


def test_without_a_mesh_one_call_receives_all_rows():
    x = np.ones((16, 3), np.float32)
    found = devices.on_each(lambda of_rows, shared: (of_rows[0].shape, shared), (x,), (1,))
    assert found == ((16, 3), (1,))


@pytest.mark.parametrize(("rows", "held"), [(16, 2), (12, 12)])
def test_rows_are_cut_over_the_devices_if_they_divide(rows, held):
    x = np.arange(rows * 3.0, dtype=np.float32).reshape(rows, 3)
    found = devices.under(devices.make_mesh(), jax.jit(devices.cut_rows))(x)
    assert {shard.data.shape for shard in found.addressable_shards} == {(held, 3)}
    np.testing.assert_array_equal(found, x)
    assert devices.cut_rows(x) is x
