import contextlib
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath

from jaxgan.core import checkpoint, checksums, devices, history, state
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def make_state(seed, mesh=None, sharded=False):
    key = jax.random.key(seed)
    kernel = jax.random.normal(key, (200, 100))
    generator = {"params": {"kernel": kernel, "low": kernel[0].astype(jnp.bfloat16)}}
    generator["batch_stats"] = {"u": jnp.ones(5), "count": jnp.int32(seed)}
    players = {
        "generator": state.make_player(generator, OPTIMIZER),
        "discriminator": state.make_player({"params": {"b": jnp.zeros(3)}}, OPTIMIZER),
    }
    memory = {"k": jnp.float32(0.5), "replay": jax.random.normal(key, (16, 40))}
    mesh = mesh or devices.make_mesh(1)
    whole = jax.device_put(state.make_run_state(key, players, memory), devices.replicated(mesh))
    if sharded:
        whole.memory["replay"] = jax.device_put(whole.memory["replay"], devices.sharded(mesh))
    return whole


def record(number):
    return {"x": np.full(10, number)}


@contextlib.contextmanager
def opened(workdir, history_window=None):
    with contextlib.closing(Checkpoints(workdir, history_window)) as checkpoints:
        yield checkpoints


@pytest.fixture
def two_rounds(tmp_path):
    """A folder with the checkpoints of rounds 1 (the best) and 2."""
    with opened(tmp_path) as checkpoints:
        checkpoints.save(make_state(1), (record(1),), Position(1, 3.0, 1, 0.9))
        checkpoints.save(make_state(2), (record(1), record(2)), Position(2, 6.0, 1, 0.9))
    return tmp_path


def test_records_are_read_from_their_files_once_they_are_saved(tmp_path):
    large = {"x": np.arange(100_000)}
    with opened(tmp_path) as checkpoints:
        history = checkpoints.save(make_state(1), (record(1), large), Position(2))
        assert isinstance(history[1]["x"], np.memmap)
        again = checkpoints.save(make_state(1), (*history, record(3)), Position(3))
    assert again[:2] == history
    np.testing.assert_array_equal(again[1]["x"], large["x"])


def test_restore_returns_what_was_saved(two_rounds, assert_same):
    with opened(two_rounds) as checkpoints:
        restored, history, position = checkpoints.restore(make_state(7))
    assert_same(restored, make_state(2))
    assert position == Position(2, 6.0, 1, 0.9)
    assert [record["x"][0] for record in history] == [1, 2]


def test_the_last_checkpoint_is_the_best_before_any_validation(tmp_path):
    with opened(tmp_path) as checkpoints:
        assert checkpoints.last() is None
        checkpoints.save(make_state(1), (), Position(1, 3.0))
        assert checkpoints.restore(make_state(1))[2] == Position(1, 3.0)
    assert checkpoint.find(tmp_path, "best").name == "1"


def test_the_best_round_has_the_highest_objective():
    first = Position(1).validated(0.5)
    assert (first.best_round, first.best_objective) == (1, 0.5)
    for objective in (0.5, 0.4, float("nan")):
        later = Position(2, 0.0, first.best_round, first.best_objective).validated(objective)
        assert later.best_round == 1


@pytest.mark.parametrize(("saved_on", "restored_on"), [(8, 1), (1, 8), (8, 4)])
def test_other_devices(tmp_path, assert_same, saved_on, restored_on):
    mesh = devices.make_mesh(restored_on)
    with opened(tmp_path) as checkpoints:
        checkpoints.save(make_state(3, devices.make_mesh(saved_on)), (), Position(1))
        restored = checkpoints.restore(make_state(0, mesh))[0]
    assert_same(restored, make_state(3))
    assert all(
        leaf.sharding.device_set == set(mesh.devices.flat) for leaf in jax.tree.leaves(restored)
    )


@pytest.mark.parametrize(("saved_on", "restored_on"), [(8, 8), (8, 4), (1, 8)])
def test_memory_may_be_sharded(tmp_path, assert_same, saved_on, restored_on):
    saved = make_state(3, devices.make_mesh(saved_on), sharded=True)
    fresh = make_state(0, devices.make_mesh(restored_on), sharded=True)
    assert not fresh.memory["replay"].is_fully_replicated
    with opened(tmp_path) as checkpoints:
        checkpoints.save(saved, (), Position(1))
        restored = checkpoints.restore(fresh)[0]
    assert_same(restored, make_state(3))
    assert jax.tree.map(lambda x: x.sharding, restored) == jax.tree.map(lambda x: x.sharding, fresh)


def test_restore_accepts_abstract_arrays(two_rounds, assert_same):
    sharding = devices.replicated(devices.make_mesh(2))
    shapes = jax.eval_shape(make_state, 0)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )
    with opened(two_rounds) as checkpoints:
        assert_same(checkpoints.restore(target)[0], make_state(2))


