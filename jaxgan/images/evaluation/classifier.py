"""Metrics of a classifier's answers for samples."""

from typing import NamedTuple

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked


class ClassifierScore(NamedTuple):
    """The score of several splits of the samples.

    Attributes:
        mean: the mean score, from 1 to the number of classes.
        sd: standard deviation over the splits.
        splits: the number of splits, to be printed with the score, which grows with the size of a
            split.
    """

    mean: float
    sd: float
    splits: int


def classifier_score(probabilities: np.ndarray, splits: int = 10) -> ClassifierScore:
    """Returns exp(mean KL(p(y|x) || p(y))) over splits (Salimans et al. 2016, section 4).

    It is called Inception score only if the classifier is Inception.

    Args:
        probabilities: float [n, classes], of a classifier of the same kind of images.
        splits: the number of parts that samples are divided into, in the order given; p(y) is the
            mean of a part. 10 as in the authors' code.

    Raises:
        UserError: rows are not distributions, or there are fewer than splits.
    """
    values = checked(probabilities, "class probabilities")
    if (values < 0).any() or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise UserError(
            "class probabilities: a row is negative somewhere or does not sum to 1; pass the "
            "softmax of the classifier's logits"
        )
    if not 1 <= splits <= len(values):
        raise UserError(f"class probabilities: {len(values)} rows cannot be cut in {splits} splits")
    scores = [_score(part) for part in np.array_split(values, splits)]
    return ClassifierScore(float(np.mean(scores)), float(np.std(scores)), splits)


def _score(probabilities: np.ndarray) -> float:
    marginal = probabilities.mean(axis=0)
    positive = probabilities > 0
    # 0 log 0 is 0, and where p(y|x) is positive p(y) is as well.
    ratio = np.divide(probabilities, marginal, out=np.ones_like(probabilities), where=positive)
    return float(np.exp(np.mean(np.sum(probabilities * np.log(ratio), axis=1))))


def class_coverage(labels: np.ndarray, classes: int, least_share: float) -> int:
    """Returns the number of classes that at least a share of the samples belongs to.

    Args:
        labels: int [n], the class a classifier chose for each sample.
        classes: the number of classes.
        least_share: the share, from 0 to 1.

    Raises:
        UserError: there are no samples.
    """
    return int(np.sum(class_shares(labels, classes) >= least_share))


def class_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns the share of samples in each class, float64 [classes].

    Args:
        labels: int [n], each from 0 to classes - 1.
        classes: the number of classes.

    Raises:
        UserError: there are no samples.
    """
    if not len(labels):
        raise UserError("class labels: there are no samples; generate at least one")
    return np.bincount(labels, minlength=classes) / len(labels)


def reverse_kl(labels: np.ndarray, real_shares: np.ndarray) -> float:
    """Returns KL(generated || real) between distributions over classes or modes, in nats.

    It is finite if modes are missing (Srivastava et al. 2017 and Lin et al. 2018 report it).

    Args:
        labels: int [n], the class or mode of each sample.
        real_shares: float [classes], all above 0.

    Raises:
        UserError: there are no samples.
    """
    shares = class_shares(labels, len(real_shares))
    found = shares > 0
    return float(np.sum(shares[found] * np.log(shares[found] / real_shares[found])))
