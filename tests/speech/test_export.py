"""Compares the exported enhancer with enhance.py, and reads it without this package."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from corpora import save
from pair_folders import voice
from workdirs import load, make_workdir

from jaxgan import export as command
from jaxgan.core import devices
from jaxgan.speech import export
from jaxgan.speech.enhance_files import enhance_files

WITHOUT_JAXGAN = """
import sys
import numpy as np
from jax import export
model = export.deserialize(open(sys.argv[1], "rb").read())
noisy = np.load(sys.argv[2])
np.save(sys.argv[3], model.call(noisy[None], np.array([len(noisy)], np.int32))[0])
assert not any(name.startswith("jaxgan") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of a run and the file of its exported enhancer."""
    folder = tmp_path_factory.mktemp("export")
    workdir = make_workdir(folder / "run")
    assert command.main([f"--workdir={workdir}", f"--output={folder / 'deep' / 'model.bin'}"]) == 0
    return workdir, folder / "deep" / "model.bin"


def test_result_equals_that_of_enhance(exported, tmp_path):
    workdir, path = exported
    noisy = voice(1.3) + 0.02 * np.random.default_rng(0).standard_normal(20800)
    save(tmp_path / "a.wav", noisy, subtype="FLOAT")
    enhance_files(load(workdir), tmp_path / "a.wav", tmp_path / "out")
    expected, _ = soundfile.read(tmp_path / "out" / "a.wav", dtype="float32")
    made = export.load(path)(noisy.astype(np.float32))
    assert made.shape == expected.shape == (20800,)
    np.testing.assert_allclose(made, expected, atol=2e-6)


def test_any_length_and_any_number_of_rows(exported):
    workdir, path = exported
    model = export.jax_export.deserialize(bytearray(path.read_bytes()))
    trained = load(workdir)
    for lengths in ([12345], [5000, 256, 0], [9000, 9001]):
        noisy = np.random.default_rng(1).normal(0, 0.1, (len(lengths), 9001 + lengths[0]))
        noisy = noisy.astype(np.float32)
        made = np.asarray(model.call(noisy, np.array(lengths, np.int32)))
        for row, length in enumerate(lengths):
            assert not made[row, length:].any()
            if length:
                expected = trained(noisy[row : row + 1, :length], np.array([length]))[0]
                np.testing.assert_allclose(made[row, :length], expected, atol=2e-6)


def test_needs_only_jax(exported, tmp_path):
    noisy = np.random.default_rng(2).normal(0, 0.1, 8000).astype(np.float32)
    np.save(tmp_path / "noisy.npy", noisy)
    script = [sys.executable, "-c", WITHOUT_JAXGAN, exported[1], "noisy.npy", "out.npy"]
    subprocess.run(script, cwd=tmp_path, check=True)
    made = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(made, export.load(exported[1])(noisy), atol=2e-6)


def test_weights_are_a_folder_that_enhances_like_the_run(exported, tmp_path):
    workdir = make_workdir(tmp_path / "run", "data.kind=mix", "data.speech=/secret", "init_from=x")
    flags = [f"--workdir={workdir}", "--format=weights", f"--output={tmp_path / 'weights'}"]
    assert command.main(flags) == 0
    config = (tmp_path / "weights" / "config.json").read_text()
    assert "secret" not in config
    assert '"init_from": ""' in config
    noisy = np.random.default_rng(3).normal(0, 0.1, (1, 8192)).astype(np.float32)
    expected = load(workdir)(noisy, np.array([8192]))
    made = load(tmp_path / "weights")(noisy, np.array([8192]))
    # bfloat16 has 8 bits, and the masks of this network lie between 0.05 and 1.
    np.testing.assert_allclose(made, expected, atol=0.02 * np.abs(expected).max())
    assert np.abs(made - expected).max() > 0
    assert command.main(flags) == 2  # the folder is not empty


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=run"], "required: --output"),
        (["--workdir=nowhere", "--output=x"], "nowhere is not the folder of a run"),
        (["--workdir=RUN", "--output=file/x"], "cannot write in file"),
        (["--output=x"], "one of the arguments --workdir --parameters is required"),
        (["--workdir=RUN", "--output=x", "--format=torch"], "argument --format: invalid choice"),
        (["--parameters=p.npz", "--output=x"], "--parameters=p.npz: add --format=onnx"),
        (["--parameters=file", "--output=x", "--format=onnx"], "file: holds no parameters; write"),
        (
            ["--parameters=file", "--output=x", "--format=onnx", "--checkpoint=last"],
            "--checkpoint=last: only --workdir uses it",
        ),
    ],
)
def test_user_errors_are_one_line(exported, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "prepare", lambda: None)
    (tmp_path / "file").write_text("")
    arguments = [item.replace("RUN", str(exported[0])) for item in arguments]
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
