import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, initial_variables, make_model

from jaxgan.core import devices
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import previous_tokens
from jaxgan.sequences.networks.sampling import complete, draw, sample, scheduled_inputs

NETWORK = make_model().network
PARAMS = initial_variables(NETWORK, 4)["params"]


@pytest.mark.parametrize("size", [5, 16, 5000])
def test_draw_inverts_the_cumulative_distribution(size):
    random = np.random.default_rng(size)
    logits = random.normal(0, 2, (200, size)).astype(np.float32)
    uniform = random.uniform(size=200).astype(np.float32)
    ends = np.cumsum(np.exp(logits.astype(np.float64)), axis=1)
    ends /= ends[:, -1:]
    found = np.asarray(jax.jit(draw)(logits, uniform))
    # Between the ends of its own interval, up to rounding.
    starts = np.pad(ends, ((0, 0), (1, 0)))
    rows = np.arange(200)
    assert (starts[rows, found] <= uniform + 1e-5).all()
    assert (uniform <= ends[rows, found] + 1e-5).all()


def test_draw_at_the_ends_and_with_large_logits():
    logits = jnp.array([[-900.0, 900.0, 900.0, -900.0]] * 3)
    uniform = jnp.array([0.0, 0.4999, 1 - 2**-24])
    np.testing.assert_array_equal(jax.jit(draw)(logits, uniform), [1, 1, 2])


def probabilities(length):
    log_p = jax.jit(NETWORK.apply)({"params": PARAMS}, all_sequences(3, length))
    return np.exp(np.asarray(log_p, np.float64).sum(1))


def number(sequences):
    """Which of all sequences each is."""
    return np.asarray(sequences) @ (3 ** np.arange(sequences.shape[-1])[::-1])


@pytest.mark.parametrize("length", [3, 4])
def test_samples_and_completions_have_the_model_s_distribution(length):
    model = make_model(length=length)
    own = jnp.array([2, 0, 1, 2])[:length]
    samples, completions = 20_000, 8_000

    @jax.jit
    def run(keys):
        drawn = jax.vmap(lambda key: sample(model, PARAMS, key))(keys)
        return drawn, complete(model, PARAMS, own, keys[0], completions)

    drawn, completed = run(jax.random.split(jax.random.key(0), samples))
    p = probabilities(length)
    counts = np.bincount(number(drawn), minlength=3**length) / samples
    np.testing.assert_allclose(counts, p, atol=0.015)
    assert completed.shape == (length - 1, completions, length)
    every = all_sequences(3, length)
    for given in range(1, length):
        kept = (every[:, :given] == np.asarray(own[:given])).all(1)
        expected = np.where(kept, p, 0) / p[kept].sum()
        counts = np.bincount(number(completed[given - 1]), minlength=3**length) / completions
        np.testing.assert_allclose(counts, expected, atol=0.02)


def test_only_padding_follows_the_end():
    model, own = make_model(length=4, ends=True), jnp.array([2, 1, 0, 0])

    @jax.jit
    def run(keys):
        drawn = jax.vmap(lambda key: sample(model, PARAMS, key))(keys)
        return drawn, complete(model, PARAMS, own, keys[0], 300)

    drawn, completed = run(jax.random.split(jax.random.key(0), 300))
    for tokens in (drawn, completed.reshape(-1, 4)):
        ends = np.asarray(tokens) == 0
        assert ends.any()
        assert ends[np.cumsum(ends, axis=1) > 0].all()
    # The last prefix has ended already.
    assert (completed[-1] == own).all()


def test_a_low_temperature_draws_the_likeliest_tokens():
    cold = jax.jit(lambda key: sample(make_model(), PARAMS, key, 1e-3))
    np.testing.assert_array_equal(cold(jax.random.key(0)), cold(jax.random.key(1)))


def test_a_sequence_depends_neither_on_the_others_nor_on_the_devices():
    model, key = make_model(length=4), jax.random.key(5)
    one, eight = (Inference(model, devices.make_mesh(n)) for n in (1, 8))
    many = one.draw(PARAMS, key, 150)
    np.testing.assert_array_equal(many, eight.draw(PARAMS, key, 150))
    np.testing.assert_array_equal(many[:7], one.draw(PARAMS, key, 7))
    assert len(np.unique(number(many))) > 20


@jax.jit
def scheduled(params, tokens, key, truth):
    return scheduled_inputs(NETWORK, params, tokens, key, truth)


def test_scheduled_sampling_decides_for_every_token_independently():
    # The model draws only 2, and the data contain only 1.
    params = {**PARAMS, "output_bias": jnp.array([-50.0, -50.0, 50.0])}
    tokens = jnp.ones((3000, 3), jnp.int32)

    def inputs(truth, key=0):
        return np.asarray(scheduled(params, tokens, jax.random.key(key), jnp.float32(truth)))

    np.testing.assert_array_equal(inputs(1.0), previous_tokens(tokens))
    np.testing.assert_array_equal(inputs(0.0)[:, 1:], 2)
    kept = inputs(0.3)[:, 1:] == 1
    np.testing.assert_allclose(kept.mean(0), 0.3, atol=0.03)
    # The positions of a sequence and the draws of two batches are uncorrelated.
    assert abs(np.corrcoef(kept.T)[0, 1]) < 0.06
    other = inputs(0.3, key=1)[:, 1:] == 1
    assert abs(np.corrcoef(kept.ravel(), other.ravel())[0, 1]) < 0.06


def test_scheduled_sampling_draws_from_the_model():
    tokens = jnp.tile(jnp.array([[1, 2, 0]]), (20_000, 1))
    inputs = np.asarray(scheduled(PARAMS, tokens, jax.random.key(0), jnp.float32(0)))
    expected = probabilities(2)
    counts = np.bincount(inputs[:, 1] * 3 + inputs[:, 2], minlength=9) / len(inputs)
    np.testing.assert_allclose(counts, expected, atol=0.015)
