import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.classifier import (
    class_coverage,
    class_shares,
    classifier_score,
    reverse_kl,
)

RANDOM = np.random.default_rng(0)


def test_certain_and_balanced_predictions_score_the_number_of_classes():
    found = classifier_score(np.tile(np.eye(10), (6, 1)), splits=3)
    assert found.mean == pytest.approx(10)
    assert found.sd == pytest.approx(0, abs=1e-9)
    assert found.splits == 3


@pytest.mark.parametrize("row", [np.full(10, 0.1), np.eye(10)[3]], ids=["unsure", "one class"])
def test_equal_predictions_score_1(row):
    assert classifier_score(np.tile(row, (20, 1)), splits=2).mean == pytest.approx(1)


def test_the_score_by_loops():
    probabilities = RANDOM.dirichlet(np.full(4, 0.5), size=12)
    scores = []
    for part in (probabilities[:6], probabilities[6:]):
        marginal = part.mean(axis=0)
        terms = [sum(p * np.log(p / q) for p, q in zip(row, marginal, strict=True)) for row in part]
        scores.append(np.exp(np.mean(terms)))
    found = classifier_score(probabilities, splits=2)
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.sd == pytest.approx(np.std(scores))
    shuffled = np.concatenate([probabilities[5::-1], probabilities[6:]])
    assert classifier_score(shuffled, splits=2).mean == pytest.approx(found.mean)


def test_more_splits_lower_the_score():
    probabilities = RANDOM.dirichlet(np.full(10, 0.1), size=200)
    assert classifier_score(probabilities, 20).mean < classifier_score(probabilities, 1).mean


@pytest.mark.parametrize(
    "probabilities", [RANDOM.normal(size=(20, 3)), np.full((20, 3), 0.5)], ids=["logits", "sum"]
)
def test_what_is_no_distribution_is_refused(probabilities):
    with pytest.raises(UserError, match=r"^class probabilities: a row is negative somewhere or"):
        classifier_score(probabilities)


def test_rows_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match=r"^class probabilities: 20 of 20 rows"):
        classifier_score(np.full((20, 3), np.nan))


def test_fewer_rows_than_splits_are_refused():
    with pytest.raises(UserError, match=r"^class probabilities: 9 rows cannot be cut in 10 splits"):
        classifier_score(np.full((9, 2), 0.5))


def test_coverage_counts_classes_with_enough_samples():
    labels = np.repeat([0, 1, 3], [90, 7, 3])
    np.testing.assert_allclose(class_shares(labels, 5), [0.9, 0.07, 0, 0.03, 0])
    assert class_coverage(labels, 5, 0.03) == 3
    assert class_coverage(labels, 5, 0.05) == 2
    assert class_coverage(labels[::-1], 5, 0.05) == 2


def test_no_samples_are_refused():
    with pytest.raises(UserError, match=r"^class labels: there are no samples"):
        class_coverage(np.zeros(0, int), 5, 0.03)


def test_reverse_kl_of_known_shares():
    uniform = np.full(4, 0.25)
    assert reverse_kl(np.arange(4), uniform) == pytest.approx(0)
    assert reverse_kl(np.array([2, 2]), uniform) == pytest.approx(np.log(4))  # missing modes
    assert reverse_kl(np.array([0, 0, 0, 1]), uniform) == pytest.approx(
        0.75 * np.log(3) + 0.25 * np.log(1)
    )
    assert reverse_kl(np.array([0, 0, 0, 1]), np.array([0.75, 0.25])) == pytest.approx(0)
