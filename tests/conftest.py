"""Eight simulated devices for every test.

These settings count only before jax starts, so they stand above everything that imports it. (Strict
dtype promotion cannot be turned on for all tests: optax's Adam raises a float to an integer count.)
"""

import os
import shutil
import tempfile

os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        # Most of the tests' time is compiling programs that run once.
        "--xla_backend_optimization_level=1",
        "--xla_llvm_disable_expensive_passes=true",
    ]
)
os.environ["JAX_PLATFORMS"] = "cpu"
# Host callbacks on 8 devices deadlock in jax before 0.11.2 unless XLA has threads to spare.
os.environ["NPROC"] = "16"
os.environ["MPLBACKEND"] = "agg"
# Many tests compile the same small programs.
OWN_CACHE = "" if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp("-jaxgan-tests")
if OWN_CACHE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = OWN_CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


def pytest_unconfigure(config):
    """Removes the compiled programs after all worker processes of the tests are done."""
    if OWN_CACHE and not hasattr(config, "workerinput"):
        shutil.rmtree(OWN_CACHE, ignore_errors=True)
