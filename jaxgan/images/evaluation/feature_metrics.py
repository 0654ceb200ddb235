"""Metrics of samples in the features of a trained classifier, with those of real images."""

import functools

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from scipy.special import softmax

from jaxgan.core.errors import UserError
from jaxgan.images.data.captions import class_of
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.classifier import class_coverage, classifier_score
from jaxgan.images.evaluation.features import checked_pair
from jaxgan.images.evaluation.frechet import (
    Moments,
    frechet_distance,
    frechet_floor,
    moments,
)
from jaxgan.images.evaluation.kernel import squared_discrepancy
from jaxgan.images.evaluation.neighbours import density_coverage, precision_recall
from jaxgan.images.evaluation.trained_classifier import Answers, features_classifier

COMPARED = 2500
"""The most images, real and generated, of which every pair is compared, which takes a second on a
CPU."""
SPLITS = 10
"""The parts that samples are split into for the classifier score (Salimans et al. 2016)."""
LEAST_SHARE = 0.3
"""A class is covered if it has this share of the samples that it has if all are equally likely."""


class FeatureMetrics:
    """Measures samples against held-out images. The results for real images are computed once.

    Args:
        config: the config of the run; `features` is the folder of a classifier's run.
        valid: the held-out images.
        mesh: the devices.
        conditional: whether samples are drawn for given classes.

    Attributes:
        files: the file that identifies the classifier, for `Recipe.files`.

    Raises:
        UserError: the folder cannot be used, or there are too few images or samples.
    """

    def __init__(self, config: ConfigDict, valid: Images, mesh: Mesh, conditional: bool) -> None:
        classifier = features_classifier(config, valid.shape, mesh)
        names = valid.classes
        if config.data.labels == "captions" and classifier.classes != names:
            names = tuple(map(class_of, names))
        if conditional and set(names) != set(classifier.classes):
            raise UserError(
                f"config.features={config.features}: that classifier knows the classes "
                f"{', '.join(classifier.classes)}, and these data have {', '.join(valid.classes)}; "
                "train one on data of these classes"
            )
        if conditional:
            self._numbers = np.array([classifier.classes.index(name) for name in names])
        self._classifier, self._valid = classifier, valid
        self._seed, self._conditional = config.seed, conditional
        self._check_counts(config.validation.samples)
        self.files = classifier.files

    def _check_counts(self, samples: int) -> None:
        width = self._classifier.width
        for name, count, least in (
            ("config.validation.samples", samples, width + 1),
            ("held-out images", len(self._valid), 2 * width + 2),
        ):
            if count < least:
                raise UserError(
                    f"{name}: {count} are too few for metrics in the {width} features of "
                    f"config.features; use at least {least}"
                )

    def __call__(self, samples: np.ndarray, labels: np.ndarray) -> tuple[dict[str, float], float]:
        """Returns the metrics of samples by name, and the objective, minus the kernel distance.

        The kernel distance chooses the best checkpoint because it is unbiased; the Fréchet distance
        grows with the spread of the samples' covariance if they are few.

        Args:
            samples: uint8 [n, H, W, C].
            labels: int [n], the classes that G received, if the system is conditional.
        """
        answers, real, name = self._classifier(samples), self._real, self._classifier.name
        distance = frechet_distance(self._real_moments, moments(answers.features, "samples"))
        pair = checked_pair(real.features[:COMPARED], answers.features[:COMPARED])
        kernel = squared_discrepancy(*pair)
        found: dict[str, float] = {
            f"fid_{name}": distance.value,
            f"fid_{name}_floor": self._floor,
            f"fid_{name}_real_count": distance.real_count,
            f"fid_{name}_fake_count": distance.fake_count,
            f"kid_{name}": kernel,
            **precision_recall(*pair)._asdict(),
            **density_coverage(*pair)._asdict(),
        }
        count, chosen = len(self._classifier.classes), answers.logits.argmax(axis=-1)
        probabilities = softmax(answers.logits.astype(np.float64), axis=-1)
        found["classifier_score"] = classifier_score(probabilities, min(SPLITS, len(samples))).mean
        found["class_coverage"] = class_coverage(chosen, count, LEAST_SHARE / count)
        if self._conditional:
            found["label_agreement"] = float(np.mean(chosen == self._numbers[labels]))
        return {f"eval/{metric}": value for metric, value in found.items()}, -kernel

    def features(self, values: np.ndarray) -> np.ndarray:
        """Returns the classifier's features of images, uint8 [n, H, W, C], as float32 [n, d]."""
        return self._classifier(values).features

    @functools.cached_property
    def _real(self) -> Answers:
        return self._classifier(self._valid.values)

    @functools.cached_property
    def _real_moments(self) -> Moments:
        return moments(self._real.features, "held-out images")

    @functools.cached_property
    def _floor(self) -> float:
        return frechet_floor(self._real.features, self._seed).value
