import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core.errors import UserError
from jaxgan.methods import regularisers
from jaxgan.methods.adversarial import gradient_penalty

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
pull_away = jax.jit(regularisers.pull_away)
minibatch_discrimination = jax.jit(regularisers.minibatch_discrimination)


def samples(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def test_the_penalty_of_a_linear_critic_is_known():
    a = jnp.array([3.0, 0.0, -4.0])
    slopes = regularisers.slopes_between(lambda x: x @ a, samples(8, 3), samples(8, 3), KEY)
    np.testing.assert_array_equal(slopes, np.full(8, 5.0))
    assert float(gradient_penalty(slopes)) == 16


def test_slopes_are_taken_between_the_pairs():
    """The gradient of |x|^2 / 2 is x, so a slope tells how far from 0 its point lies."""
    real = jnp.tile(jnp.array([[1.0, 0.0]]), (1000, 1))
    fake = 3 * real
    slopes = regularisers.slopes_between(lambda x: jnp.sum(x**2, axis=1) / 2, real, fake, KEY)
    assert 1 <= slopes.min() < 1.05
    assert 2.95 < slopes.max() <= 3
    np.testing.assert_allclose(jnp.mean(slopes), 2, atol=0.06)  # one share for each example
    quarter = jnp.mean(slopes < 1.5)
    assert 0.2 < quarter < 0.3


def test_the_penalty_reaches_parameters_through_second_derivatives():
    real, fake = samples(5, 4, 4, 1), samples(5, 4, 4, 1)

    def penalty(scale):
        def critic(x):
            return scale * jnp.sum(x**2, axis=(1, 2, 3)) / 2

        return gradient_penalty(regularisers.slopes_between(critic, real, fake, KEY))

    share = jax.random.uniform(KEY, (5, 1, 1, 1))
    lengths = np.sqrt(np.sum(np.asarray(share * real + (1 - share) * fake) ** 2, axis=(1, 2, 3)))
    found, gradient = jax.jit(jax.value_and_grad(penalty))(0.5)
    assert float(found) == pytest.approx(np.mean((0.5 * lengths - 1) ** 2), rel=1e-5)
    assert float(gradient) == pytest.approx(np.mean(2 * (0.5 * lengths - 1) * lengths), rel=1e-5)


def test_a_critic_without_slope_has_a_finite_gradient():
    def penalty(a):
        slopes = regularisers.slopes_between(lambda x: x @ a, samples(4, 2), samples(4, 2), KEY)
        return gradient_penalty(slopes)

    found, gradient = jax.jit(jax.value_and_grad(penalty))(jnp.zeros(2))
    assert float(found) == 1
    np.testing.assert_array_equal(gradient, np.zeros(2))


def test_weights_are_clipped_in_every_leaf():
    params = {"a": jnp.array([-1.0, 0.005, 0.02]), "b": {"c": jnp.array([[0.01], [-0.03]])}}
    clipped = regularisers.clip_weights(params, 0.01)
    np.testing.assert_allclose(clipped["a"], [-0.01, 0.005, 0.01])
    np.testing.assert_allclose(clipped["b"]["c"], [[0.01], [-0.01]])


def test_instance_noise_has_the_standard_deviation_it_is_given():
    x = samples(200, 100)
    noise = regularisers.instance_noise(x, 0.3, KEY) - x
    assert float(jnp.std(noise)) == pytest.approx(0.3, rel=0.02)
    assert float(jnp.mean(noise)) == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(regularisers.instance_noise(x, 0.0, KEY), x)
    other = regularisers.instance_noise(x, 0.3, jax.random.key(1)) - x
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.03


@pytest.mark.parametrize(("step", "expected"), [(0, 0.5), (25, 0.375), (100, 0), (150, 0)])
def test_noise_is_annealed_to_0(step, expected):
    found = jax.jit(lambda step: regularisers.annealed(0.5, step, 100))(step)
    assert float(found) == pytest.approx(expected)


def test_pull_away_of_known_codes():
    assert float(pull_away(jnp.eye(4, 6))) == 0
    same = jnp.tile(jnp.array([[1.0, 2.0, 2.0]]), (5, 1))
    assert float(pull_away(same)) == pytest.approx(1)
    assert float(pull_away(same.at[::2].multiply(-1))) == pytest.approx(1)


def test_pull_away_is_the_mean_squared_cosine_of_pairs():
    codes = RANDOM.normal(size=(6, 4))
    cosines = [
        (x @ y / np.linalg.norm(x) / np.linalg.norm(y)) ** 2
        for i, x in enumerate(codes)
        for j, y in enumerate(codes)
        if i != j
    ]
    found = pull_away(jnp.asarray(codes))
    assert float(found) == pytest.approx(np.mean(cosines), rel=1e-5)
    scaled = codes * np.array([[0.01], [1], [7], [100], [3], [0.5]])
    assert float(pull_away(jnp.asarray(scaled))) == pytest.approx(float(found), rel=1e-5)
    shuffled = pull_away(jnp.asarray(codes[::-1]))
    assert float(shuffled) == pytest.approx(float(found), rel=1e-5)


def test_a_code_of_zeros_does_not_stop_pull_away():
    codes = jnp.asarray([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    found, gradient = jax.jit(jax.value_and_grad(regularisers.pull_away))(codes)
    assert float(found) == pytest.approx(1 / 3)
    assert np.isfinite(gradient).all()


def test_feature_matching_compares_means():
    real, fake = RANDOM.normal(size=(8, 3, 2)), RANDOM.normal(size=(4, 3, 2))
    expected = np.sum((real.mean(0) - fake.mean(0)) ** 2)
    step = jax.jit(jax.value_and_grad(regularisers.feature_matching, argnums=1))
    found, gradient = step(jnp.asarray(real), jnp.asarray(fake))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    each = -2 * (real.mean(0) - fake.mean(0)) / 4
    np.testing.assert_allclose(gradient, np.broadcast_to(each, (4, 3, 2)), rtol=1e-4)


def test_minibatch_discrimination_is_a_sum_over_the_others():
    projected = RANDOM.normal(size=(5, 3, 2))
    expected = np.zeros((5, 3))
    for n in range(5):
        for i in {*range(5)} - {n}:
            expected[n] += np.exp(-np.abs(projected[i] - projected[n]).sum(axis=-1))
    found = minibatch_discrimination(jnp.asarray(projected))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_minibatch_discrimination_of_equal_and_of_distant_samples():
    equal = jnp.ones((7, 4, 5))
    np.testing.assert_array_equal(minibatch_discrimination(equal), np.full((7, 4), 6.0))
    distant = 1000 * jnp.arange(3.0)[:, None, None] * jnp.ones((3, 4, 5))
    assert not np.any(minibatch_discrimination(distant))


def test_the_running_mean_is_that_of_all_parameters():
    values = RANDOM.normal(size=(5, 3))
    mean = {"w": jnp.full(3, 99.0)}
    for count, value in enumerate(values, start=1):
        mean = regularisers.running_mean(mean, {"w": jnp.asarray(value)}, count)
    np.testing.assert_allclose(mean["w"], values.mean(0), rtol=1e-5)


def test_historical_averaging_is_a_squared_distance():
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0]])}
    mean = {"a": jnp.array([0.0, 2.0]), "b": jnp.array([[1.0]])}
    step = jax.jit(jax.value_and_grad(regularisers.historical_averaging, argnums=(0, 1)))
    found, (on_params, on_mean) = step(params, mean)
    assert float(found) == 5
    np.testing.assert_allclose(on_params["a"], [2, 0])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(on_mean))


