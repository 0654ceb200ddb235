import numpy as np

from jaxgan.speech.networks.optimizers import falling_rate


def test_the_rate_falls_with_the_updates_made():
    assert falling_rate(0.3, 0) == 0.3
    rate = falling_rate(0.3, 100)
    np.testing.assert_allclose([rate(0), rate(100), rate(200)], [0.3, 0.15, 0.1])
