import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, plain_nll

from jaxgan.core import devices
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel, before, bound, valid


@pytest.fixture(scope="module")
def model():
    return LanguageModel(3, 4, 5, 1.0)


@pytest.fixture(scope="module")
def params(model):
    return model.init(jax.random.key(1), jnp.zeros((1, 4), jnp.int32))["params"]


def test_negative_log_likelihood_by_hand(model, params):
    sequences = all_sequences(3, 4)
    found = -model.apply({"params": params}, jnp.asarray(sequences))
    expected = [plain_nll(params, sequence) for sequence in sequences]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_probabilities_of_all_sequences_add_up_to_one(model, params):
    found = model.apply({"params": params}, jnp.asarray(all_sequences(3, 4)))
    assert float(jnp.exp(found.sum(1)).sum()) == pytest.approx(1.0, abs=1e-5)


def test_a_step_at_a_time_is_the_whole_sequence(model, params):
    sequence = jnp.array([2, 0, 1, 1])
    call = bound(model, params)
    state, found = call((), method="begin"), []
    for token in sequence:
        found.append(jax.nn.log_softmax(call(state[0], method="logits"))[token])
        state = call(state, token, method="advance")
    np.testing.assert_allclose(found, call(sequence[None])[0], atol=1e-6)


def test_scores_over_devices_are_the_model_s_own(model, params):
    sequences = all_sequences(3, 4)[:29]  # no multiple of 8 devices
    inference = Inference(model, 4, False, devices.make_mesh(8))
    expected = model.apply({"params": params}, jnp.asarray(sequences))
    np.testing.assert_allclose(inference.score(params, sequences), expected, atol=1e-6)
    mean = inference.mean_nll(params, sequences, False)
    assert mean == pytest.approx(-float(expected.mean()), abs=1e-6)


def test_the_end_is_part_of_a_sequence_and_nothing_behind_it_is(model, params):
    sequences = np.array([[2, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.int32)
    mask = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(valid(jnp.asarray(sequences), True), mask)
    assert bool(valid(jnp.asarray(sequences), False).all())
    inference = Inference(model, 4, True, devices.make_mesh(1))
    found = inference.score(params, sequences)
    np.testing.assert_array_equal(found != 0, np.array(mask, bool))
    nlls = [plain_nll(params, sequence) for sequence in sequences]
    expected = np.sum(nlls * np.array(mask)) / 7
    assert inference.mean_nll(params, sequences, True) == pytest.approx(expected, abs=1e-5)


def test_before_begins_with_the_start():
    np.testing.assert_array_equal(before(jnp.array([[5, 6, 7]])), [[0, 5, 6]])
