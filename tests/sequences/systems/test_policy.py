import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, leaves_equal, make_state, make_system

from jaxgan.core import devices
from jaxgan.sequences.networks import rows as row_programs
from jaxgan.sequences.systems.policy import begin_policy, compared, explore, follow, policy_step
from jaxgan.sequences.systems.system import init

V, T = 3, 3
EVERYTHING = all_sequences(V, T)


def run(step, system):
    return jax.jit(functools.partial(step, system=system))


def probabilities(system, params):
    return jnp.exp(system.generator.apply({"params": params}, jnp.asarray(EVERYTHING)).sum(1))


def judgements(system, state):
    params = {"params": state.players["discriminator"].params}
    return jax.nn.softmax(system.discriminator.apply(params, jnp.asarray(EVERYTHING)))[:, 1]


def exact_values(system, state):
    """The expected judgement after every token of every sequence, by enumeration: [V ** T, T]."""
    p = np.asarray(probabilities(system, state.memory["roll_out"]), np.float64)
    judged = np.asarray(judgements(system, state), np.float64)
    values = np.zeros((V**T, T))
    for row, sequence in enumerate(EVERYTHING):
        for given in range(1, T + 1):
            kept = (EVERYTHING[:, :given] == sequence[:given]).all(1)
            values[row, given - 1] = (p[kept] * judged[kept]).sum() / p[kept].sum()
    return values


def test_values_of_roll_outs_are_those_of_exact_enumeration():
    system = make_system(roll_outs=4000)
    state = make_state(system)
    # D has to tell sequences apart for this to test anything.
    players = dict(state.players)
    d = players["discriminator"]
    players["discriminator"] = d.replace(params=jax.tree.map(lambda a: 4 * a, d.params))
    state = state.replace(players=players)
    explored = run(explore, system)(state, jnp.arange(6))
    exact = exact_values(system, state)
    assert exact.std() > 0.02
    rows = np.asarray(explored.tokens) @ (V ** np.arange(T)[::-1])
    np.testing.assert_allclose(explored.values, exact[rows], atol=0.02)
    np.testing.assert_allclose(explored.values[:, -1], exact[rows, -1], atol=1e-5)


def expected_gradient(system, state):
    """Of minus the expected judgement, which for G as roll-out policy is a plain sum."""
    judged = judgements(system, state)
    params = state.players["generator"].params
    return jax.grad(lambda params: -jnp.sum(probabilities(system, params) * judged))(params)


def gradients(system, state, tokens, rewards):
    """The gradient that `policy_step` goes down, for each of many batches."""
    before = state.players["generator"].params

    def one(tokens, rewards):
        after, _ = policy_step(state, tokens, rewards, system=system)
        return jax.tree.map(jnp.subtract, before, after.players["generator"].params)

    return jax.jit(jax.vmap(one))(tokens, rewards)


@pytest.mark.parametrize("baseline", [False, True])
def test_the_policy_gradient_is_the_exact_gradient_on_average(baseline):
    system = make_system(baseline=baseline)
    state = make_state(system)
    values = jnp.asarray(exact_values(system, state), jnp.float32)
    p = probabilities(system, state.players["generator"].params)
    # All batches of two sequences, each with its probability.
    one, two = (grid.ravel() for grid in np.meshgrid(np.arange(V**T), np.arange(V**T)))
    pairs = np.stack([one, two], axis=1)
    found = gradients(system, state, jnp.asarray(EVERYTHING)[pairs], values[pairs])
    weights = p[one] * p[two]
    mean = jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1) / 2, found)
    exact = expected_gradient(system, state)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(exact)) > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), mean, exact)


def test_a_constant_reward_moves_nothing_where_there_is_a_baseline():
    for baseline in (True, False):
        system = make_system(judge="constant", baseline=baseline)
        state = make_state(system)
        explored = run(explore, system)(state, jnp.arange(8))
        assert (np.asarray(explored.values) == 1).all()
        after, _ = run(policy_step, system)(state, explored.tokens, explored.values)
        same = leaves_equal(after.players["generator"].params, state.players["generator"].params)
        assert same is baseline


