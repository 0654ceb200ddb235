import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences

from jaxgan.core import devices
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel
from jaxgan.sequences.networks.sampling import complete, draw, sample


@pytest.mark.parametrize("size", [2, 5, 16, 30, 5000])
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
    np.testing.assert_array_equal(draw(logits, uniform), [1, 1, 2])


@pytest.fixture(scope="module", params=[3, 4])
def length(request):
    return request.param


MODEL = LanguageModel(3, 4, 5, 1.0)
PARAMS = MODEL.init(jax.random.key(2), jnp.zeros((1, 4), jnp.int32))["params"]


def probabilities(length):
    log_p = MODEL.apply({"params": PARAMS}, jnp.asarray(all_sequences(3, length)))
    return np.exp(np.asarray(log_p, np.float64).sum(1))


def number(sequences):
    """Which of all sequences each is."""
    return np.asarray(sequences) @ (3 ** np.arange(sequences.shape[-1])[::-1])


def test_samples_have_the_model_s_distribution(length):
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = jax.jit(jax.vmap(lambda key: sample(MODEL, PARAMS, key, length, False)))(keys)
    counts = np.bincount(number(drawn), minlength=3**length) / len(keys)
    np.testing.assert_allclose(counts, probabilities(length), atol=0.015)


def test_completions_have_the_distribution_that_follows_each_beginning(length):
    own = jnp.array([2, 0, 1, 2])[:length]
    count = 8_000
    done = jax.jit(lambda key: complete(MODEL, PARAMS, own, key, count, False))(jax.random.key(3))
    assert done.shape == (length - 1, count, length)
    everything, p = all_sequences(3, length), probabilities(length)
    for given in range(1, length):
        kept = (everything[:, :given] == np.asarray(own[:given])).all(1)
        expected = np.where(kept, p, 0) / p[kept].sum()
        counts = np.bincount(number(done[given - 1]), minlength=3**length) / count
        np.testing.assert_allclose(counts, expected, atol=0.02)


def test_behind_an_end_nothing_is_drawn(length):
    own = jnp.array([2, 1, 0, 0])[:length]
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = jax.jit(jax.vmap(lambda key: sample(MODEL, PARAMS, key, length, True)))(keys)
    completed = jax.jit(lambda key: complete(MODEL, PARAMS, own, key, 300, True))(keys[0])
    for tokens in (drawn, completed.reshape(-1, length)):
        ends = np.asarray(tokens) == 0
        assert ends.any()
        assert ends[np.cumsum(ends, axis=1) > 0].all()
    if length == 4:
        # The last beginning has ended already.
        assert (completed[-1] == own).all()


def test_a_low_temperature_draws_the_likeliest_token():
    cold = sample(MODEL, PARAMS, jax.random.key(0), 3, False, 1e-3)
    greedy = sample(MODEL, PARAMS, jax.random.key(1), 3, False, 1e-3)
    np.testing.assert_array_equal(cold, greedy)


def test_a_sequence_does_not_depend_on_its_company_or_on_the_devices():
    key = jax.random.key(5)
    one, eight = (Inference(MODEL, 4, False, devices.make_mesh(n)) for n in (1, 8))
    many = one.draw(PARAMS, key, 150)
    np.testing.assert_array_equal(many, eight.draw(PARAMS, key, 150))
    np.testing.assert_array_equal(many[:7], one.draw(PARAMS, key, 7))
    assert len(np.unique(number(many))) > 20
