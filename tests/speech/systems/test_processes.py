"""Training in several processes, each a program of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import corpora
import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
PATIENCE = 280
SETTINGS = {
    "data.kind": "pairs",
    "data.valid_utterances": 4,
    "data.buckets": 1,
    "score": "si_sdr",
    "rounds": 3,
    "utterances_per_round": 6,
    "batch_size": 2,
    "generator.layers": 1,
    "generator.width": 8,
    "generator.dense": 8,
    "discriminator.channels": (3, 4),
    "discriminator.kernels": (5, 3),
    "replay.share": 0.5,
    "scoring.workers": 1,
    "validation.every": 3,
    "validation.scores": (),
}


@pytest.fixture
def pairs(tmp_path):
    """Sixteen pairs of noise, of 0.5 to 0.7 s."""
    random = np.random.default_rng(0)
    for number, length in enumerate(random.integers(8000, 11200, 16)):
        clean = corpora.speech_like(random, length) / 32768
        noisy = clean + 0.02 * random.standard_normal(length)
        corpora.save(tmp_path / "data" / "clean" / f"{number}.wav", clean)
        corpora.save(tmp_path / "data" / "noisy" / f"{number}.wav", noisy)
    return tmp_path / "data"


def start(data, workdir, device_count, *flags):
    settings = [f"--config.{key}={value}" for key, value in SETTINGS.items()]
    environment = {
        **os.environ,
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", f"count={device_count}"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, ROOT / "train.py", f"--config={ROOT}/configs/metricgan_plus.py"]
    command += [f"--workdir={workdir}", f"--config.data.root={data}", *settings, *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def numbers(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name[:5] in ("train", "valid")}
        for line in lines
    ]


def free_address():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def test_metricgan_in_two_processes_gives_the_numbers_of_one(pairs, tmp_path):
    one = start(pairs, tmp_path / "one", 2)
    told, _ = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, told

    flags = (f"--coordinator={free_address()}", "--processes=2")
    two = [start(pairs, tmp_path / "two", 1, *flags, f"--process_id={i}") for i in range(2)]
    try:
        told = [process.communicate(timeout=PATIENCE)[0] for process in two]
    finally:
        for process in two:
            process.kill()
    assert [process.returncode for process in two] == [0, 0], "\n".join(told)

    expected = numbers(tmp_path / "one")
    assert len(expected) == 3
    assert expected[1]["train/replayed"] > 0
    assert "valid/si_sdr" in expected[2]
    for row, other in zip(expected, numbers(tmp_path / "two"), strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-5)
