import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.environments.tabular import corridor_tables, environment, optimal_values
from jaxgan.control.evaluation.episodes import Played, measure, measure_values, play


def test_optimal_values_overestimate_nothing():
    """The agent knows Q*, so max-Q in a state is the discounted return from there."""
    tables = corridor_tables(5)
    values = jnp.asarray(optimal_values(tables, 0.97), jnp.float32)
    corridor = environment(tables, limit=80)
    program = jax.jit(lambda key: play(corridor, lambda seen: seen @ values, key, 2))
    played = program(jax.random.key(0))
    found = measure_values(played, 0.97)
    assert list(found) == ["eval/return", "eval/length", "eval/max_q", "eval/overestimation"]
    assert (float(found["eval/return"]), float(found["eval/length"])) == (1.0, 67.0)
    np.testing.assert_allclose(found["eval/max_q"], np.mean(0.97 ** np.arange(67)), rtol=1e-4)
    np.testing.assert_allclose(found["eval/overestimation"], 0, atol=1e-5)


def test_what_an_agent_measures():
    """Two episodes, of which the second one is shorter."""
    played = Played(
        states=(),
        rewards=jnp.array([[1.0, 1], [1, 4], [1, 0]]),
        highest=jnp.array([[9.0, 5], [6, 4], [3, 0]]),
        playing=jnp.array([[1, 1], [1, 1], [1, 0]], bool),
    )
    found = {name: float(value) for name, value in measure_values(played, 0.5).items()}
    assert found == pytest.approx(
        {
            "eval/return": 4.0,
            "eval/length": 2.5,
            "eval/max_q": (9 + 5 + 6 + 4 + 3) / 5,
            "eval/overestimation": ((9 - 1.75) + (5 - 3)) / 2,
        }
    )
    assert list(measure(played)) == ["eval/return", "eval/length"]
