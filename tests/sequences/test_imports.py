"""Training SeqGAN imports only what it needs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
import jax
from jaxgan import recipes
from jaxgan.core import config as configs, devices, loop

config = configs.load("configs/seqgan.py:quick", [
    "--config.rounds=1", "--config.data.count=128", "--config.validation.samples=64",
    "--config.validation.bleu_samples=8",
])
loop.run(recipes.make(config, devices.make_mesh(1)), config, sys.argv[1])
print("\\n".join(sys.modules))
"""
AUDIO = {"soundfile", "pesq", "soxr", "espeakng_loader", "pystoi", "librosa", "scipy.signal"}


def test_a_round_of_seqgan_imports_no_audio_packages(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "jaxgan.sequences.systems.seqgan" in imported
    assert imported & (AUDIO | {"matplotlib", "rdkit"}) == set()
    assert not [name for name in imported if name.startswith("jaxgan.speech")]
