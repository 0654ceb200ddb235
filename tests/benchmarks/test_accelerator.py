"""The script that measures everything on an accelerator, without one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAM = BENCHMARKS / "accelerator.py"
STAND_IN = """
import json, pathlib, signal, subprocess, sys, time
name, folder, seconds = sys.argv[1:]

def report(**figures):
    part = pathlib.Path(folder, "part")
    part.write_text(json.dumps(figures))
    part.replace(pathlib.Path(folder, f"{name}.json"))

if name == "versions":
    report(**json.loads(pathlib.Path(folder, "job.json").read_text()))
elif name == "start":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    report(child=child.pid)
    try:
        time.sleep(100)
    finally:
        report(child=child.pid, last="written after SIGTERM")
else:
    sys.exit("a traceback\\nthe reason")
"""
"""In place of accelerator_parts.py: one part reports, one never ends, the others fail."""
DRIVER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import accelerator
accelerator.PROGRAM = pathlib.Path(sys.argv[2])
accelerator.GRACE_SECONDS = 2.0
accelerator.SHARES.update(versions=10, start=1, resume=10, train=4)
sys.exit(accelerator.main(sys.argv[3:]))
"""
BLOCKER = """
import os, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in os.environ["REFUSED"].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""
"""A sitecustomize.py with which some packages are missing, in child processes too."""


@pytest.fixture(scope="module", autouse=True)
def search_path():
    """Makes the modules of the benchmarks importable."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def start(tmp_path):
    """Starts the script with the stand-in; returns the process and the file of the figures."""
    stand_in, found = tmp_path / "stand_in.py", tmp_path / "found.json"
    stand_in.write_text(STAND_IN)

    def of(*flags):
        command = [sys.executable, "-c", DRIVER, str(BENCHMARKS), str(stand_in)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        flags = ("--rehearse", f"--json={found}", *flags)
        return subprocess.Popen([*command, *flags], **pipes), found

    return of


def wait_for_child(process, found):
    """Waits until the part that never ends has reported its child."""
    while "child" not in (found.read_text() if found.exists() else ""):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def is_running(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_a_part_over_its_limit_is_ended_with_its_children_and_the_others_run(start):
    process, found = start("--parts=versions,start,resume", "--minutes=1")
    output, _ = process.communicate(timeout=70)
    assert process.returncode == 1
    parts = json.loads(found.read_text())["parts"]
    assert list(parts) == ["versions", "start", "resume"]
    assert {name: part["status"] for name, part in parts.items()} == {
        "versions": "done",
        "start": "over its limit",
        "resume": "failed",
    }
    assert parts["start"]["figures"]["last"] == "written after SIGTERM"
    assert parts["start"]["limit"] == pytest.approx(58 / 11, abs=1)
    assert parts["start"]["limit"] <= parts["start"]["seconds"] < parts["start"]["limit"] + 3
    assert parts["resume"]["reason"] == "the reason"
    assert not is_running(parts["start"]["figures"]["child"])
    assert "start: over its limit" in output


def test_the_time_that_a_part_leaves_goes_to_the_later_ones(start):
    process, found = start("--parts=versions,resume,train", "--minutes=1")
    process.communicate(timeout=70)
    parts = json.loads(found.read_text())["parts"]
    left = 58.0  # of 60 s, with 2 s for ending the last part
    for name, share in (("versions", 10 / 24), ("resume", 10 / 14), ("train", 1)):
        assert parts[name]["limit"] == pytest.approx(left * share, abs=1)
        left -= parts[name]["seconds"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_figures_so_far(start, number):
    process, found = start("--parts=versions,start,resume")
    wait_for_child(process, found)
    before = json.loads(found.read_text())
    assert before["parts"]["start"]["status"] == "running"
    process.send_signal(number)
    process.communicate(timeout=40)
    assert process.returncode == 130
    results = json.loads(found.read_text())
    assert list(results["parts"]) == ["versions", "start"]
    assert results["parts"]["start"]["status"] == "stopped"
    assert results["parts"]["start"]["figures"]["last"] == "written after SIGTERM"
    assert not is_running(results["parts"]["start"]["figures"]["child"])


def test_after_a_kill_the_file_is_complete_too(start):
    process, found = start("--parts=versions,start")
    wait_for_child(process, found)
    process.kill()
    process.communicate(timeout=20)
    part = json.loads(found.read_text())["parts"]["start"]
    os.kill(part["figures"]["child"], signal.SIGKILL)
    os.killpg(os.getpgid(int(part["figures"]["child"])), signal.SIGKILL)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--parts=start,stop"], "--parts=stop: choose from versions"),
        (["--rehearse", "--minute=3"], "--minute=3: no such option"),
        (["--speech=/"], "--speech and --noise: give both or neither"),
        ([], "give --speech and --noise, or --rehearse"),
        (["--speech=/", "--noise=/nothing"], "/nothing: there is no such folder"),
    ],
)
def test_a_mistake_in_the_flags_is_named(tmp_path, flags, message):
    command = [sys.executable, str(PROGRAM), f"--json={tmp_path / 'found.json'}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def rehearse(found, *flags, **environment):
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, str(PROGRAM), "--rehearse", f"--json={found}", *flags]
    done = subprocess.run(
        command, env={**plain, **environment}, capture_output=True, text=True, check=False
    )
    return done, json.loads(found.read_text())


def test_a_rehearsal_of_the_cheap_parts(tmp_path):
    done, results = rehearse(tmp_path / "found.json", "--parts=versions,enhancement")
    assert done.returncode == 0, done.stderr
    assert results["settings"]["rehearsal"] is True
    versions, enhancement = (results["parts"][name] for name in ("versions", "enhancement"))
    assert versions["status"] == enhancement["status"] == "done"
    assert versions["figures"]["python"] == sys.version.split()[0]
    assert versions["figures"]["device"]["kind"] == "cpu"
    assert versions["figures"]["card"].keys() in ({"reason"}, {"name", "memory.total"})
    assert enhancement["figures"]["times real time"] > 0
    assert "times real time: " in done.stdout


def test_a_part_without_its_packages_says_which_is_missing_and_the_others_run(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    path = os.pathsep.join([str(tmp_path), str(BENCHMARKS.parent)])
    missing = {"PYTHONPATH": path, "REFUSED": "ml_collections,pystoi,soundfile"}
    flags = ("--parts=versions,scores,resume",)
    done, results = rehearse(tmp_path / "found.json", *flags, **missing)
    assert done.returncode == 1
    parts = results["parts"]
    assert parts["versions"]["status"] == "done"
    assert parts["scores"]["status"] == parts["resume"]["status"] == "failed"
    assert parts["scores"]["reason"].endswith("is not installed")
    assert parts["resume"]["reason"].endswith("ml_collections is not installed")


@pytest.mark.parametrize("parts", ["images,translation,seeds", "versions,recurrent,convolutions"])
def test_parts_without_audio_need_no_folders(parts):
    import accelerator

    options = accelerator.parse([f"--parts={parts}", "--json=found.json"])
    assert options.parts == parts.split(",")


def make_job(tmp_path, name, seconds):
    from accelerator_job import Job

    nothing = {"rehearse": True, "speech": "", "noise": "", "pairs": "", "overrides": []}
    (tmp_path / "job.json").write_text(json.dumps(nothing))
    return Job(name, tmp_path, seconds)


def test_images_keep_what_was_measured_before_a_failure(tmp_path, monkeypatch):
    import accelerator_programs
    import images

    left = []

    def beside_torch(name, make_torch, options, limit):
        assert make_torch is None
        assert options.dtypes == ["float32", "bfloat16"]
        left.append(limit - time.perf_counter())
        yield {"parameters": 5}
        if name == "mlp":
            raise RuntimeError("no memory")
        yield {"parameters": 7, "images / s": 3.0}

    monkeypatch.setattr(images.devices, "start", lambda: None)
    monkeypatch.setattr(images, "open_torch", lambda threads: ({"reason": "no torch"}, None))
    monkeypatch.setattr(images, "beside_torch", beside_torch)
    job = make_job(tmp_path, "images", 100.0)
    accelerator_programs.images(job)
    assert json.loads((tmp_path / "images.json").read_text()) == {
        "torch": {"reason": "no torch"},
        "mlp": {"parameters": 5, "reason": "no memory"},
        "dcgan": {"parameters": 7, "images / s": 3.0},
    }
    # The first case may take half of the time, the last one all that is left.
    assert left == pytest.approx([50, 100], abs=5)


def test_seeds_are_measured_without_torch(tmp_path, monkeypatch):
    import accelerator_programs
    import images

    for name in ("torch", "gymnasium"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "control_speed", raising=False)
    monkeypatch.setattr(images.devices, "start", lambda: None)
    monkeypatch.setattr(images, "SEEDED", ())  # which takes most of the time
    accelerator_programs.seeds(make_job(tmp_path, "seeds", 100.0))
    figures = json.loads((tmp_path / "seeds.json").read_text())
    assert list(figures) == ["dqn"]
    assert figures["dqn"]["steps of a round"] == 200
    several, one = (figures["dqn"][f"seeds={n}: seconds of a round"] for n in (8, 1))
    assert figures["dqn"]["time of 8 seeds over that of one"] == pytest.approx(several / one)


@pytest.mark.parametrize("name", ["ring", "mlp"])
def test_eight_seeds_differ_from_one_in_nothing_else(name):
    import images

    options = images.parse([])
    one, several = (images.config_of(name, options, seeds).to_dict() for seeds in (1, 8))
    assert (one.pop("seeds"), several.pop("seeds")) == (1, 8)
    assert one == several


def test_the_start_of_a_run_is_read_from_its_log():
    from accelerator_parts import start_figures

    lines = [
        (11.0, "W:jax._src.dispatch:Finished XLA compilation of jit(init) in 0.500000000 sec"),
        (14.0, "W:jax._src.compiler:Persistent compilation cache hit for 'jit_program' with key"),
        (14.0, "W:jax._src.dispatch:Finished XLA compilation of jit(program) in 2.250000000 sec"),
        (15.0, "W:jax._src.dispatch:Finished XLA compilation of jit(add) in 0.010000000 sec"),
        (16.0, "round 1/2  d_loss 1.5  6.0 s"),
    ]
    figures = start_figures(lines, 10.0, {1: 16.0})
    assert figures["first training program s"] == 4.0
    assert (figures["round 1 done s"], figures["round 2 done s"]) == (6.0, None)
    assert (figures["programs"], figures["from the cache"]) == (3, 1)
    assert figures["compile seconds, added up"] == pytest.approx(2.76)
    assert [one["program"] for one in figures["compiled"]] == ["jit(init)", "jit(program)"]
    assert start_figures([], 10.0, {})["first training program s"] is None


def test_the_cost_of_replay_is_that_of_the_recipe():
    from accelerator_parts import replay_figures

    rows = [
        {"time/round": 1.0 + 0.001 * items, "time/replay": 0.001 * items, "train/replayed": items}
        for items in (200, 300, 400)
    ]
    figures = replay_figures(rows, 8)
    assert figures["ms of an item"] == pytest.approx(1)
    assert figures["ms of D's step"] == pytest.approx(8)
    replayed = sum(round(0.2 * 100 * (number - 1)) for number in range(1, 751))
    assert figures["hours"] == pytest.approx((750 + 0.001 * replayed) / 3600)
    assert f"{replayed} items x 1 ms" in figures["750 rounds"]


NVIDIA_SMI = """#!/bin/sh
case "$1" in
  *utilization*) for load in 40 80 60; do echo $load; done; exec sleep 100 ;;
  *) echo "NVIDIA H200, 143771 MiB, 570.1" ;;
esac
"""


def test_the_card_and_its_load_are_what_nvidia_smi_says(tmp_path, monkeypatch):
    from accelerator_job import Busy
    from accelerator_parts import card

    with Busy() as busy:
        pass
    assert busy.share(0, float("inf")) is None
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert card()["memory.total"] == "143771 MiB"
    with Busy() as busy:
        while len(busy.samples) < 3:
            time.sleep(0.01)
    assert busy.share(0, float("inf")) == pytest.approx(0.6)
    assert busy.share(0, 0) is None


def test_rounds_are_summarised_without_those_that_compile_or_validate(tmp_path):
    from accelerator_job import Busy, Run
    from accelerator_parts import round_figures

    run, busy = Run.__new__(Run), Busy()
    run.workdir, run.begin = tmp_path, 100.0
    run.lines = [(100.0 + number, f"round {number}/6  d_loss 1") for number in range(1, 7)]
    busy.samples = [(101.0, 0.0), (102.5, 0.5), (104.5, 1.0), (105.5, 0.0)]
    speed = "throughput/audio_seconds_per_second"
    rows = [
        {"round": number, "time/round": seconds, "time/compile": 0.0, speed: 100 / seconds}
        | {"time/replay": seconds / 4, "train/replayed": 250 * seconds}
        for number, seconds in enumerate([50.0, 20.0, 1.0, 2.0, 4.0, 30.0], start=1)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = round_figures(run, busy, 8)
    assert (figures["rounds"], figures["time/round s"]) == (3, 2.0)
    assert (figures["round without replay s"], figures["ms of an item"]) == (1.5, 1.0)
    assert figures["audio seconds a second"] == 50.0
    assert figures["device busy (nvidia-smi)"] == 0.75
    (tmp_path / "metrics.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert round_figures(run, busy, 8) == {"reason": "only 1 rounds were done"}