def test_each_record_is_written_once(two_rounds):
    path = two_rounds / "history" / "round_000001.npz"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    with opened(two_rounds) as checkpoints:
        _, history, _ = checkpoints.restore(make_state(0))
        checkpoints.save(make_state(3), (*history, record(3)), Position(3))
    assert before == (path.stat().st_mtime_ns, path.stat().st_ino)
    assert (two_rounds / "history" / "round_000003.npz").exists()


def flip_bit(path, random):
    data = bytearray(path.read_bytes())
    data[random.integers(len(data))] ^= 1 << random.integers(8)
    path.write_bytes(bytes(data))


def array_files(folder):
    return [path for path in sorted(folder.rglob("d/*")) if path.stat().st_size > 200]


@pytest.mark.parametrize("item", ["players", "training", ""])
def test_every_flipped_bit_is_found(two_rounds, item):
    random = np.random.default_rng(0)
    folder = two_rounds / "checkpoints" / "2"
    if item:
        paths = array_files(folder / item)
    else:
        paths = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert paths
    with opened(two_rounds) as checkpoints:
        for _ in range(20):
            path = paths[random.integers(len(paths))]
            intact = path.read_bytes()
            flip_bit(path, random)
            with pytest.raises(UserError, match="checkpoints/2 cannot be restored") as error:
                checkpoints.restore(make_state(0))
            assert "\n" not in str(error.value)
            if item == "players":
                with pytest.raises(UserError, match=r"players/.* is damaged"):
                    load_players(two_rounds, "last")
            path.write_bytes(intact)
        checkpoints.restore(make_state(0))


def test_an_array_that_orbax_cannot_read_is_told_in_one_line(tmp_path):
    """orbax raises a plain Exception for it. Checksums find such a file first, if there are any."""
    told = "Encountered error while reading array index: (slice(0, 8, 1),)."
    with (
        pytest.raises(UserError) as error,
        checkpoint.readable(epath.Path("run/2"), "start a new run"),
    ):
        raise Exception(f"{told} See full TensorStore details: <bound method of")
    assert str(error.value) == f"run/2 cannot be restored ({told}); start a new run"


DAMAGED = """
import pathlib, sys
import test_checkpoint as tests
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players

workdir = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    with tests.opened(workdir) as checkpoints:
        try:
            load_players(workdir) if name == "players" else checkpoints.restore(tests.make_state(0))
        except UserError as error:
            print(error)
"""


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_damage_that_no_checksum_reveals_gives_one_line(two_rounds, damage):
    """tensorstore reports some reads only after orbax has raised the error of another one."""
    folder = two_rounds / "checkpoints" / "2"
    (folder / checksums.FILE).unlink()
    shutil.rmtree(two_rounds / "checkpoints" / "1")
    for path in folder.rglob("d/*"):
        data = bytearray(path.read_bytes())
        data[::37] = bytes(len(data[::37]))
        path.write_bytes(data if damage == "changed" else data[: len(data) // 2])
    tries = ["players", "training"] * 3
    command = [sys.executable, "-c", DAMAGED, str(two_rounds), *tries]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent, timeout=120
    )
    assert done.stdout.count("checkpoints/2 cannot be restored (") == len(tries)
    assert (done.stdout.count("\n"), done.stderr) == (len(tries), "")


def test_a_folder_of_other_files_is_no_checkpoint(two_rounds):
    folder = two_rounds / "checkpoints" / "9"
    folder.mkdir()
    (folder / "memo.pkl").write_bytes(b"\x80\x04.")
    message = r"checkpoints/9 is not a checkpoint that jaxgan has written .*: remove that folder"
    for action in (
        lambda: checkpoint.completed(two_rounds),
        lambda: checkpoint.find(two_rounds, "best"),
        lambda: load_players(two_rounds, "2"),
        lambda: Checkpoints(two_rounds),
    ):
        with pytest.raises(UserError, match=message):
            action()


def test_a_run_can_continue_from_the_checkpoint_before_a_damaged_one(two_rounds):
    flip_bit(array_files(two_rounds / "checkpoints" / "2")[0], np.random.default_rng(0))
    with opened(two_rounds) as checkpoints, pytest.raises(UserError) as error:
        checkpoints.restore(make_state(0))
    assert "remove that folder to continue after round 1" in str(error.value)
    shutil.rmtree(two_rounds / "checkpoints" / "2")
    with opened(two_rounds) as checkpoints:
        assert checkpoints.restore(make_state(0))[2].round == 1


def test_missing_checksums_are_added_when_a_run_continues(two_rounds, assert_same):
    folder = two_rounds / "checkpoints" / "2"
    # A process that was killed while it wrote them.
    (folder / checksums.FILE).rename(folder / f"{checksums.FILE}.part")
    assert load_players(two_rounds, "last")
    assert not (folder / checksums.FILE).exists()
    with opened(two_rounds) as checkpoints:
        assert_same(checkpoints.restore(make_state(0))[0], make_state(2))
    with opened(two_rounds) as checkpoints:
        assert_same(checkpoints.restore(make_state(0))[0], make_state(2))
        flip_bit(array_files(folder)[0], np.random.default_rng(0))
        with pytest.raises(UserError, match="is damaged"):
            checkpoints.restore(make_state(0))


def test_an_error_while_writing_checksums_is_reported(tmp_path, monkeypatch):
    def full(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checksums, "write", full)
    with opened(tmp_path) as checkpoints:
        checkpoints.save(make_state(1), (), Position(1))
        with pytest.raises(UserError, match="No space left on device"):
            checkpoints.save(make_state(1), (), Position(2))
    checkpoints = Checkpoints(tmp_path / "other")
    checkpoints.save(make_state(1), (), Position(1))
    with pytest.raises(UserError, match="No space left on device"):
        checkpoints.close()


def test_arrays_are_not_copied_to_the_host_by_hand(tmp_path, monkeypatch):
    def refuse(tree):
        raise AssertionError

    monkeypatch.setattr(jax, "device_get", refuse)
    with opened(tmp_path) as checkpoints:
        checkpoints.save(make_state(1), (), Position(1))


def test_another_format_is_refused_in_one_line(two_rounds):
    for number in (1, 2):
        folder = two_rounds / "checkpoints" / str(number)
        path = folder / "position" / "metadata"
        content = json.loads(path.read_text())
        assert content.pop("format") == checkpoint.FORMAT
        path.write_text(json.dumps(content))
        (folder / checksums.FILE).unlink()
    refused = r"checkpoints/2 is in checkpoint format 1, .* only format 2: train again with this"
    with opened(two_rounds) as checkpoints:
        for action in (
            lambda: checkpoints.restore(make_state(0)),
            lambda: checkpoint.completed(two_rounds),
            lambda: checkpoint.find(two_rounds, "best"),
            lambda: load_players(two_rounds, "2"),
        ):
            with pytest.raises(UserError, match=refused) as error:
                action()
            assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="checkpoints/1 is in checkpoint format 1"):
        load_players(two_rounds, "1")


