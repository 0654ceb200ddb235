import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, leaves_equal, make_state, make_system, plain_nll

from jaxgan.sequences.networks.language_model import before
from jaxgan.sequences.systems.likelihood import likelihood_epoch, mix

DATA = all_sequences(3, 3)


def epoch(system, state, order, truth=1.0):
    step = jax.jit(functools.partial(likelihood_epoch, system=system))
    return step(state, jnp.asarray(DATA), jnp.asarray(order), jnp.float32(truth))


@pytest.mark.parametrize("ends", [False, True])
def test_the_loss_is_the_mean_over_tokens(ends):
    system = make_system(ends=ends)
    state = make_state(system)
    chosen = np.array([5, 0, 21, 13])
    _, metrics = epoch(system, state, chosen[:, None])
    params = state.players["generator"].params
    nlls = np.array([plain_nll(params, DATA[row]) for row in chosen])
    mask = np.ones((4, 3), bool)
    if ends:
        mask = np.cumsum(DATA[chosen] == 0, axis=1) - (DATA[chosen] == 0) == 0
        assert not mask.all()
    assert float(metrics["loss"]) == pytest.approx(nlls[mask].mean(), abs=1e-5)


def test_an_epoch_is_its_batches_one_after_the_other():
    system = make_system()
    state = make_state(system)
    order = np.array([[0, 5], [1, 6], [2, 7]])
    together, _ = epoch(system, state, order)
    for column in order.T:
        state, _ = epoch(system, state, column[:, None])
    assert int(together.step) == 2
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-6),
        together.players["generator"].params,
        state.players["generator"].params,
    )


def test_g_moves_alone_and_learns():
    system = make_system()
    state = make_state(system)
    order = np.tile(np.array([[3], [3], [14]]), (1, 1000))
    after, _ = epoch(system, state, order)
    assert leaves_equal(after.players["discriminator"], state.players["discriminator"])
    _, metrics = epoch(system, after, np.array([[3], [3], [14]]))
    # The entropy of (2/3, 1/3), over 3 tokens.
    assert float(metrics["loss"]) == pytest.approx(0.6365 / 3, abs=0.02)


def test_scheduled_sampling_draws_for_every_token_by_itself():
    system = make_system(vocabulary=3, length=3)
    params = make_state(system).players["generator"].params
    # G draws 2 alone, and the data have 1 alone.
    params = {**params, "output_bias": jnp.array([-50.0, -50.0, 50.0])}
    tokens = jnp.ones((3000, 3), jnp.int32)

    def heard(truth, key=0):
        return np.asarray(
            mix(system.generator, params, tokens, jax.random.key(key), jnp.float32(truth))
        )

    np.testing.assert_array_equal(heard(1.0), before(tokens))
    np.testing.assert_array_equal(heard(0.0)[:, 1:], 2)
    kept = heard(0.3)[:, 1:] == 1
    np.testing.assert_allclose(kept.mean(0), 0.3, atol=0.03)
    # Places of one sequence, and the draws of two batches, know nothing of each other.
    assert abs(np.corrcoef(kept.T)[0, 1]) < 0.06
    other = heard(0.3, key=1)[:, 1:] == 1
    assert abs(np.corrcoef(kept.ravel(), other.ravel())[0, 1]) < 0.06


def test_what_scheduled_sampling_draws_follows_what_was_heard():
    system = make_system(vocabulary=3, length=3)
    params = make_state(system).players["generator"].params
    tokens = jnp.tile(jnp.array([[1, 2, 0]]), (20_000, 1))
    heard = np.asarray(mix(system.generator, params, tokens, jax.random.key(0), jnp.float32(0)))
    log_p = system.generator.apply({"params": params}, jnp.asarray(DATA))[:, :2].sum(1)
    expected = np.exp(np.asarray(log_p)).reshape(9, 3)[:, 0]
    counts = np.bincount(heard[:, 1] * 3 + heard[:, 2], minlength=9) / len(heard)
    np.testing.assert_allclose(counts, expected, atol=0.015)


def test_scheduled_sampling_learns_the_data_s_tokens_from_what_was_heard():
    system = make_system()
    state = make_state(system)
    params = state.players["generator"].params
    rows = np.array([5, 0, 21, 13])
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0)
    tokens = jnp.asarray(DATA[rows])
    heard = mix(system.generator, params, tokens, key, jnp.float32(0.5))
    expected = -system.generator.apply({"params": params}, tokens, heard).mean()
    _, metrics = epoch(system, state, rows[:, None], 0.5)
    assert float(metrics["loss"]) == pytest.approx(float(expected), abs=1e-5)
