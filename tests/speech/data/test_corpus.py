import itertools

import numpy as np
import pytest
from corpora import pair_corpus

from jaxgan.speech.data import corpus


def padded(lengths, buckets):
    return sum(min(bucket for bucket in buckets if bucket >= n) for n in lengths)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_buckets_hold_every_utterance_and_pad_least(count):
    random = np.random.default_rng(count)
    lengths = random.integers(1, 11 * 256, 40)
    buckets = corpus.choose_buckets(lengths, count)
    assert len(buckets) <= count
    assert (np.diff(buckets) > 0).all()
    assert (buckets % 256 == 0).all()
    assert buckets[-1] >= lengths.max()
    longest = -(-lengths.max() // 256)
    rivals = itertools.combinations(range(1, longest), min(count, longest) - 1)
    best = min(
        padded(lengths, [*(256 * hops for hops in rival), 256 * longest]) for rival in rivals
    )
    assert padded(lengths, buckets) == best


def test_no_more_buckets_than_distinct_lengths():
    assert corpus.choose_buckets([1000, 1000, 900], 4).tolist() == [1024]
    assert corpus.choose_buckets([256, 257], 4).tolist() == [256, 512]


def test_shuffled_passes_use_every_index_before_any_repeats():
    order = corpus.shuffled_passes(7, 17, corpus.random_generator(0))
    assert sorted(order[:7]) == list(range(7))
    assert sorted(order[7:14]) == list(range(7))
    assert len(set(order[14:])) == 3
    assert len(order) == 17


def test_random_generators_depend_on_every_seed_and_on_their_number():
    sequences = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0)]

    def draw():
        return [tuple(corpus.random_generator(*s).integers(1 << 40, size=3)) for s in sequences]

    assert len(set(draw())) == len(sequences)
    assert draw() == draw()


def test_a_draw_depends_only_on_seed_and_round():
    pairs = pair_corpus([3000 + 10 * n for n in range(20)])
    first = pairs.draw(3, 5, 8)
    pairs.draw(3, 6, 8)
    again = pair_corpus([3000 + 10 * n for n in range(20)]).draw(3, 5, 8)
    np.testing.assert_array_equal(first.index, again.index)
    assert not np.array_equal(first.index, pairs.draw(3, 6, 8).index)
    assert not np.array_equal(first.index, pairs.draw(4, 5, 8).index)
    for position, index in enumerate(first.index):
        np.testing.assert_array_equal(first.clean[position], pairs.clean(index))
        np.testing.assert_array_equal(first.noisy[position], pairs.noisy(index))
    assert (first.gain == 1).all()


def test_a_gain_scales_and_rounds():
    samples = np.array([-32768, -3, 3, 32767], np.int16)
    assert corpus.scaled(samples, 1.0) is samples
    np.testing.assert_array_equal(corpus.scaled(samples, 0.5), [-16384, -2, 2, 16384])


def test_spread_returns_distinct_indices_from_end_to_end():
    for size, count in itertools.product(range(1, 30), range(1, 35)):
        chosen = corpus.spread(size, count)
        assert len(set(chosen)) == min(size, count)
        assert chosen[0] == 0
        assert chosen[-1] < size
    assert corpus.spread(101, 3).tolist() == [0, 50, 100]


def test_select_keeps_pairs_together():
    pairs = pair_corpus([3000, 4000, 5000])
    some = pairs.select(np.array([2, 0]))
    assert some.names == ("p2", "p0")
    np.testing.assert_array_equal(some.clean(0), pairs.clean(2))
    np.testing.assert_array_equal(some.noisy(1), pairs.noisy(0))
    np.testing.assert_array_equal(some.bucket_lengths, pairs.bucket_lengths)
