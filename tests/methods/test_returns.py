import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods.returns import n_step

GAMMA = 0.9


def by_hand(rewards, terminated, truncated):
    value, number = 0.0, 0
    while True:
        value += GAMMA**number * rewards[number]
        if terminated[number]:
            return value, 0.0, number
        if truncated[number] or number == len(rewards) - 1:
            return value, GAMMA ** (number + 1), number
        number += 1


def test_returns_equal_those_by_hand():
    random = np.random.default_rng(0)
    rewards = random.normal(size=(200, 4))
    terminated, truncated = random.random((2, 200, 4)) < 0.2
    found = n_step(*map(jnp.asarray, (rewards, terminated, truncated)), GAMMA)
    expected = [by_hand(*rows) for rows in zip(rewards, terminated, truncated, strict=True)]
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("terminated", "truncated", "discount"), [(0, 0, 0.9), (1, 0, 0), (0, 1, 0.9), (1, 1, 0)]
)
def test_one_step_bootstraps_unless_it_terminates(terminated, truncated, discount):
    flags = (jnp.array([[bool(flag)]]) for flag in (terminated, truncated))
    found = n_step(jnp.array([[2.0]]), *flags, GAMMA)
    assert float(found.value[0]) == 2
    assert float(found.discount[0]) == pytest.approx(discount)
    assert int(found.last[0]) == 0
