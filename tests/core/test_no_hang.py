"""Collectives end on simulated devices, whatever the version of jax."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "collectives.py"
SECONDS = 120


def run(name, tmp_path, **environment):
    """Returns what the program prints; it raises TimeoutExpired after `SECONDS`."""
    # The suite's own settings would keep `devices.prepare` from its work.
    own = ("NPROC", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    inherited = {key: value for key, value in os.environ.items() if key not in own}
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), name],
        env={**inherited, **paths, **environment},
        timeout=SECONDS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("transforms", {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}),
        ("callbacks", {"JAX_NUM_CPU_DEVICES": "2"}),
    ],
)
def test_two_simulated_devices_do_not_block_each_other(name, setting, tmp_path):
    assert run(name, tmp_path, **setting) == "2 devices\ndone\n"


def test_a_process_has_one_cpu_device_by_default(tmp_path):
    assert run("callbacks", tmp_path) == "1 devices\ndone\n"
