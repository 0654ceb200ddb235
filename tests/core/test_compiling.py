"""Programs that are compiled in the background."""

import contextlib
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core import compiling, devices
from jaxgan.core.compiling import Program, init_on_host
from jaxgan.core.timer import Compilations


def test_a_prepared_program_is_compiled_once():
    mesh = devices.make_mesh()
    program = Program(lambda x: 2 * x, mesh, out_shardings=devices.sharded(mesh))
    x = devices.put_sharded(np.arange(16.0, dtype=np.float32), mesh)
    whole = devices.put_replicated(np.arange(16.0, dtype=np.float32), mesh)
    with contextlib.closing(Compilations()) as compilations:
        program.prepare(jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding))
        program.prepare(x)
        np.testing.assert_array_equal(program(x), 2 * np.arange(16.0))
        # The sharding of a result may be written in another way than that of an argument.
        np.testing.assert_array_equal(program(program(x)), 4 * np.arange(16.0))
        assert compilations.take()[0] == 1
        np.testing.assert_array_equal(program(whole), 2 * np.arange(16.0))
        assert compilations.take()[0] == 1


def test_programs_are_traced_one_after_the_other_and_compiled_together():
    """Each of two compilations waits until the other one has started."""
    started = threading.Barrier(2, timeout=60)
    tracing = []

    class Slow:
        def compile(self):
            started.wait()
            return "compiled"

    def lower(number):
        tracing.append(("begin", number))
        time.sleep(0.05)
        tracing.append(("end", number))
        return Slow()

    queue = compiling._Queue(2)
    futures = [queue.submit(lambda number=number: lower(number)) for number in range(2)]
    assert [future.result() for future in futures] == ["compiled", "compiled"]
    assert tracing == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]


def test_an_error_while_compiling_reaches_the_call():
    class Wrong:
        def compile(self):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        compiling._Queue(1).submit(Wrong).result()


def test_an_error_while_tracing_reaches_the_call():
    def wrong(x):
        raise ValueError("wrong")

    mesh = devices.make_mesh(1)
    with pytest.raises(ValueError, match=r"^wrong"):
        Program(wrong, mesh)(devices.put_replicated(np.zeros(2, np.float32), mesh))


def test_debug_nans_names_the_operation():
    mesh = devices.make_mesh(1)
    program = Program(lambda x: jnp.log(x), mesh)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
        program(devices.put_replicated(np.float32(-1), mesh))


def test_compilations_are_reported(monkeypatch):
    monkeypatch.setattr(compiling, "SECONDS_BETWEEN_REPORTS", 0.01)
    reports = []

    def slow(x):
        time.sleep(0.2)
        return x

    mesh = devices.make_mesh(1)
    with compiling.reported(lambda *report: reports.append(report)):
        Program(slow, mesh)(devices.put_replicated(np.zeros(2, np.float32), mesh))
        time.sleep(0.1)
    assert reports[0][:2] == (0, 1)
    assert reports[-1][:2] == (1, 1)
    assert 0.2 < reports[-1][2] < 60
    assert [report[:2] for report in reports].count((1, 1)) == 1


def test_the_initial_state_is_on_every_device():
    mesh = devices.make_mesh()

    def init(key):
        return {"key": key, "values": jax.random.normal(key, (5, 3))}

    state = init_on_host(init, mesh)(jax.random.key(3))
    assert state["values"].sharding == state["key"].sharding == devices.replicated(mesh)
    np.testing.assert_allclose(
        state["values"], jax.random.normal(jax.random.key(3), (5, 3)), atol=1e-6
    )
    assert jnp.issubdtype(state["key"].dtype, jax.dtypes.prng_key)


def test_parts_of_the_initial_state_may_be_cut_over_the_devices():
    mesh = devices.make_mesh(8)
    whole, cut = devices.replicated(mesh), devices.sharded(mesh)

    def init(key):
        return {"key": key, "rows": {"values": jax.random.normal(key, (16, 3))}}

    state = init_on_host(init, mesh, {"key": whole, "rows": cut})(jax.random.key(3))
    values = state["rows"]["values"]
    assert (state["key"].sharding, values.sharding) == (whole, cut)
    assert values.addressable_shards[0].data.shape == (2, 3)
    np.testing.assert_allclose(values, jax.random.normal(jax.random.key(3), (16, 3)), atol=1e-6)


@pytest.mark.parametrize("options", [*compiling.OPTIONS.values(), compiling.INIT_OPTIONS])
def test_xla_knows_the_options(options):
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2
