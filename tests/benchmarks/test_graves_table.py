"""The models without a long memory that Graves' network is compared with."""

from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import stats

from jaxgan.sequences.data.stream_corpora import from_text

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LONGEST = 3


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import graves_table

    return graves_table


def witten_bell(learned, context, character, size):
    """The probability of a character by the recursion of its definition."""
    if context is None:
        return 1 / size
    shorter = context[1:] if context else None
    below = witten_bell(learned, shorter, character, size)
    n = len(context)
    part = learned[LONGEST - n - 1 :]  # n-grams of all orders end at the same characters
    after = [part[place + n] for place in range(len(part) - n) if part[place:].startswith(context)]
    if not after:
        return below
    kinds = len(set(after))
    return (after.count(character) + kinds * below) / (len(after) + kinds)


def test_ngrams_equal_the_definition_of_their_interpolation(table, monkeypatch):
    monkeypatch.setattr(table, "ORDERS", range(1, LONGEST + 1))
    text = "".join(np.random.default_rng(0).choice(list("aab"), 150)) + "abcabbacab"
    settings = {"seed": 0, "batch_size": 2, "data": {"held_out_share": 1 / 16}}
    corpus = from_text(text, "a text", ConfigDict(settings))
    # An epoch starts at a random place of the circle; the n-grams are counted from there.
    tokens = corpus.vocabulary.tokens
    learned = "".join(tokens[number] for number in table.joined(corpus.epochs(0)))
    held_out = "".join(tokens[number] for number in table.joined(corpus.valid))
    found = table.ngram_bits(corpus)
    for order in range(1, LONGEST + 1):
        bits = [
            -np.log2(
                witten_bell(learned, held_out[end - order + 1 : end], held_out[end], len(tokens))
            )
            for end in range(LONGEST - 1, len(held_out))
        ]
        assert found[order] == pytest.approx(np.mean(bits), rel=1e-9)


def test_one_gaussian_has_the_density_of_scipy(table):
    offsets = np.random.default_rng(0).normal(0, 1, (500, 2)) @ [[1, 0.5], [0, 2]] + [3, -1]
    mixture = table.fit(offsets, 1, 0)
    normal = stats.multivariate_normal(offsets.mean(axis=0), np.cov(offsets.T, bias=True))
    found = table.mixture_density(*mixture, offsets)
    np.testing.assert_allclose(found, normal.logpdf(offsets), atol=0.01)


def test_expectation_maximisation_finds_three_clusters(table):
    random = np.random.default_rng(1)
    centres = np.array([[0, 0], [6, 0], [0, 6]])
    offsets = np.concatenate([random.normal(centre, 0.5, (300, 2)) for centre in centres])
    best = max(
        (table.fit(offsets, 3, seed) for seed in range(3)),
        key=lambda m: table.mixture_density(*m, offsets).mean(),
    )
    np.testing.assert_allclose(sorted(best[1].round(0).tolist()), sorted(centres.tolist()))
    exact = -np.log(3) - np.log(2 * np.pi) - 2 * np.log(0.5) - 1
    assert table.mixture_density(*best, offsets).mean() == pytest.approx(exact, abs=0.05)


def test_the_probability_of_lifting_the_pen(table):
    assert table.bernoulli_nll(0.25, np.array([0, 0, 0, 1.0])) == pytest.approx(
        -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    )
