import jax
import jax.numpy as jnp
import numpy as np

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
    found = jax.jit(n_step)(*map(jnp.asarray, (rewards, terminated, truncated)), GAMMA)
    expected = [by_hand(*rows) for rows in zip(rewards, terminated, truncated, strict=True)]
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_step_bootstraps_unless_it_terminates():
    terminated, truncated = (
        jnp.array(flags, bool)[:, None] for flags in ([0, 1, 0, 1], [0, 0, 1, 1])
    )
    found = jax.jit(n_step)(jnp.full((4, 1), 2.0), terminated, truncated, GAMMA)
    assert found.value.tolist() == [2, 2, 2, 2]
    np.testing.assert_allclose(found.discount, [GAMMA, 0, GAMMA, 0])
    assert found.last.tolist() == [0, 0, 0, 0]
