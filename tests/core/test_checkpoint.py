import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core import checkpoint, devices, state
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import UserError

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def make_state(seed, mesh=None):
    key = jax.random.key(seed)
    kernel = jax.random.normal(key, (200, 100))
    generator = {"params": {"kernel": kernel, "low": kernel[0].astype(jnp.bfloat16)}}
    generator["batch_stats"] = {"u": jnp.ones(5), "count": jnp.int32(seed)}
    players = {
        "generator": state.make_player(generator, OPTIMIZER),
        "discriminator": state.make_player({"params": {"b": jnp.zeros(3)}}, OPTIMIZER),
    }
    whole = state.begin(key, players, memory={"k": jnp.float32(0.5)})
    sharding = devices.replicated(mesh or devices.make_mesh(1))
    return jax.device_put(whole, sharding)


def record(number):
    return {"x": np.full(10, number)}


@contextlib.contextmanager
def opened(workdir):
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        yield checkpoints


@pytest.fixture
def two_rounds(tmp_path):
    """A folder with the checkpoints of rounds 1 (the best) and 2."""
    with opened(tmp_path) as checkpoints:
        checkpoints.save(make_state(1), (record(1),), Position(1, 3.0, 1, 0.9))
        checkpoints.save(make_state(2), (record(1), record(2)), Position(2, 6.0, 1, 0.9))
    return tmp_path


def test_records_that_are_saved_leave_the_memory(tmp_path):
    large = {"x": np.arange(100_000)}
    with opened(tmp_path) as checkpoints:
        history = checkpoints.save(make_state(1), (record(1), large), Position(2))
        assert isinstance(history[1]["x"], np.memmap)
        again = checkpoints.save(make_state(1), (*history, record(3)), Position(3))
    assert again[:2] == history
    np.testing.assert_array_equal(again[1]["x"], large["x"])


def test_what_was_saved_comes_back(two_rounds, assert_same):
    with opened(two_rounds) as checkpoints:
        restored, history, position = checkpoints.restore(make_state(7))
    assert_same(restored, make_state(2))
    assert position == Position(2, 6.0, 1, 0.9)
    assert [record["x"][0] for record in history] == [1, 2]


def test_nothing_validated_yet(tmp_path):
    with opened(tmp_path) as checkpoints:
        assert checkpoints.last() is None
        checkpoints.save(make_state(1), (), Position(1, 3.0))
        assert checkpoints.restore(make_state(1))[2] == Position(1, 3.0)
    assert checkpoint.find(tmp_path, "best").name == "1"


def test_positions_follow_the_highest_objective():
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


def test_abstract_targets_serve(two_rounds, assert_same):
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


def test_a_damaged_array_is_found(two_rounds):
    files = (two_rounds / "checkpoints" / "2" / "players").rglob("*")
    largest = max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 4
    largest.write_bytes(bytes(data))
    with opened(two_rounds) as checkpoints, pytest.raises(UserError) as error:
        checkpoints.restore(make_state(0))
    assert "checkpoints/2 cannot be restored" in str(error.value)
    assert "remove that folder to go on after round 1" in str(error.value)
    shutil.rmtree(two_rounds / "checkpoints" / "2")
    with opened(two_rounds) as checkpoints:
        assert checkpoints.restore(make_state(0))[2].round == 1


@pytest.mark.parametrize("part", ["players", "training", "position", "position/metadata"])
def test_a_missing_part_is_told(two_rounds, part):
    path = two_rounds / "checkpoints" / "2" / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with opened(two_rounds) as checkpoints, pytest.raises(UserError) as error:
        checkpoints.restore(make_state(0))
    assert "checkpoints/2 cannot be restored" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_structure_is_told(two_rounds):
    other = make_state(0)
    players = {**other.players, "third": other.players["generator"]}
    with opened(two_rounds) as checkpoints, pytest.raises(UserError, match="cannot be restored"):
        checkpoints.restore(other.replace(players=players))


def test_a_save_that_was_cut_off_leaves_the_one_before(two_rounds):
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


def test_a_disk_that_refuses_leaves_the_checkpoint_before(two_rounds, assert_same):
    # The limit on the size of a file fails writes as a full disk does; here amid the arrays.
    command = [sys.executable, "-c", REFUSED, str(Path(__file__).parent), str(two_rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    told = done.stdout
    assert "Traceback" not in done.stderr
    assert told.startswith(f"cannot save the checkpoint of round 3 in {two_rounds}/checkpoints")
    assert "File too large" in told
    assert "the checkpoint of round 2 is unharmed; free space" in told
    assert told.count("\n") == 1
    with opened(two_rounds) as checkpoints:
        restored, history, _ = checkpoints.restore(make_state(0))
        assert_same(restored, make_state(2))
        checkpoints.save(make_state(3), (*history, record(3)), Position(3, 9.0, 1, 0.9))
    assert checkpoint.rounds(two_rounds) == [1, 3]


def test_a_full_disk_by_name(two_rounds, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "round_000003.npz")

    with opened(two_rounds) as checkpoints:
        _, history, _ = checkpoints.restore(make_state(0))
        monkeypatch.setattr("jaxgan.core.files.replace", full)
        with pytest.raises(UserError, match=r"No space left on device.*round 2 is unharmed"):
            checkpoints.save(make_state(3), (*history, record(3)), Position(3))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match=r"cannot open .*/checkpoints"):
        Checkpoints(tmp_path)


def test_finding_checkpoints(two_rounds, tmp_path_factory):
    for asked, found in {"best": "1", "last": "2", "1": "1", "2": "2", "002": "2"}.items():
        assert checkpoint.find(two_rounds, asked).name == found
    for asked in ("3", "-1", "", "newest"):
        with pytest.raises(UserError, match="say best, last, or one of the rounds 1, 2"):
            checkpoint.find(two_rounds, asked)
    with pytest.raises(UserError, match="holds no checkpoint; train first"):
        checkpoint.find(tmp_path_factory.mktemp("empty"), "best")


def test_the_digest_tells_arrays_names_types_and_shapes_apart():
    one = {"a": jnp.zeros(4), "b": jnp.ones(2)}
    others = [
        {"a": jnp.zeros(4), "c": jnp.ones(2)},
        {"a": jnp.zeros((2, 2)), "b": jnp.ones(2)},
        {"a": jnp.zeros(4, jnp.int32), "b": jnp.ones(2)},
        {"a": jnp.zeros(4).at[3].set(-0.0), "b": jnp.ones(2)},
    ]
    digests = {checkpoint.digest(tree) for tree in [one, *others]}
    assert len(digests) == 5
    assert checkpoint.digest(jax.tree.map(np.asarray, one)) == checkpoint.digest(one)