def test_the_best_survives_objectives_that_are_nan(tmp_path):
    position = Position()
    with opened(tmp_path) as checkpoints:
        for number, objective in enumerate([0.5, 0.9, float("nan"), 0.1, float("nan")], 1):
            position = Position(number, 0.0, position.best_round, position.best_objective)
            position = position.validated(objective)
            checkpoints.save(make_state(number), (), position)
    assert checkpoint.rounds(tmp_path) == [2, 5]
    assert checkpoint.find(tmp_path, "best").name == "2"


def history_files(workdir):
    return sorted(int(path.stem.split("_")[1]) for path in (workdir / "history").iterdir())


def test_a_window_bounds_the_history_and_its_files(tmp_path):
    records = ()
    with opened(tmp_path, history_window=2) as checkpoints:
        for number in range(1, 8):
            records = history.bounded((*records, record(number)), 2)
            if number != 5:
                position = Position(number, 0.0, *((3, 0.9) if number >= 3 else ()))
                records = checkpoints.save(make_state(number), records, position)
            if number == 4:
                assert history_files(tmp_path) == [2, 3, 4]
    assert checkpoint.rounds(tmp_path) == [3, 7]
    # Round 3, the best, lists 2 and 3; round 7, the last, lists 6 and 7.
    assert history_files(tmp_path) == [2, 3, 6, 7]
    assert [bool(kept) for kept in records] == [False] * 5 + [True] * 2


def rounds_with_window(workdir, window, stops):
    """Trains by a rule that depends on the history, with a new start after each stop."""
    for stop in stops:
        with opened(workdir, window) as checkpoints:
            if checkpoints.last() is None:
                run_state, records, position = make_state(1), (), Position()
            else:
                run_state, records, position = checkpoints.restore(make_state(0))
            for number in range(position.round + 1, stop + 1):
                total = sum(float(kept["x"].sum()) for kept in records if kept)
                run_state.memory["k"] = run_state.memory["k"] + total
                new = {"x": np.full(10, total + number)}
                records = history.bounded((*records, new), window)
                if number % 3 == 0 or number == stop:
                    records = checkpoints.save(run_state, records, Position(number))
    return run_state, [dict(kept) for kept in records]


