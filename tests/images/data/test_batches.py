import functools

import jax
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.images.data import batches
from jaxgan.images.data.dataset import Images


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    values = random.integers(256, size=(50, 4, 3, 3), dtype=np.uint8)
    values[0].flat[:2] = 0, 255
    return Images(values, random.integers(-1, 5, 50).astype(np.int32), tuple("abcde"))


def rounds(count, size, steps, numbers, seed=0):
    return np.concatenate([batches.schedule(count, size, steps, seed, n) for n in numbers])


def test_an_epoch_has_every_index_at_most_once():
    rows = batches.schedule(50, 8, 6, 0, 1)
    assert (rows.shape, rows.dtype) == ((6, 8), np.int32)
    assert len(np.unique(rows)) == 48
    assert 0 <= rows.min() <= rows.max() < 50


def test_an_epoch_that_batches_divide_has_every_index_once():
    assert sorted(batches.schedule(48, 8, 6, 0, 3).flat) == list(range(48))
    assert batches.schedule(5, 5, 1, 0, 1).shape == (1, 5)


def test_streams_of_one_seed_differ():
    all_data = batches.schedule(50, 8, 6, 0, 1)
    labelled = batches.schedule(50, 8, 6, 0, 1, batches.LABELLED_STREAM)
    assert (all_data != labelled).any()


@pytest.mark.parametrize("steps", [1, 4, 6, 7, 20])
def test_rounds_of_any_length_cut_the_same_series(steps):
    """As many rounds of one step as of several give the same batches; so does a resumed run."""
    expected = rounds(50, 8, 1, range(1, 2 * steps + 1))
    np.testing.assert_array_equal(rounds(50, 8, steps, (1, 2)), expected)
    np.testing.assert_array_equal(batches.schedule(50, 8, steps, 0, 2), expected[steps:])


def test_epochs_and_seeds_differ():
    first, second = (batches.schedule(48, 8, 6, 0, number) for number in (1, 2))
    assert (first != second).any()
    assert (first != batches.schedule(48, 8, 6, 1, 1)).any()


def test_all_indices_are_used_equally_often_in_the_long_run():
    counts = np.bincount(rounds(50, 8, 60, range(1, 101)).flat, minlength=50)
    # 1000 epochs, each of which leaves out 2 of 50: binomial, mean 960, sd 6.2.
    assert np.abs(counts - 960).max() < 5 * 6.2


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ValueError, match="a batch of 9 cannot be drawn from 8 without repetition"):
        batches.schedule(8, 9, 1, 0, 1)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_gathered_images_are_those_of_numpy(images, low):
    mesh = devices.make_mesh(1)
    resident = batches.place(images, mesh)
    index = np.array([3, 3, 0, 49], np.int32)
    gather = jax.jit(functools.partial(batches.gather, low=low))
    found, labels = gather(resident, devices.put_sharded(index, mesh))
    assert found.dtype == np.float32
    expected = low + images.values[index].astype(np.float64) / 255 * (1 - low)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, images.labels[index])
    assert (float(found.min()), float(found.max())) == (low, 1.0)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_bytes_become_the_same_bytes_again(low):
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    resident = batches.place(Images(values, np.zeros(1, np.int32)), devices.make_mesh(1))
    images, _ = batches.gather(resident, np.zeros(1, np.int32), low)
    np.testing.assert_array_equal(batches.to_bytes(images, low), values)
    beyond = batches.to_bytes(np.array([low - 9, 9], np.float32), low)
    assert beyond.tolist() == [0, 255]


def test_points_stay_as_they_are():
    points = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    resident = batches.place(Images(points, np.arange(20, dtype=np.int32)), devices.make_mesh(1))
    found, labels = jax.jit(batches.gather)(resident, np.array([7, 2], np.int32))
    np.testing.assert_array_equal(found, points[[7, 2]])
    assert labels.tolist() == [7, 2]


def test_one_and_eight_devices_gather_the_same_batches(images):
    rows = batches.schedule(50, 16, 3, 0, 1)
    found = []
    for count in (1, 8):
        mesh = devices.make_mesh(count)
        resident = batches.place(images, mesh)
        assert len(resident.values.sharding.device_set) == count
        with jax.transfer_guard("disallow"):
            outputs = [
                jax.jit(batches.gather)(resident, placed)
                for placed in devices.put_sharded(list(rows), mesh)
            ]
        assert outputs[0][0].sharding.is_equivalent_to(devices.sharded(mesh), 4)
        found.append(jax.device_get(outputs))
    for one, eight in zip(*found, strict=True):
        np.testing.assert_array_equal(one[0], eight[0])
        np.testing.assert_array_equal(one[1], eight[1])


@pytest.mark.parametrize(
    ("count", "most", "rows"),
    [(5, 2, [[0, 1], [2, 3], [4, 0]]), (4, 2, [[0, 1], [2, 3]]), (3, 7, [[0, 1, 2]])],
)
def test_batches_of_one_size_cover_all(count, most, rows):
    np.testing.assert_array_equal(batches.cover(count, most), rows)
