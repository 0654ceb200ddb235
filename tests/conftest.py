"""Eight simulated devices for every test, which can also import the helpers next to this file.

These settings only have an effect before jax starts, so they precede everything that imports it.
Strict dtype promotion cannot be enabled for all tests: optax's Adam raises a float to an integer.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        # Most of the time goes into compiling programs that run once.
        "--xla_backend_optimization_level=1",
        "--xla_llvm_disable_expensive_passes=true",
    ]
)
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # The older code generator for fusions takes 0.6 of the time. Later versions lack it.
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ["JAX_PLATFORMS"] = "cpu"
# With one thread per device, collectives and host callbacks can block each other (core.devices).
os.environ["NPROC"] = "16"
os.environ["MPLBACKEND"] = "agg"
# Many tests compile the same programs, most of them tiny.
OWN_CACHE = "" if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp("-jaxgan-tests")
if OWN_CACHE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = OWN_CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# The site's packages are in the extra `docs`, not in `test`.
collect_ignore = [] if importlib.util.find_spec("mkdocs") else ["test_site.py"]


@pytest.fixture(scope="session")
def make_cache(tmp_path_factory):
    """A function that makes a cache folder. All share the libraries that are compiled from C++."""
    libraries = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) / "libraries"
    libraries.mkdir(parents=True, exist_ok=True)

    def make():
        folder = tmp_path_factory.mktemp("cache")
        (folder / "native").symlink_to(libraries, target_is_directory=True)
        return folder

    return make


def pytest_unconfigure(config):
    """Removes the compiled programs after all worker processes of the tests are done."""
    if OWN_CACHE and not hasattr(config, "workerinput"):
        shutil.rmtree(OWN_CACHE, ignore_errors=True)