def test_a_run_with_a_window_that_stops_equals_one_that_does_not(tmp_path, assert_same):
    whole = rounds_with_window(tmp_path / "whole", 2, [8])
    parts = rounds_with_window(tmp_path / "parts", 2, [2, 4, 5, 8])
    assert_same(whole, parts)
    assert history_files(tmp_path / "whole") == history_files(tmp_path / "parts") == [7, 8]


def test_a_flipped_bit_in_the_history_is_found_when_it_is_read(two_rounds):
    flip_bit(two_rounds / "history" / "round_000001.npz", np.random.default_rng(0))
    with opened(two_rounds) as checkpoints:
        _, records, _ = checkpoints.restore(make_state(0))
    assert records[1]["x"][0] == 2
    with pytest.raises(UserError, match=r"round_000001\.npz"):
        dict(records[0])


@pytest.mark.parametrize("part", ["players", "training", "position", "position/metadata"])
def test_a_missing_part_is_reported(two_rounds, part):
    path = two_rounds / "checkpoints" / "2" / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with opened(two_rounds) as checkpoints, pytest.raises(UserError) as error:
        checkpoints.restore(make_state(0))
    assert "checkpoints/2 cannot be restored" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_structure_is_reported(two_rounds):
    other = make_state(0)
    players = {**other.players, "third": other.players["generator"]}
    with opened(two_rounds) as checkpoints, pytest.raises(UserError, match="cannot be restored"):
        checkpoints.restore(other.replace(players=players))


def test_an_interrupted_save_leaves_the_previous_checkpoint(two_rounds):
    cut = two_rounds / "checkpoints" / "3.orbax-checkpoint-tmp"
    shutil.copytree(two_rounds / "checkpoints" / "2", cut)
    assert checkpoint.rounds(two_rounds) == [1, 2]
    with opened(two_rounds) as checkpoints:
        assert checkpoints.last() == 2
        _, history, _ = checkpoints.restore(make_state(0))
        checkpoints.save(make_state(3), (*history, record(3)), Position(3, 9.0, 1, 0.9))
    assert checkpoint.rounds(two_rounds) == [1, 3]
    assert not cut.exists()


REFUSED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint import *

with opened(sys.argv[2]) as checkpoints:
    _, history, _ = checkpoints.restore(make_state(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        checkpoints.save(make_state(3), (*history, record(3)), Position(3, 9.0, 1, 0.9))
    except UserError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_previous_checkpoint(two_rounds, assert_same):
    # A limit on the size of files makes writes fail like a full disk; here within the arrays.
    command = [sys.executable, "-c", REFUSED, str(Path(__file__).parent), str(two_rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    message = done.stdout
    assert "ERROR:absl" not in done.stderr
    assert message.startswith(f"cannot write in {two_rounds}/checkpoints (")
    assert "File too large" in message
    assert "the checkpoint of round 2 is intact; free space" in message
    assert message.count("\n") == 1
    with opened(two_rounds) as checkpoints:
        restored, history, _ = checkpoints.restore(make_state(0))
        assert_same(restored, make_state(2))
        checkpoints.save(make_state(3), (*history, record(3)), Position(3, 9.0, 1, 0.9))
    assert checkpoint.rounds(two_rounds) == [1, 3]


def test_a_full_disk_is_named(two_rounds, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "round_000003.npz")

    with opened(two_rounds) as checkpoints:
        _, history, _ = checkpoints.restore(make_state(0))
        monkeypatch.setattr("jaxgan.core.files.replace", full)
        with pytest.raises(UserError, match=r"No space left on device.*round 2 is intact"):
            checkpoints.save(make_state(3), (*history, record(3)), Position(3))


def test_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match=r"cannot write in .*/checkpoints"):
        Checkpoints(tmp_path)


def test_finding_checkpoints(two_rounds, tmp_path_factory):
    for asked, found in {"best": "1", "last": "2", "1": "1", "2": "2", "002": "2"}.items():
        assert checkpoint.find(two_rounds, asked).name == found
    for asked in ("3", "-1", "", "newest"):
        with pytest.raises(UserError, match="give best, last, or one of the rounds 1, 2"):
            checkpoint.find(two_rounds, asked)
    with pytest.raises(UserError, match="holds no checkpoint; train first"):
        checkpoint.find(tmp_path_factory.mktemp("empty"), "best")


def test_errors_that_orbax_forgot_are_not_logged():
    """After a failed write, asyncio logs the errors of the other writes with their tracebacks."""
    logger = logging.getLogger("asyncio")
    for path, logged in (("site-packages/orbax/checkpoint/x.py", False), ("own.py", True)):
        try:
            exec(compile("raise OSError", f"/{path}", "exec"))
        except OSError:
            raised = sys.exc_info()
        record = logger.makeRecord("asyncio", 40, path, 1, "never retrieved", (), raised)
        assert bool(logger.filter(record)) == logged
