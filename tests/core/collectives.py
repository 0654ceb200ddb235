"""A program of collectives whose devices block each other unless XLA has threads to spare.

It prints the number of devices when it starts and "done" when it ends. With as many threads as
devices (NPROC=2) it hangs on jax 0.10 and 0.11:

    XLA_FLAGS=--xla_force_host_platform_device_count=2 NPROC=2 python collectives.py transforms
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import devices

PROGRAMS_QUEUED = 100


def transforms(x):
    """Fourier transforms, which wait for threads of XLA's pool, between large all-reduces."""

    def step(x, _):
        transformed = jnp.fft.irfft(jnp.fft.rfft(x))
        return transformed + 1e-9 * jax.lax.psum(transformed, devices.DATA), None

    return jax.lax.scan(step, x, None, length=5)[0]


def callbacks(x):
    """A host callback ahead of a large all-reduce.

    Its operands have 80,000 bytes each. With operands of 2 MB, jax 0.10 hangs even with twice as
    many threads as devices, so a system must pass large arrays in pieces.
    """

    def host_sum(*operands):
        return np.float32(sum(np.asarray(operand).sum() for operand in operands))

    pieces = x.ravel()[:80_000].reshape(4, 20_000)
    total = jax.pure_callback(host_sum, jax.ShapeDtypeStruct((), np.float32), *pieces)
    return x + 1e-9 * jax.lax.psum(total * x, devices.DATA)


def main(name: str) -> None:
    devices.prepare()
    mesh = devices.make_mesh()
    print(len(jax.devices()), "devices", flush=True)
    over_devices = jax.P(devices.DATA)
    program = jax.jit(
        jax.shard_map(
            {"transforms": transforms, "callbacks": callbacks}[name],
            mesh=mesh,
            in_specs=over_devices,
            out_specs=over_devices,
        )
    )
    x = devices.put_sharded(np.ones((64 * len(jax.devices()), 8192), np.float32), mesh)
    for _ in range(PROGRAMS_QUEUED):
        x = program(x)
    assert np.isfinite(jax.device_get(x)).all()
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
