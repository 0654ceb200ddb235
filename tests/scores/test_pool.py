import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores import get
from jaxgan.scores.pool import OUTCOMES, ScorePool

# The values of the first sample at which the score `faulty` of conftest fails, and how.
RAISES, EXITS, GIVES_NAN, UNSCORABLE, DIES, IS_KILLED, SEGFAULTS, LOOPS, HANGS_IN_C = range(1, 10)


def pair(value: int) -> tuple[np.ndarray, np.ndarray]:
    samples = np.full(1000, value, np.int16)
    return samples, samples


def is_running(process_id: int) -> bool:
    """Returns whether the process exists and is not a zombie."""
    line = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True)
    return line.stdout.strip()[:1] not in (b"", b"Z")


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_several_scores_of_a_pair_equal_direct_calls(make_speech):
    clean = (make_speech(2.0) * 32768).astype(np.int16)
    noisy = (clean + np.random.default_rng(0).normal(0, 300, clean.shape)).astype(np.int16)
    names = ("pesq_wb", "si_sdr")
    with ScorePool(names, workers=1) as pool:
        values = pool.submit(clean, noisy).result()
        one = pool.submit(clean, noisy, ("si_sdr",)).result()
        assert pool.counts["scored"] == 3
    assert values == {name: get(name)(clean, noisy, 16000) for name in names}
    assert one == {"si_sdr": values["si_sdr"]}


def test_a_batch_is_cut_to_its_lengths_and_padding_is_not_counted(make_speech):
    clean = np.stack([make_speech(1.0, seed=seed) for seed in range(4)])
    noisy = clean + np.random.default_rng(0).normal(0, 0.01, clean.shape)
    noisy[3] = 0.0
    lengths = np.array([16000, 0, 9000, 16000], np.int32)
    with ScorePool(["si_sdr"], workers=1) as pool:
        scores = pool.score_batch(clean, noisy, lengths)[:, 0]
        counts = pool.counts
    expected = [
        get("si_sdr")(clean[i, :n], noisy[i, :n], 16000) for i, n in ((0, 16000), (2, 9000))
    ]
    np.testing.assert_array_equal(scores, np.array([expected[0], np.nan, expected[1], np.nan], "f"))
    assert scores.dtype == np.float32
    assert counts == dict(zip(OUTCOMES, (2, 1, 0, 0, 0), strict=True))


def test_a_fault_affects_only_its_own_item(faulty_scores, caplog):
    faults = range(RAISES, HANGS_IN_C + 1)
    values = [value for fault in faults for value in (20 + fault, fault, 40 + fault)]
    with ScorePool([f"{faulty_scores}:faulty"], workers=2, deadline_seconds=1.5) as pool:
        pool.wait_until_ready()
        batch = np.repeat(np.array(values, np.int16)[:, None], 1000, axis=1)
        scores = pool.score_batch(batch, batch, np.full(len(values), 1000))[:, 0]
        expected = [value if value > 9 else math.nan for value in values]
        np.testing.assert_array_equal(scores, np.array(expected, np.float32))
        assert pool.counts == dict(zip(OUTCOMES, (18, 2, 2, 3, 2), strict=True))
        assert pool.submit(*pair(77)).result() == {f"{faulty_scores}:faulty": 77.0}
    assert len(caplog.records) == 3
    assert "ValueError: a defect" in caplog.text or "SystemExit: 3" in caplog.text


def test_a_crash_in_one_score_does_not_affect_the_others_of_the_pair(faulty_scores):
    names = [f"{faulty_scores}:{score}" for score in ("same", "faulty", "slow")]
    with ScorePool(names, workers=1, deadline_seconds=10.0) as pool:
        values = pool.submit(*pair(SEGFAULTS)).result()
    assert values[names[0]] == SEGFAULTS
    assert math.isnan(values[names[1]])
    assert values[names[2]] > 0


def test_a_worker_killed_while_idle_loses_no_score(faulty_scores):
    with ScorePool([f"{faulty_scores}:same"], workers=2) as pool:
        pool.wait_until_ready()
        before = pool.process_ids
        for process_id in before:
            os.kill(process_id, signal.SIGKILL)
        assert wait_for(lambda: not pool.process_ids, 5.0)
        values = [pool.submit(*pair(number)) for number in range(10, 20)]
        assert [next(iter(value.result().values())) for value in values] == list(range(10, 20))
        assert pool.counts["crashed"] == 0
        assert not set(before) & set(pool.process_ids)


def test_a_worker_killed_while_it_scores_loses_no_score(faulty_scores):
    with ScorePool([f"{faulty_scores}:slow", f"{faulty_scores}:same"], workers=1) as pool:
        pool.wait_until_ready()
        (before,) = pool.process_ids
        value = pool.submit(*pair(10))
        time.sleep(0.1)
        os.kill(before, signal.SIGKILL)
        values = value.result()
        assert values[f"{faulty_scores}:same"] == 10
        assert values[f"{faulty_scores}:slow"] == pool.process_ids[0]
        assert pool.counts == dict(zip(OUTCOMES, (2, 0, 0, 0, 0), strict=True))


def test_what_a_score_loads_counts_for_no_deadline(faulty_scores):
    with ScorePool([f"{faulty_scores}:heavy"], workers=1, deadline_seconds=0.5) as pool:
        assert pool.submit(*pair(10)).result() == {f"{faulty_scores}:heavy": 1.0}


