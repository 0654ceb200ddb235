import threading

import jax
import numpy as np
import pytest
from corpora import mix_corpus, pair_corpus

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.data import batching
from jaxgan.speech.data.batching import Loader, plan_batches

LENGTHS = [900, 300, 256, 700, 1024, 500, 257, 30, 800, 600, 250, 999, 512]


@pytest.fixture(params=[1, 8])
def mesh(request):
    return devices.make_mesh(request.param)


def host(batches):
    return [jax.tree.map(np.asarray, batch) for batch in batches]


def same(one, two):
    assert len(one) == len(two)
    for left, right in zip(host(one), host(two), strict=True):
        jax.tree.map(np.testing.assert_array_equal, left, right)


def test_plans_contain_every_utterance_once_in_a_long_enough_bucket():
    random = np.random.default_rng(0)
    for trial in range(50):
        lengths = random.integers(1, 1025, random.integers(1, 40))
        buckets = np.array([256, 512, 1024], np.int32)
        size = int(random.integers(1, 9))
        plans = plan_batches(lengths, buckets, size)
        rows = np.concatenate([plan.rows for plan in plans])
        assert sorted(rows[rows >= 0]) == list(range(len(lengths))), trial
        for plan in plans:
            assert plan.length in buckets
            assert len(plan.rows) == size
            filled = plan.rows >= 0
            assert filled[0]
            assert (np.diff(filled.astype(int)) <= 0).all()
            assert lengths[plan.rows[filled]].max() <= plan.length
        assert sorted((plan.length for plan in plans), reverse=True) == [p.length for p in plans]


def test_batches_contain_utterances_of_similar_lengths():
    buckets = np.array([256, 512], np.int32)
    lengths = np.array([200, 400, 210, 390, 60, 205, 410, 50])
    plans = plan_batches(lengths, buckets, 3)
    assert [plan.length for plan in plans] == [512, 256, 256]
    assert [plan.rows.tolist() for plan in plans] == [[6, 1, 3], [2, 5, 0], [4, 7, -1]]
    # There are as few batches as possible: a shorter utterance fills a batch of longer ones.
    plans = plan_batches(lengths[[0, 1, 2, 4]], buckets, 3)
    assert [(plan.length, plan.rows.tolist()) for plan in plans] == [
        (512, [1, 2, 0]),
        (256, [3, -1, -1]),
    ]


def test_a_batch_contains_its_utterances_and_zeros(mesh):
    corpus = pair_corpus(LENGTHS)
    with Loader(corpus, count=13, batch_size=8, seed=0, mesh=mesh) as loader:
        batches = host(loader.round(1))
    found = []
    for batch, rows in batches:
        np.testing.assert_array_equal(rows.utterance, batch.index)
        np.testing.assert_array_equal(rows.gain, batch.gain)
        np.testing.assert_array_equal(rows.lengths, batch.lengths)
        assert batch.clean.dtype == batch.noisy.dtype == np.int16
        assert batch.lengths.dtype == batch.index.dtype == np.int32
        assert batch.gain.dtype == np.float32
        assert len(batch.index) == 8
        assert batch.clean.shape[1] in corpus.bucket_lengths
        for row, (index, length) in enumerate(zip(batch.index, batch.lengths, strict=True)):
            assert not batch.clean[row, length:].any()
            assert not batch.noisy[row, length:].any()
            if index < 0:
                assert length == 0
                continue
            found.append(index)
            np.testing.assert_array_equal(batch.clean[row, :length], corpus.clean(index))
            np.testing.assert_array_equal(batch.noisy[row, :length], corpus.noisy(index))
    assert sorted(found) == list(range(13))


def test_resident_and_streamed_batches_are_identical(mesh):
    corpus = pair_corpus(LENGTHS)
    options = {"count": 9, "batch_size": 8, "seed": 3, "mesh": mesh}
    with (
        Loader(corpus, **options) as streamed,
        Loader(corpus, **options, resident_megabytes=1) as resident,
    ):
        for number in (1, 2, 7):
            same(streamed.round(number), resident.round(number))
        same(list(streamed.all()), list(resident.all()))


def test_all_yields_every_utterance_once(mesh):
    with Loader(pair_corpus(LENGTHS), count=2, batch_size=8, seed=0, mesh=mesh) as loader:
        index = np.concatenate([rows.utterance for _, rows in loader.all()])
    assert sorted(index[index >= 0]) == list(range(len(LENGTHS)))


