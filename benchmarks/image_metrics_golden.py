"""Computes metrics of images with torch-fidelity, prdc and scipy, for the tests of jaxgan's.

    pip install numpy scipy scikit-learn torch torch-fidelity prdc
    python benchmarks/image_metrics_golden.py

The features are random numbers from a fixed seed, and no network is needed. The results go to
tests/images/evaluation/golden.json, with the versions that computed them. The tests take the
features from `inputs` and need none of these packages, so they are imported where they are used.
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

GOLDEN = Path(__file__).parents[1] / "tests" / "images" / "evaluation" / "golden.json"
SEED = 7
COUNT, FEATURES, CLASSES = 400, 16, 10
SPLITS = 10
NEIGHBOURS = (3, 5)
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torch-fidelity", "prdc")


class Inputs(NamedTuple):
    """The inputs of the metrics.

    Attributes:
        real: float64 [400, 16]; skewed and correlated, unlike a Gaussian.
        fake: float64 [400, 16]; shifted, and narrower in some directions.
        logits: float64 [400, 10], of a classifier.
    """

    real: np.ndarray
    fake: np.ndarray
    logits: np.ndarray


def inputs() -> Inputs:
    """Returns the same numbers in every process."""
    random = np.random.default_rng(SEED)
    mixing = random.normal(size=(FEATURES, FEATURES)) / 2
    real = np.maximum(random.normal(size=(COUNT, FEATURES)) @ mixing, -0.5)
    scale = np.linspace(0.6, 1.1, FEATURES)
    fake = np.maximum(random.normal(size=(COUNT, FEATURES)) * scale @ mixing + 0.2, -0.5)
    return Inputs(real, fake, 2 * random.normal(size=(COUNT, CLASSES)))


def frechet_by_scipy(real: np.ndarray, fake: np.ndarray) -> float:
    """Returns the Fréchet distance by a general matrix square root."""
    from scipy import linalg

    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    shift = real.mean(axis=0) - fake.mean(axis=0)
    return float(shift @ shift + np.trace(first + second - 2 * root))


def golden() -> dict[str, object]:
    """Returns the results by name."""
    import torch
    from prdc import compute_prdc
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    real, fake, logits = inputs()
    real_tensor, fake_tensor = torch.from_numpy(real), torch.from_numpy(fake)
    statistics = [metric_fid.fid_features_to_statistics(x) for x in (real_tensor, fake_tensor)]
    frechet = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    kernel = metric_kid.kid_features_to_metric(
        real_tensor, fake_tensor, kid_subsets=1, kid_subset_size=COUNT, verbose=False
    )
    classifier = metric_isc.isc_features_to_metric(
        torch.from_numpy(logits), splits=SPLITS, shuffle=False
    )
    precision_recall = {
        str(k): metric_prc.prc_features_to_metric(
            fake_tensor, real_tensor, prc_neighborhood=k, verbose=False
        )
        for k in NEIGHBOURS
    }
    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "first_values": [float(x.flat[0]) for x in inputs()],
        "frechet": {
            "torch-fidelity": float(frechet["frechet_inception_distance"]),
            "scipy": frechet_by_scipy(real, fake),
        },
        "kernel": float(kernel["kernel_inception_distance_mean"]),
        "classifier_score": [
            classifier["inception_score_mean"],
            classifier["inception_score_std"],
        ],
        "precision_recall": {
            k: [found["precision"], found["recall"]] for k, found in precision_recall.items()
        },
        "prdc": {
            str(k): {
                name: float(value) for name, value in compute_prdc(real, fake, nearest_k=k).items()
            }
            for k in NEIGHBOURS
        },
    }


def main() -> int:
    """Writes the results."""
    text = json.dumps(golden(), indent=2)
    GOLDEN.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