def test_a_stopped_worker_is_replaced(faulty_scores):
    large = np.full(400_000, 15, np.int16)  # more than a socket buffers: sending has to time out
    with ScorePool([f"{faulty_scores}:same"], workers=1, deadline_seconds=1.5) as pool:
        pool.wait_until_ready()
        os.kill(pool.process_ids[0], signal.SIGSTOP)
        assert math.isnan(pool.submit(large, large).result(10)[f"{faulty_scores}:same"])
        assert pool.submit(*pair(15)).result(10) == {f"{faulty_scores}:same": 15.0}
        assert pool.counts["timed_out"] == 1


def test_the_deadline_excludes_the_time_in_the_queue(faulty_scores):
    with ScorePool([f"{faulty_scores}:brief"], workers=1, deadline_seconds=1.5) as pool:
        values = [pool.submit(*pair(10)) for _ in range(9)]
        assert all(value.result() == {f"{faulty_scores}:brief": 1.0} for value in values)


def test_workers_run_in_parallel_in_separate_processes(faulty_scores):
    with ScorePool([f"{faulty_scores}:slow"], workers=4) as pool:
        pool.wait_until_ready()
        processes = set(pool.process_ids)
        start = time.monotonic()
        values = [pool.submit(*pair(10)) for _ in range(4)]
        ran_in = {int(next(iter(value.result().values()))) for value in values}
        seconds = time.monotonic() - start
    assert ran_in == processes
    assert len(processes) == 4
    assert seconds < 1.5  # in sequence: 1.6


def test_workers_load_neither_jax_nor_the_callers_program(faulty_scores):
    import jax  # noqa: F401

    with ScorePool([f"{faulty_scores}:loaded"], workers=1) as pool:
        assert pool.submit(*pair(10)).result() == {f"{faulty_scores}:loaded": 0.0}


def test_workers_ignore_ctrl_c_and_sigterm(faulty_scores):
    with ScorePool([f"{faulty_scores}:slow"], workers=1) as pool:
        pool.wait_until_ready()
        value = pool.submit(*pair(10))
        for number in (signal.SIGINT, signal.SIGTERM):
            time.sleep(0.1)
            os.kill(pool.process_ids[0], number)
        assert next(iter(value.result().values())) == pool.process_ids[0]


def test_output_of_a_score_does_not_reach_standard_output(faulty_scores, capfd):
    with ScorePool([f"{faulty_scores}:talkative"], workers=1) as pool:
        pool.submit(*pair(10)).result()
    captured = capfd.readouterr()
    assert captured.out == ""


def test_close_does_not_wait_for_tasks(faulty_scores):
    pool = ScorePool([f"{faulty_scores}:faulty"], workers=1)
    pool.wait_until_ready()
    process_ids = pool.process_ids
    values = [pool.submit(*pair(LOOPS)) for _ in range(3)]
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < 5.0
    values.append(pool.submit(*pair(10)))
    assert all(math.isnan(next(iter(value.result(1).values()))) for value in values)
    assert sum(pool.counts.values()) == 0
    assert not any(map(is_running, process_ids))


ORPHANS = """
import sys, time, numpy as np
from jaxgan.scores.pool import ScorePool
pool = ScorePool(["faulty_scores:faulty"], workers=3, deadline_seconds=0.7)
pool.wait_until_ready()
for fault in (8, 9):  # one worker loops, one hangs in C holding the GIL, one is idle
    pool.submit(np.full(10, fault, np.int16), np.full(10, fault, np.int16))
time.sleep(0.1)
print(*pool.process_ids, flush=True)
time.sleep(60)
"""


def test_workers_do_not_outlive_a_killed_parent(faulty_scores, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", ORPHANS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        process_ids = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(process_ids) == 3
    assert wait_for(lambda: not any(map(is_running, process_ids)), 20.0)


def test_workers_that_cannot_start_are_reported_and_give_nan(tmp_path, monkeypatch):
    source = "import sys\nassert 'pytest' in sys.modules, 'only here'\n"
    source += "def score(*pair): return 1.0\n"
    source += "score.lowest, score.highest, score.higher_is_better = 0, 1, True\n"
    (tmp_path / "picky_score.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with ScorePool(["picky_score:score"], workers=2) as pool:
        with pytest.raises(UserError, match=r"cannot load picky_score:score: .*only here"):
            pool.wait_until_ready()
        assert math.isnan(pool.submit(*pair(10)).result()["picky_score:score"])
        assert pool.counts["crashed"] == 1


@pytest.mark.parametrize(
    ("scores", "settings", "message"),
    [
        ([], {}, "at least one name"),
        (["pesq"], {}, "'pesq' is unknown"),
        (["si_sdr"], {"workers": -1}, r"scoring\.workers"),
        (["si_sdr"], {"deadline_seconds": 0.0}, r"scoring\.deadline_seconds"),
        (["si_sdr"], {"deadline_seconds": math.inf}, r"scoring\.deadline_seconds"),
    ],
)
def test_invalid_arguments_are_rejected(scores, settings, message):
    with pytest.raises(UserError, match=message):
        ScorePool(scores, **settings)


def test_a_score_that_the_pool_does_not_have_is_rejected():
    with ScorePool(["si_sdr"], workers=1) as pool, pytest.raises(ValueError, match="stoi"):
        pool.submit(*pair(10), ("stoi",))