@pytest.mark.parametrize(("weight", "low", "high"), [(0.0, 12, 12.3), (0.1, 0, 0.01)])
def test_historical_averaging_solves_the_game_of_one_product(weight, low, high):
    """min over x, max over y of x y, by simultaneous gradients: without it the orbit grows."""

    optimizer = regularisers.average_historically(weight, optax.sgd(0.05))

    def step(state, _):
        point, opt_state = state
        gradient = jnp.array([point[1], -point[0]])
        updates, opt_state = optimizer.update(gradient, opt_state, point)
        return (optax.apply_updates(point, updates), opt_state), None

    start = jnp.array([1.0, 1.0])
    (end, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=2000)
    assert low <= float(jnp.linalg.norm(end) / jnp.linalg.norm(start)) < high


def test_the_optimizer_with_historical_averaging_moves_toward_the_mean_by_hand():
    optimizer = regularisers.average_historically(0.5, optax.sgd(1.0))
    points, gradients = np.array([[1.0, 4.0], [3.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    state = optimizer.init(jnp.zeros(2))
    for number, (point, gradient) in enumerate(zip(points, gradients, strict=True), 1):
        updates, state = optimizer.update(jnp.asarray(gradient), state, jnp.asarray(point))
        expected = -(gradient + 2 * 0.5 * (point - points[:number].mean(0)))
        np.testing.assert_allclose(updates, expected, rtol=1e-6)


def test_packed_samples_share_their_channels():
    x = samples(6, 4, 5, 3)
    packed = regularisers.pack(x, 2)
    assert packed.shape == (3, 4, 5, 6)
    for group in range(3):
        np.testing.assert_array_equal(packed[group, ..., :3], x[2 * group])
        np.testing.assert_array_equal(packed[group, ..., 3:], x[2 * group + 1])
    np.testing.assert_array_equal(regularisers.pack(x, 1), x)
    points = jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(regularisers.pack(points, 4), jnp.arange(8.0)[None])


def test_a_batch_that_cannot_be_packed_is_refused():
    with pytest.raises(UserError, match=r"config\.packing=4: a batch of 6 samples cannot"):
        regularisers.pack(samples(6, 2), 4)