def test_a_round_depends_only_on_seed_and_number(mesh):
    options = {"count": 8, "batch_size": 8, "mesh": mesh}
    with Loader(mix_corpus([8000] * 10, [9000, 20000]), seed=1, **options) as loader:
        forward = [loader.round(number) for number in (1, 2, 3)]
        same(loader.round(1), forward[0])
    with Loader(mix_corpus([8000] * 10, [9000, 20000]), seed=1, **options) as loader:
        same(loader.round(3), forward[2])
        same(loader.round(2), forward[1])
    with Loader(mix_corpus([8000] * 10, [9000, 20000]), seed=2, **options) as loader:
        assert not np.array_equal(loader.round(3)[0][0].noisy, forward[2][0][0].noisy)
    assert not np.array_equal(forward[0][0][0].noisy, forward[1][0][0].noisy)


def test_batches_are_sharded_over_the_devices():
    mesh = devices.make_mesh(8)
    for megabytes in (0, 1):
        with Loader(
            pair_corpus(LENGTHS),
            count=13,
            batch_size=16,
            seed=0,
            mesh=mesh,
            resident_megabytes=megabytes,
        ) as loader:
            for array in jax.tree.leaves([batch for batch, _ in loader.round(1)]):
                assert array.sharding.is_equivalent_to(devices.sharded(mesh), array.ndim)
                assert {shard.data.shape[0] for shard in array.addressable_shards} == {2}


def test_nothing_is_transferred_implicitly(mesh):
    with jax.transfer_guard("disallow"):
        for megabytes in (0, 1):
            with Loader(
                pair_corpus(LENGTHS),
                count=5,
                batch_size=8,
                seed=0,
                mesh=mesh,
                resident_megabytes=megabytes,
            ) as loader:
                loader.round(1)
                list(loader.all())


def test_a_resident_corpus_compiles_once_per_length():
    corpus = pair_corpus(LENGTHS)
    mesh = devices.make_mesh(1)
    with Loader(corpus, count=9, batch_size=4, seed=0, mesh=mesh, resident_megabytes=1) as loader:
        compiled = loader._resident._gather._cache_size
        before = compiled()
        for number in range(10):
            loader.round(number)
        assert compiled() <= before + len(corpus.bucket_lengths)


def test_only_a_corpus_that_fits_is_resident():
    corpus = pair_corpus([250_000])  # 1 MB for the two sides and as much for their tails
    assert not batching.fits(corpus, 1.9)
    assert batching.fits(corpus, 2.1)
    assert not batching.fits(corpus, 0)


def test_batches_that_cannot_be_divided_are_a_user_error():
    mesh = devices.make_mesh(8)
    for size in (12, 0, -8):
        with pytest.raises(UserError, match=f"config.batch_size={size} cannot be divided over 8"):
            Loader(pair_corpus(LENGTHS), count=5, batch_size=size, seed=0, mesh=mesh)
    with pytest.raises(UserError, match=r"config.utterances_per_round=0"):
        Loader(pair_corpus(LENGTHS), count=0, batch_size=8, seed=0, mesh=mesh)


def test_an_error_in_the_thread_is_raised_when_its_round_is_requested():
    class Broken(type(mix_corpus([8000], [8000]))):
        def draw(self, seed, round_number, count):
            if round_number == 2:
                raise OSError("the disk is gone")
            return super().draw(seed, round_number, count)

    good = mix_corpus([8000] * 3, [8000])
    corpus = Broken(good.names, good.speech, good.noise, good.snrs, good.bucket_lengths)
    with Loader(corpus, count=2, batch_size=1, seed=0, mesh=devices.make_mesh(1)) as loader:
        loader.round(1)
        with pytest.raises(OSError, match="the disk is gone"):
            loader.round(2)
        assert len(loader.round(3)) == 2


def test_the_next_round_is_built_ahead_and_the_thread_ends_with_the_loader():
    drawn, ahead = [], threading.Event()

    class Watched(type(mix_corpus([8000], [8000]))):
        def draw(self, seed, round_number, count):
            drawn.append((round_number, threading.current_thread().name))
            if round_number == 6:
                ahead.set()
            return super().draw(seed, round_number, count)

    good = mix_corpus([8000] * 3, [8000])
    corpus = Watched(good.names, good.speech, good.noise, good.snrs, good.bucket_lengths)
    with Loader(corpus, count=2, batch_size=1, seed=0, mesh=devices.make_mesh(1)) as loader:
        loader.round(5)
        assert ahead.wait(60)
        assert [number for number, _ in drawn] == [5, 6]
        assert all(name.startswith("batches") for _, name in drawn)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_corpus_that_is_mixed_in_every_round_has_no_fixed_batches():
    options = {"count": 1, "batch_size": 1, "seed": 0, "mesh": devices.make_mesh(1)}
    with Loader(mix_corpus([8000], [8000]), **options) as loader, pytest.raises(TypeError):
        next(loader.all())
