"""Converts a trained network as docs/export.md says, and compares onnxruntime with jax.

jax2onnx cannot be installed beside this package's orbax. JAXGAN_ONNX_PYTHON names the Python of an
environment that has it.
"""

import contextlib
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from workdirs import tiny_config, tiny_params

import jaxgan
from configs import mask_regression
from jaxgan import export as command
from jaxgan import recipes
from jaxgan.core import devices, loop
from jaxgan.speech import onnx, parameters

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("JAXGAN_ONNX_PYTHON", "")
BY_ONNXRUNTIME = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
noisy = np.load("noisy.npy")
for length in map(int, sys.argv[1:]):
    part = noisy[:length]
    blocks = np.pad(part, (256, 256 + -len(part) % 256)).reshape(-1, 256)
    frames = np.hstack([blocks[:-1], blocks[1:]])
    (made,) = session.run(None, {"noisy": frames})
    np.save(f"{length}.npy", (made[:-1, 256:] + made[1:, :256]).reshape(-1)[:length])
"""


@pytest.mark.skipif(not PYTHON, reason="JAXGAN_ONNX_PYTHON names no Python with jax2onnx")
@pytest.mark.parametrize("causal", [False, True])
def test_onnxruntime_gives_what_jax_gives(tmp_path, monkeypatch, causal):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    config = mask_regression.get_config("tiny")
    changes = {"feature": "log1p", "generator.causal": causal, "generator_learning_rate": 0.01}
    config.update_from_flattened_dict(changes)
    run = tmp_path / "run"
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        loop.run(recipe, config, run)
    flags = [f"--workdir={run}", "--format=parameters", f"--output={tmp_path / 'p.npz'}"]
    assert command.main(flags) == 0
    other = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    other["PYTHONPATH"] = str(ROOT)

    def in_the_other_environment(*arguments):
        subprocess.run([PYTHON, *arguments], cwd=tmp_path, env=other, check=True, timeout=240)

    flags = ["--parameters=p.npz", "--format=onnx", "--output=model.onnx"]
    in_the_other_environment("-m", "jaxgan.export", *flags)
    noisy = np.random.default_rng(0).normal(0, 0.1, 20001).astype(np.float32)
    noisy[5000:7000] = 0
    np.save(tmp_path / "noisy.npy", noisy)
    lengths = (1, 256, 700, 20001)
    in_the_other_environment("-c", BY_ONNXRUNTIME, *map(str, lengths))
    enhancer = jaxgan.load(run)
    for length in lengths:
        expected = enhancer(noisy[:length], 16000)
        np.testing.assert_allclose(np.load(tmp_path / f"{length}.npy"), expected, atol=1e-4)
    assert np.abs(expected - noisy).max() > 1e-2


def test_the_converter_imports_no_orbax():
    code = (
        "import sys, jaxgan.export, jaxgan.speech.onnx, jaxgan.speech.parameters, "
        "jaxgan.speech.networks.masking, jaxgan.core.devices, jaxgan.core.files; "
        "print([name for name in sys.modules if 'orbax' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def failing(*arguments, **options):
    raise AttributeError("module jax has no attribute X")


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (None, onnx.MISSING),
        (
            types.SimpleNamespace(to_onnx=failing),
            f"--format=onnx: jax2onnx fails with jax {jax.__version__} (module jax has no "
            "attribute X): install 'jax<0.12' with it",
        ),
    ],
)
def test_without_a_package_that_works_one_line_says_what_to_do(
    tmp_path, monkeypatch, capsys, package, message
):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    monkeypatch.setitem(sys.modules, "jax2onnx", package)
    config = tiny_config()
    parameters.write(tmp_path / "p.npz", config, tiny_params(config))
    flags = [f"--parameters={tmp_path / 'p.npz'}", "--format=onnx"]
    assert command.main([*flags, f"--output={tmp_path / 'm.onnx'}"]) == 2
    assert capsys.readouterr().err == message + "\n"
    assert not (tmp_path / "m.onnx").exists()
