import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from jaxgan.sequences.evaluation.bleu import References, mean_bleu, self_bleu

SMOOTHING = SmoothingFunction().method1


def make_sequences(count, seed, least=1, size=6):
    random = np.random.default_rng(seed)
    lengths = random.integers(least, 13, count)
    return [random.integers(0, size, length).tolist() for length in lengths]


def by_nltk(references, sequence, order):
    weights = (1 / order,) * order
    return sentence_bleu(references, sequence, weights, SMOOTHING)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_bleu_is_that_of_nltk(order):
    references = make_sequences(20, 0)
    counted = References(references, 5)
    for sequence in make_sequences(60, 1):
        expected = by_nltk(references, sequence, order)
        assert counted.bleu(sequence)[order - 1] == pytest.approx(expected, abs=1e-12)


def test_self_bleu_is_nltk_s_against_all_others():
    sequences = make_sequences(25, 2)
    # Repeated ones are each other's references.
    sequences += [sequences[3], sequences[5]]
    expected = [
        [by_nltk(sequences[:i] + sequences[i + 1 :], sequence, order) for order in (1, 2, 3, 4)]
        for i, sequence in enumerate(sequences)
    ]
    np.testing.assert_allclose(self_bleu(sequences, 4), np.mean(expected, axis=0), atol=1e-12)


def test_means_over_sequences():
    references = make_sequences(9, 3)
    sequences = make_sequences(4, 4)
    expected = [by_nltk(references, sequence, 2) for sequence in sequences]
    found = mean_bleu(References(references, 2), sequences)[1]
    assert found == pytest.approx(np.mean(expected), abs=1e-12)


def test_extremes():
    references = References([[1, 2, 3, 4]], 4)
    assert references.bleu([1, 2, 3, 4]) == pytest.approx([1.0] * 4)
    assert references.bleu([7, 8]) == [0.0] * 4
    assert references.bleu([]) == [0.0] * 4