def test_random_rewards_are_uniform_and_new_in_every_step():
    system = make_system(judge="random")
    state = make_state(system)
    draw = run(explore, system)
    one = draw(state, jnp.arange(400)).values
    other = draw(state.replace(step=state.step + 1), jnp.arange(400)).values
    assert float(jnp.mean(one)) == pytest.approx(0.5, abs=0.04)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_a_token_is_compared_with_the_others_at_its_place():
    rewards = jnp.array([[1.0, 4.0], [2.0, 9.0], [6.0, 7.0]])
    mask = jnp.array([[1, 1], [1, 0], [1, 1]], bool)
    expected = [[1 - 4, 4 - 7], [2 - 3.5, 0], [6 - 1.5, 7 - 4]]
    found = jnp.where(mask, compared(rewards, mask), 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alone = compared(rewards, jnp.array([[1, 1], [1, 0], [1, 0]], bool))
    assert float(alone[0, 1]) == 0


def test_the_roll_out_policy_follows_with_its_delay():
    system = make_system(roll_out_decay=0.75)
    state = make_state(system)
    rewards = jnp.asarray(np.random.default_rng(0).uniform(size=(4, T)), jnp.float32)
    expected = jax.tree.map(np.asarray, state.players["generator"].params)
    for _ in range(3):
        before = state.memory["roll_out"]
        state, _ = run(policy_step, system)(state, jnp.asarray(EVERYTHING[4:8]), rewards)
        assert leaves_equal(state.memory["roll_out"], before)
        state = run(follow, system)(state)
        params = state.players["generator"].params
        expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, expected, params)
    found = dict(state.memory["roll_out"])
    np.testing.assert_array_equal(found.pop("embedding"), params["embedding"])
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)
        assert not np.array_equal(value, params[name])
    begun = run(begin_policy, system)(state)
    assert leaves_equal(begun.memory["roll_out"], params)


def test_roll_outs_are_drawn_from_the_delayed_policy():
    system = make_system(roll_outs=50)
    state = make_state(system)
    # A policy that knows one token alone.
    bias = jnp.array([-50.0, 50.0, -50.0])
    sure = {**state.memory["roll_out"], "output_bias": bias}
    state = state.replace(memory={"roll_out": sure})
    explored = run(explore, system)(state, jnp.arange(8))
    completed = np.asarray(explored.completions)
    for given in range(1, T):
        assert (completed[:, given - 1, :, given:] == 1).all()
        own = np.asarray(explored.tokens)[:, None, :given]
        assert (completed[:, given - 1, :, :given] == own).all()


def test_g_moves_alone():
    system = make_system()
    state = make_state(system)
    rewards = jnp.arange(12.0).reshape(4, T)
    after, _ = run(policy_step, system)(state, jnp.asarray(EVERYTHING[4:8]), rewards)
    assert leaves_equal(after.players["discriminator"], state.players["discriminator"])
    assert not leaves_equal(after.players["generator"], state.players["generator"])


def test_eight_devices_explore_what_one_does():
    found = []
    for count in (1, 8):
        system = make_system(mesh=devices.make_mesh(count), roll_outs=4)
        whole = devices.replicated(system.mesh)
        state = jax.jit(functools.partial(init, system=system), out_shardings=whole)(
            jax.random.key(0)
        )
        rows = devices.put_sharded(np.arange(16, dtype=np.int32), system.mesh)
        found.append(jax.device_get(run(explore, system)(state, rows)))
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)
    np.testing.assert_array_equal(found[0].completions, found[1].completions)
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-6)


@pytest.mark.parametrize("at_once", [{"cpu": (4, 2)}, {}])
def test_many_rows_are_explored_at_once_with_the_same_result(monkeypatch, at_once):
    system = make_system(mesh=devices.make_mesh(1), roll_outs=4)
    state, rows = make_state(system), jnp.arange(16, dtype=jnp.int32)
    expected = run(explore, system)(state, rows)
    monkeypatch.setattr(row_programs, "AT_ONCE", at_once)
    program = functools.partial(explore, system=system)
    loops = re.findall(r"length=(\d+)", str(jax.make_jaxpr(program)(state, rows)))
    # Loops are as long as a sequence, or over parts of the rows; none is over every row.
    assert max(map(int, loops)) == (8 if at_once else T)
    found = jax.jit(program)(state, rows)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.completions, expected.completions)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)
