import os

import ml_dtypes
import numpy as np
import pytest
from etils import epath

from jaxgan.core import checksums, history
from jaxgan.core.errors import UserError


@pytest.fixture
def folder(tmp_path):
    return epath.Path(tmp_path) / "history"


def record(number):
    rng = np.random.default_rng(number)
    return {
        "waves": rng.integers(-32768, 32767, (3, 50)).astype(np.int16),
        "scores": np.array([0.1, np.nan, number], np.float32),
        "names": np.array(["a", "bc"]),
    }


def test_records_come_back_as_they_were(folder):
    records = [record(1), {}, record(3)]
    digests = [history.write(folder, item, number) for number, item in enumerate(records, 1)]
    assert digests[1] is None
    assert sorted(path.name for path in folder.iterdir()) == [
        "round_000001.npz",
        "round_000003.npz",
    ]
    for read, written in zip(history.read(folder, digests), records, strict=True):
        assert read.keys() == written.keys()
        for key in written:
            np.testing.assert_array_equal(read[key], written[key], strict=True)


def large_record(number):
    waves = np.random.default_rng(number).integers(-32768, 32767, (5, 40_000))
    return {**record(number), "enhanced": waves.astype(np.int16), "none": np.zeros((0, 3))}


def test_large_arrays_of_a_stored_record_are_mapped(folder):
    written = large_record(1)
    history.write(folder, written, 1)
    stored = history.stored(folder, history.freeze(written), 1)
    assert stored.keys() == written.keys()
    for key, array in written.items():
        np.testing.assert_array_equal(stored[key], array, strict=True)
    assert isinstance(stored["enhanced"], np.memmap)
    assert not isinstance(stored["scores"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        stored["enhanced"][0] = 1
    assert history.stored(folder, stored, 1) is stored


def test_stored_records_keep_no_file_open(folder):
    history.write(folder, large_record(1), 1)
    before = len(os.listdir("/proc/self/fd"))
    records = [history.stored(folder, large_record(1), 1) for _ in range(20)]
    parts = [stored["enhanced"][2, :9].copy() for stored in records]
    assert len(parts) == 20
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_record_without_a_file_stays_in_memory(folder):
    mine = history.freeze(large_record(1))
    assert history.stored(folder, mine, 1) is mine
    assert history.stored(epath.Path("gs://bucket/history"), mine, 1) is mine
    empty = history.freeze({})
    assert history.stored(folder, empty, 1) is empty


def test_a_record_that_is_read_after_a_restart_is_mapped(folder):
    digest = history.write(folder, large_record(1), 1)
    (again,) = history.read(folder, [digest])
    assert isinstance(again["enhanced"], np.memmap)
    np.testing.assert_array_equal(again["enhanced"], large_record(1)["enhanced"])


def test_the_same_record_makes_the_same_file(folder):
    assert history.write(folder, record(1), 1) == history.write(folder, record(1), 1)


def test_records_of_rounds_that_are_not_listed_are_ignored(folder):
    digests = [history.write(folder, record(number), number) for number in (1, 2)]
    (folder / "round_000002.npz").write_bytes(b"half a fi")
    (only,) = history.read(folder, digests[:1])
    assert only.keys() == record(1).keys()


@pytest.mark.parametrize("make", [record, large_record])
def test_every_flipped_bit_is_found_and_the_file_named(folder, make):
    random = np.random.default_rng(0)
    digests = [history.write(folder, make(number), number) for number in (1, 2)]
    path = folder / "round_000002.npz"
    intact = path.read_bytes()
    for _ in range(20):
        data = bytearray(intact)
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        path.write_bytes(bytes(data))
        one, two = history.read(folder, digests)
        assert one["scores"][2] == 1
        with pytest.raises(UserError, match=r"history/round_000002\.npz (is damaged|cannot be)"):
            dict(two)
        # A second look finds the damage again.
        with pytest.raises(UserError, match=r"history/round_000002\.npz (is damaged|cannot be)"):
            dict(two)


def test_small_arrays_are_read_without_the_large_ones(folder, monkeypatch):
    digest = history.write(folder, large_record(1), 1)
    hashed = []
    real = checksums.digest
    monkeypatch.setattr(checksums, "digest", lambda path: hashed.append(path) or real(path))
    (stored,) = history.read(folder, [digest])
    assert stored
    assert stored["scores"][2] == 1
    assert not hashed
    for _ in range(2):
        assert stored["enhanced"].shape == (5, 40_000)
    assert len(hashed) == 1


def test_a_missing_file_is_named(folder):
    digests = [history.write(folder, record(1), 1)]
    (folder / "round_000001.npz").unlink()
    with pytest.raises(UserError, match=r"round_000001\.npz does not exist"):
        history.read(folder, digests)


def test_a_file_that_disappears_is_named(folder):
    (stored,) = history.read(folder, [history.write(folder, record(1), 1)])
    (folder / "round_000001.npz").unlink()
    with pytest.raises(UserError, match=r"round_000001\.npz cannot be read"):
        dict(stored)


def test_a_bounded_history_keeps_its_numbers():
    records = tuple(history.freeze(record(number)) for number in (1, 2, 3))
    assert history.bounded(records, None) is records
    assert history.bounded(records, 5) == records
    assert [len(kept) for kept in history.bounded(records, 1)] == [0, 0, 3]
    assert history.bounded(records, 1)[2] is records[2]


def test_unused_files_are_removed(folder):
    history.remove_unused(folder, [1], 1)
    for number in range(1, 8):
        history.write(folder, record(number), number)
    history.remove_unused(folder, [3, 6], 2)
    assert [path.name[-5] for path in sorted(folder.iterdir())] == list("2356")


def test_nothing_is_unpickled(folder):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        history.write(folder, {"x": np.array([{}], object)}, 1)
    with pytest.raises(TypeError, match=r"'x'.*dtype object"):
        history.freeze({"x": np.array([{}], object)})


def test_a_frozen_record_cannot_be_changed():
    mine = np.zeros(3)
    frozen = history.freeze({"x": mine})
    with pytest.raises(ValueError, match="read-only"):
        frozen["x"][0] = 1
    with pytest.raises(TypeError):
        frozen["y"] = mine
    assert np.shares_memory(frozen["x"], mine)
    mine[0] = 1


def test_types_that_a_file_would_change_are_refused():
    with pytest.raises(TypeError, match=r"'x'.*bfloat16"):
        history.freeze({"x": np.zeros(3, ml_dtypes.bfloat16)})
