"""Metrics against what benchmarks/image_metrics_golden.py computes with other packages."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from jaxgan.images.evaluation.classifier import classifier_score
from jaxgan.images.evaluation.frechet import frechet_distance, moments
from jaxgan.images.evaluation.kernel import squared_discrepancy
from jaxgan.images.evaluation.neighbours import density_coverage, precision_recall

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "image_metrics_golden.py"


@pytest.fixture(scope="module")
def inputs():
    spec = importlib.util.spec_from_file_location("image_metrics_golden", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.inputs()
    # Otherwise numpy draws other numbers than it did for the golden ones.
    np.testing.assert_allclose([x.flat[0] for x in found], GOLDEN["first_values"])
    return found


def test_frechet_distance(inputs):
    found = frechet_distance(moments(inputs.real, "real"), moments(inputs.fake, "fake")).value
    assert found == pytest.approx(GOLDEN["frechet"]["torch-fidelity"], rel=1e-9)
    assert found == pytest.approx(GOLDEN["frechet"]["scipy"], rel=1e-9)


def test_kernel_distance(inputs):
    real, fake = (np.asarray(features, np.float64) for features in (inputs.real, inputs.fake))
    assert squared_discrepancy(real, fake) == pytest.approx(GOLDEN["kernel"], rel=1e-9)


def test_classifier_score(inputs):
    exponentials = np.exp(inputs.logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    found = classifier_score(probabilities, splits=10)
    np.testing.assert_allclose(found[:2], GOLDEN["classifier_score"], rtol=1e-9)


@pytest.mark.parametrize("k", [3, 5])
def test_neighbours(inputs, k):
    expected = GOLDEN["prdc"][str(k)]
    found = precision_recall(inputs.real, inputs.fake, k)
    assert found == pytest.approx((expected["precision"], expected["recall"]))
    assert found == pytest.approx(GOLDEN["precision_recall"][str(k)], rel=1e-6)
    found = density_coverage(inputs.real, inputs.fake, k)
    assert found == pytest.approx((expected["density"], expected["coverage"]))
