"""The network that comes with the package."""

import functools

import jax
import numpy as np
import pytest
import soundfile
from corpora import save
from pair_folders import voice

import jaxgan
from configs import enhancer as enhancer_config
from jaxgan.commands import enhance
from jaxgan.commands import eval as evaluate
from jaxgan.core import devices
from jaxgan.core.files import PRETRAINED_FOLDER
from jaxgan.core.players import load_players
from jaxgan.speech.systems.enhancer import init_generator


@pytest.fixture(scope="module")
def network():
    return jaxgan.load("pretrained")


def test_the_folder_is_small_and_names_no_path():
    files = {path.name: path for path in PRETRAINED_FOLDER.iterdir()}
    assert files.keys() == {"config.json", "sha256.json", "weights.safetensors"}
    assert sum(path.stat().st_size for path in files.values()) < 5e6
    assert '": "/' not in files["config.json"].read_text()


def test_it_removes_noise_and_leaves_the_level(network):
    clean = voice(3.0).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.1 * clean.std(), len(clean)).astype(np.float32)
    made = network(clean + 3 * noise, 16000)
    assert made.shape == clean.shape
    level = made @ clean / (clean @ clean)
    assert 0.7 < level < 1.1
    assert np.mean((made - level * clean) ** 2) < 0.5 * level**2 * np.mean((3 * noise) ** 2)


def test_files_are_enhanced_without_a_run(network, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    noisy = voice(1.0) + 0.02 * np.random.default_rng(0).standard_normal(16000)
    save(tmp_path / "noisy.wav", noisy, subtype="FLOAT")
    flags = [f"--input={tmp_path / 'noisy.wav'}", f"--output={tmp_path / 'out'}"]
    assert enhance.main(["--pretrained", *flags]) == 0
    made, rate = soundfile.read(tmp_path / "out" / "noisy.wav", dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(made, network(noisy.astype(np.float32), 16000), atol=1e-5)


@pytest.mark.parametrize("flags", [["--pretrained", "--workdir=x"], []])
def test_one_network_is_named(flags, tmp_path, capsys):
    assert enhance.main([*flags, f"--input={tmp_path}", f"--output={tmp_path / 'out'}"]) == 2
    assert "--pretrained" in capsys.readouterr().err


def test_nothing_is_written_into_the_package(monkeypatch, capsys):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    assert evaluate.main(["--workdir=pretrained"]) == 2
    assert "is part of the package; give --output=DIR" in capsys.readouterr().err


def test_the_preset_that_trained_it_continues_it():
    config = enhancer_config.get_config("pretrained")
    fresh = jax.eval_shape(functools.partial(init_generator, config=config), jax.random.key(0))
    params = load_players("pretrained")["generator"].params
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, fresh["params"])
