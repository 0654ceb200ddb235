import jax.numpy as jnp
import numpy as np

from jaxgan.core.metrics import Average, Total, average_of, of_round


def test_scalars_averages_and_totals_of_a_round():
    steps = [
        {
            "loss": np.float32(1.0),
            "score": Average(np.float32(3.0), np.int32(3)),
            "unscorable": Total(np.int32(2)),
        },
        {
            "loss": np.float32(2.0),
            "score": Average(np.float32(0.0), np.int32(1)),
            "unscorable": Total(np.int32(5)),
        },
    ]
    found = of_round(steps)
    assert found == {"loss": 1.5, "score": 0.75, "unscorable": 7.0}
    assert {type(value) for value in found.values()} == {float}


def test_an_average_of_no_items_is_left_out():
    nothing = Average(np.float32(0.0), np.int32(0))
    some = Average(np.float32(4.0), np.int32(2))
    assert of_round([{"score": nothing}, {"score": nothing}]) == {}
    assert of_round([{"score": nothing}, {"score": some}]) == {"score": 2.0}


def test_a_round_without_steps_has_no_metrics():
    assert of_round([]) == {}


def test_an_average_counts_only_what_is_valid():
    values = jnp.array([[1.0, jnp.nan], [3.0, jnp.inf]])
    average = average_of(values, jnp.isfinite(values))
    assert float(average.total) == 4.0
    assert int(average.count) == 2
