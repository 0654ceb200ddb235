"""Formulas that are printed wrongly elsewhere; see docs/errata.md."""

import jax
import numpy as np

from jaxgan.methods.adversarial import LOSSES


def test_the_duality_needs_its_parentheses():
    """Two points at distance 3: the best K-Lipschitz critic has the slope K."""
    real, generated, distance = 5.0, 2.0, 3.0
    for slope in (0.5, 1.0, 4.0):
        assert (slope * real - slope * generated) / slope == distance
    without = [slope * real / slope - slope * generated for slope in (0.5, 1.0, 4.0)]
    assert without == [4.0, 3.0, -3.0]


def test_a_discriminator_must_lower_its_answer_for_generated_samples():
    real = generated = np.zeros(1)
    of_loss = jax.grad(LOSSES["non_saturating"].discriminator, argnums=(0, 1))(real, generated)
    assert of_loss[0] < 0 < of_loss[1]  # descent raises the logit of real samples, lowers the other

    def printed(real, generated):
        return -(jax.nn.log_sigmoid(real) + jax.nn.log_sigmoid(generated)).mean()

    of_printed = jax.grad(printed, argnums=(0, 1))(real, generated)
    assert max(of_printed)[0] < 0  # both are raised, without end


def test_a_difference_without_a_square_has_no_minimum():
    """Descent from value 0 to the target 1, which is a fixed point of the square only."""

    def descend(loss):
        value = 0.0
        for _ in range(200):
            value -= 0.1 * jax.grad(loss)(value)
        return value

    np.testing.assert_allclose(descend(lambda value: (1 - value) ** 2), 1, atol=1e-5)
    np.testing.assert_allclose(descend(lambda value: 1 - value), 20, atol=1e-4)
