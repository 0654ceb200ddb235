"""Runs `enhance.py --stream` between pipes, and its loop on files in memory."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from workdirs import load, make_workdir

from jaxgan.commands import enhance
from jaxgan.core import devices
from jaxgan.speech import enhance_stream
from jaxgan.speech.arrays import ArrayEnhancer

ROOT = Path(__file__).parents[2]
READY = "streaming: 16000 Hz, mono, signed 16-bit little-endian; algorithmic latency 32 ms"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream") / "run"
    return make_workdir(folder, "generator.causal=True", "feature=log1p")


def whole_samples(count, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(-3000, 3000, count).astype("<i2")


def expected_of(run, samples):
    """What enhancing all samples at once gives, as int16."""
    return ArrayEnhancer(load(run))(samples.astype(np.int16), 16000).astype(int)


@pytest.fixture
def start(run):
    """Starts the command between pipes; it has said that it is ready."""
    processes = []

    def begin():
        command = [sys.executable, ROOT / "enhance.py", f"--workdir={run}", "--stream"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(command, **pipes, bufsize=0)
        processes.append(process)
        assert READY in process.stderr.readline().decode()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_samples_come_back_within_a_window_and_none_is_lost(run, start):
    samples = whole_samples(1500)
    expected = expected_of(run, samples)
    process = start()
    data, made = samples.tobytes(), b""
    for begun in range(0, len(data) - 33, 77):  # an odd number of bytes
        process.stdin.write(data[begun : begun + 77])
        received = (begun + 77) // 2
        # Blocks this far must come although the input goes on.
        while len(made) < 2 * max(received // 256 - 1, 0) * 256:
            made += process.stdout.read(512)
        last = begun + 77
    process.stdin.write(data[last:])
    process.stdin.close()
    made += process.stdout.read()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    made = np.frombuffer(made, "<i2").astype(int)
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= 1


def test_a_closed_reader_ends_the_stream_with_one_line(start):
    process = start()
    process.stdin.write(whole_samples(600).tobytes())
    process.stdout.read(512)
    process.stdout.close()
    process.stdin.write(whole_samples(600).tobytes())
    assert process.wait(60) == 0
    line = process.stderr.read().decode()
    assert line == "the reader closed standard output; stopped\n"


def test_ctrl_c_writes_what_was_received(run, start):
    samples = whole_samples(700)
    process = start()
    process.stdin.write(samples.tobytes())
    made = process.stdout.read(512)  # so all of it was read, up to the last incomplete block
    while len(made) < 512:
        made += process.stdout.read(512 - len(made))
    process.send_signal(signal.SIGINT)
    made += process.stdout.read()
    assert process.wait(60) == 130
    assert process.stderr.read() == b"stopped\n"
    made = np.frombuffer(made, "<i2").astype(int)
    assert len(made) >= 512  # the block that was ready, and what the zeros after the end complete
    expected = expected_of(run, samples[: len(made)])
    assert np.abs(made - expected).max() <= 1


def test_ctrl_c_also_ends_a_stream_whose_reader_is_gone(start):
    process = start()
    process.stdin.write(whole_samples(600).tobytes())
    process.stdout.read(512)
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == b"stopped\n"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 511, 1025])
def test_a_last_half_sample_is_left_out(run, capsys, size):
    stream = ArrayEnhancer(load(run)).stream()
    data = whole_samples(600).tobytes()[:size]
    target = io.BytesIO()
    enhance_stream.run(stream, io.BufferedReader(io.BytesIO(data)), target, 256)
    assert len(target.getvalue()) == size // 2 * 2
    line = "standard input ends within a sample; its last byte was left out\n"
    assert capsys.readouterr().err == (line if size % 2 else "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir=OFFLINE", "--stream"], "run: this network is offline, it needs the whole"),
        (["--workdir=CAUSAL", "--stream", "--input=a"], "--input=a: --stream uses standard input"),
        (["--workdir=CAUSAL", "--stream", "--output=b"], "--output=b: --stream uses standard"),
        (["--workdir=CAUSAL", "--stream"], "--stream: standard input is a terminal"),
    ],
)
def test_a_user_error_is_one_line_with_status_2(run, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.setattr(devices, "prepare", lambda: None)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: "terminal" in message)
    if "OFFLINE" in flags[0]:
        make_workdir(tmp_path / "run")
    names = {"OFFLINE": str(tmp_path / "run"), "CAUSAL": str(run)}
    for name, folder in names.items():
        flags = [flag.replace(name, folder) for flag in flags]
    assert enhance.main(flags) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
