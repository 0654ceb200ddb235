import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, initial_variables, make_model, plain_nll

from jaxgan.core import devices
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import (
    previous_tokens,
    valid_tokens,
    with_params,
)

MODEL = make_model(length=4)
EVERY = all_sequences(3, 4)


@pytest.fixture(scope="module")
def params():
    return initial_variables(MODEL.network, 4)["params"]


@pytest.fixture(scope="module")
def log_p(params):
    return np.asarray(jax.jit(with_params(MODEL.network, params))(EVERY))


def test_log_probabilities_by_hand(params, log_p):
    expected = [plain_nll(params, sequence) for sequence in EVERY]
    np.testing.assert_allclose(-log_p, expected, atol=1e-5)
    assert np.exp(log_p.sum(1)).sum() == pytest.approx(1.0, abs=1e-5)


def test_one_step_at_a_time_equals_the_whole_sequence(params, log_p):
    sequence = EVERY[64]

    @jax.jit
    def by_steps(tokens):
        call = with_params(MODEL.network, params)
        state, found = call((), method="initial_state"), []
        for token in tokens:
            found.append(jax.nn.log_softmax(call(state[0], method="logits"))[token])
            state = call(state, token, method="next_state")
        return jnp.array(found)

    np.testing.assert_allclose(by_steps(sequence), log_p[64], atol=1e-6)


def test_eight_devices_score_as_the_model_does(params, log_p):
    sequences = EVERY[:29]  # not a multiple of 8 devices
    inference = Inference(MODEL, devices.make_mesh(8))
    np.testing.assert_allclose(inference.score(params, sequences), log_p[:29], atol=1e-6)
    mean = inference.mean_nll(params, sequences)
    assert mean == pytest.approx(-float(log_p[:29].mean()), abs=1e-6)


def test_the_end_belongs_to_a_sequence_and_the_padding_does_not(params):
    sequences = np.array([[2, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.int32)
    mask = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(valid_tokens(jnp.asarray(sequences), True), mask)
    assert bool(valid_tokens(jnp.asarray(sequences), False).all())
    inference = Inference(make_model(length=4, ends=True), devices.make_mesh(1))
    found = inference.score(params, sequences)
    np.testing.assert_array_equal(found != 0, np.array(mask, bool))
    nlls = [plain_nll(params, sequence) for sequence in sequences]
    expected = np.sum(nlls * np.array(mask)) / 7
    assert inference.mean_nll(params, sequences) == pytest.approx(expected, abs=1e-5)


def test_the_first_previous_token_is_the_start():
    np.testing.assert_array_equal(previous_tokens(jnp.array([[5, 6, 7]])), [[0, 5, 6]])
