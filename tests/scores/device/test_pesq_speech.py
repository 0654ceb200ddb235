"""Tests the speech detector of PESQ against the package."""

import numpy as np
import pesq as package

from jaxgan.scores.device import pesq_nb


def package_finds_speech(reference):
    try:
        package.pesq(8000, reference, reference, "nb")
    except package.NoUtterancesError:
        return False
    return True


def test_decisions_equal_the_package():
    random = np.random.default_rng(2)
    references = np.zeros((96, 12000), np.float32)
    time = np.arange(12000)
    for row in references:
        for _ in range(random.integers(1, 5)):
            start, length = random.integers(0, 11000), int(random.uniform(200, 2400))
            tone = np.sin(time * random.uniform(0.3, 1.2)) * random.uniform(0.2, 1)
            row += np.where((time >= start) & (time < start + length), tone, 0)
        row += random.standard_normal(12000) * 10 ** random.uniform(-5, -1)
        row[: random.integers(1, 3000)] = 0
        row *= random.uniform(0.1, 1.0)
    expected = [package_finds_speech(row) for row in references]
    scores = pesq_nb(references, references, np.full(96, 12000), 8000, bad_intervals=False)
    np.testing.assert_array_equal(np.isfinite(scores), expected)
    assert 20 < sum(expected) < 76
