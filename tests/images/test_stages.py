"""Systems of two stages that learn in turn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.images import stages


@pytest.mark.parametrize(
    ("asked", "learning", "trained", "starts"),
    [
        ("all", ["1", "1", "2", "2"], ("1", "2"), (3,)),
        ("1", ["1"] * 4, ("1",), ()),
        ("2", ["2"] * 4, ("2",), ()),
    ],
)
def test_the_stage_of_a_round(asked, learning, trained, starts):
    config = ConfigDict({"stages": asked, "first_rounds": 2})
    assert [stages.stage_of(config, number) for number in (1, 2, 3, 4)] == learning
    assert stages.trained(config) == trained
    assert stages.phase_starts(config) == starts
    batches = stages.staged(config, 3, [jnp.zeros(2), jnp.ones(2)])
    assert [batch.stage for batch in batches] == [learning[2]] * 2
    assert [float(batch.rows[0]) for batch in batches] == [0, 1]


def test_a_part_moves_as_it_would_alone_and_others_stay_with_their_state():
    adam = optax.adam(0.1)
    params = {"first": {"w": jnp.array([1.0, 2.0])}, "second": {"w": jnp.array([3.0])}}

    def moved(params, state, part):
        gradients = jax.tree.map(lambda leaf: 2 * leaf + 1, params)
        updates, state = stages.of_part(adam, part).update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = stages.of_part(adam, "first").init(params)
    for _ in range(3):
        params, state = moved(params, state, "first")
    after, of_after = params, state
    for _ in range(3):
        after, of_after = moved(after, of_after, "second")
    for name in ("first", "second"):
        alone = {"w": jnp.array([1.0, 2.0] if name == "first" else [3.0])}
        of_alone = adam.init(alone)
        for _ in range(3):
            gradients = jax.tree.map(lambda leaf: 2 * leaf + 1, alone)
            updates, of_alone = adam.update(gradients, of_alone, alone)
            alone = optax.apply_updates(alone, updates)
        np.testing.assert_allclose(after[name]["w"], alone["w"], rtol=1e-6)
    np.testing.assert_array_equal(after["first"]["w"], params["first"]["w"])
    jax.tree.map(np.testing.assert_array_equal, of_after["first"], state["first"])


def test_images_are_enlarged_by_interpolation():
    images = jnp.arange(4.0).reshape(1, 2, 2, 1)
    found = stages.enlarge(images, 4)[0, ..., 0]
    np.testing.assert_allclose(found[0], [0, 0.25, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(found[:, 0], [0, 0.5, 1.5, 2], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "factor"), [((28, 24, 1), 2), ((28, 28, 1), 8), ((16, 16, 3), 4), ((2,), 2)]
)
def test_images_that_cannot_be_reduced(shape, factor):
    config = ConfigDict({"factor": factor})
    assert stages.small_side(config, (40, 40, 3)) == 40 // factor
    with pytest.raises(UserError, match=rf"factor={factor}: images of the shape \[{shape[0]}"):
        stages.small_side(config, shape)
