import numpy as np
import pytest
from corpora import pair_corpus

from jaxgan.speech.data.replay import make_record, replay_batches

LENGTHS = [900, 700, 1200, 800, 1100]


def record(number):
    """Returns the record of a round in which every wave encodes the round and the utterance."""
    enhanced = [np.full(1300, 100 * number + item, np.int16) for item in range(len(LENGTHS))]
    first = np.arange(len(LENGTHS), dtype=np.float32) / 10 + number
    labels = np.stack([first, -first], axis=1)
    labels[number] = np.nan
    labels[4 if number < 4 else 0, 1] = np.nan
    index = np.arange(len(LENGTHS), dtype=np.int32)
    gain = np.ones(len(LENGTHS), np.float32)
    return make_record(index, gain, np.array(LENGTHS, np.int32), enhanced, labels)


def drawn(share, limit=0, number=5):
    """Checks all batches of a draw and returns (round, utterance) of every item."""
    corpus = pair_corpus(LENGTHS)
    history = (record(0), {}, record(2), record(3))
    batches = list(replay_batches(history, corpus, share, limit, 2, 7, number))
    items = []
    for batch in batches:
        for row in np.flatnonzero(batch.lengths):
            length = batch.lengths[row]
            wave = batch.enhanced[row, :length]
            round_number, utterance = divmod(int(wave[0]), 100)
            assert (wave == wave[0]).all()
            assert length == LENGTHS[utterance]
            known = round_number + utterance / 10
            missing = np.nan if utterance == 4 else -known
            assert batch.labels[row] == pytest.approx([known, missing], nan_ok=True)
            np.testing.assert_array_equal(batch.clean[row, :length], corpus.clean(utterance))
            items.append((round_number, utterance))
        filling = batch.lengths == 0
        assert np.isnan(batch.labels[filling]).all()
        assert not batch.enhanced[filling].any()
    return items


def test_all_items_with_a_score_are_replayed_once():
    items = drawn(1.0)
    assert sorted(items) == [(r, u) for r in (0, 2, 3) for u in range(5) if u != r]


@pytest.mark.parametrize(("share", "limit", "count"), [(0.5, 0, 6), (0.5, 4, 4), (0.25, 9, 3)])
def test_a_share_of_all_items_up_to_a_limit(share, limit, count):
    items = drawn(share, limit)
    assert len(items) == len(set(items)) == count


def test_rounds_draw_differently_and_a_repeated_round_alike():
    assert drawn(0.5, number=5) == drawn(0.5, number=5)
    assert sorted(drawn(0.5, number=5)) != sorted(drawn(0.5, number=6))
