import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agents import linear_player, play_rounds
from scipy import special

from configs.ppo import get_config
from jaxgan.control.environments.environment import Environment
from jaxgan.control.networks.actor_critic import ActorCritic
from jaxgan.control.systems import ppo
from jaxgan.core import devices
from jaxgan.core.errors import UserError

STATES, ACTIONS, LIMIT = 7, 3, 4
RATE, CLIP = 0.5, 0.2


def climb():
    """An action adds 0, 1 or 2 to the state, which is the reward; 5 and 6 are terminal."""

    def step(state, action, key):
        return state + action, (state + action).astype(jnp.float32), state + action >= 5

    return Environment(
        ACTIONS,
        LIMIT,
        lambda key: jnp.zeros((), jnp.int32),
        step,
        lambda state: jax.nn.one_hot(state, STATES),
        None,
    )


def tabular_system(**changes):
    """The networks are tables, moved by plain gradient descent."""
    config = get_config()
    config.batch_size, config.environments, config.rollout, config.epochs = 8, 6, 8, 3
    fixed = {
        "environment": climb(),
        "network": ActorCritic(ACTIONS, ()),
        "optimizer": optax.sgd(RATE),
    }
    return dataclasses.replace(ppo.make_system(config), **(fixed | changes))


def state_of(system, logits, values):
    """A new state whose networks give these logits [S, A] and values [S]."""
    player = linear_player((logits, values[:, None]), system.optimizer)
    state = jax.jit(functools.partial(ppo.initial, system=system))(jax.random.key(0))
    return dataclasses.replace(state, players={ppo.AGENT: player})


def test_a_rollout_keeps_what_the_policy_did_with_the_advantages_of_a_loop():
    system, random = tabular_system(), np.random.default_rng(0)
    logits, values = random.normal(size=(STATES, ACTIONS)), random.normal(size=STATES)
    before = state_of(system, logits, values)
    after, steps, found = jax.jit(functools.partial(ppo.play_rollout, system=system))(before)
    states, actions = np.asarray(steps.observation).argmax(axis=-1), np.asarray(steps.action)
    log_probabilities = special.log_softmax(logits, axis=1)[states, actions]
    np.testing.assert_allclose(steps.log_probability, log_probabilities, rtol=1e-4)
    np.testing.assert_allclose(steps.value, values[states], rtol=1e-5)

    advantages, totals, cut_off = np.zeros(states.shape), [], 0
    for place in range(system.environments):
        errors, ends = [], []
        state, length, total = 0, 0, 0
        for step in range(system.rollout):
            assert states[step, place] == state
            following = state + actions[step, place]
            terminated, length, total = following >= 5, length + 1, total + following
            value = 0.0 if terminated else values[following]
            errors.append(following + 0.99 * value - values[state])
            ends.append(terminated or length == LIMIT)
            if ends[-1]:
                totals.append(total)
                cut_off += not terminated
            state, length, total = (0, 0, 0) if ends[-1] else (following, length, total)
        assert int(after.memory["episodes"].steps[place]) == length
        advantage = 0.0
        for step in reversed(range(system.rollout)):
            advantage = errors[step] + 0.99 * 0.95 * advantage * (not ends[step])
            advantages[step, place] = advantage
    assert 0 < cut_off < len(totals)  # some episodes are cut off, and some terminate
    np.testing.assert_allclose(steps.advantage, advantages, rtol=1e-4, atol=1e-4)
    assert (int(found["return"].count), float(found["return"].total)) == (len(totals), sum(totals))


def test_one_update_equals_that_by_hand():
    system, random = tabular_system(), np.random.default_rng(1)
    logits, values = random.normal(size=(STATES, ACTIONS)), random.normal(size=STATES)
    states, actions = random.integers(5, size=64), random.integers(ACTIONS, size=64)
    # The policy and the values have moved since the rollout, some of them too far.
    old = special.log_softmax(logits + 0.4 * random.normal(size=logits.shape), axis=1)
    old_values = values + 0.3 * random.normal(size=STATES)
    kept, advantage = old[states, actions], random.normal(size=64) + 2
    arrays = np.eye(STATES)[states], actions, kept, old_values[states], advantage
    steps = ppo.Step(*(jnp.asarray(each, each.dtype.kind + "4") for each in arrays))
    program = jax.jit(functools.partial(ppo.learn, system=system))
    after, found = program(state_of(system, logits, values), steps)

    policy = special.softmax(logits, axis=1)
    log_policy = np.log(policy)
    ratio = np.exp(log_policy[states, actions] - kept)
    normal = (advantage - advantage.mean()) / advantage.std(ddof=1)
    stopped = ((ratio > 1 + CLIP) & (normal > 0)) | ((ratio < 1 - CLIP) & (normal < 0))
    assert 0 < stopped.sum() < np.sum(np.abs(ratio - 1) > CLIP) < 64
    taken = np.eye(ACTIONS)[actions] - policy[states]
    of_objective = np.where(stopped, 0, ratio * normal)[:, None] * taken
    entropy = -(policy * log_policy).sum(axis=1)
    of_entropy = -(policy * (log_policy + entropy[:, None]))[states]
    moved = logits.copy()
    np.add.at(moved, states, RATE * (of_objective + 0.01 * of_entropy) / 64)
    returns, value, old_value = advantage + old_values[states], values[states], old_values[states]
    clipped = old_value + np.clip(value - old_value, -CLIP, CLIP)
    plain = (value - returns) ** 2 >= (clipped - returns) ** 2
    assert 0 < np.sum(~plain) < 64
    moved_values = values.copy()
    # Where the clipped error counts, the value has moved too far, and the gradient is zero.
    np.add.at(moved_values, states, -RATE * 0.5 * np.where(plain, value - returns, 0) / 64)

    params = after.players[ppo.AGENT].params
    np.testing.assert_allclose(params["Dense_0"]["kernel"], moved, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        params["Dense_1"]["kernel"][:, 0], moved_values, rtol=1e-4, atol=1e-5
    )
    objective = np.minimum(ratio * normal, np.clip(ratio, 1 - CLIP, 1 + CLIP) * normal).mean()
    assert float(found["policy_loss"]) == pytest.approx(-objective, rel=1e-3, abs=1e-5)
    worse = np.maximum((value - returns) ** 2, (clipped - returns) ** 2)
    assert float(found["value_loss"]) == pytest.approx(worse.mean() / 2, rel=1e-4)
    assert float(found["entropy"]) == pytest.approx(entropy[states].mean(), rel=1e-4)
    assert float(found["clipped"]) == np.mean(np.abs(ratio - 1) > CLIP)
    assert float(found["kl"]) == pytest.approx(np.mean(ratio - 1 - np.log(ratio)), rel=1e-3)


def test_every_pass_sees_every_step_of_the_rollout_once(monkeypatch):
    """`learn` is replaced by a count of the steps that it receives."""
    system = tabular_system()
    zeros = np.zeros((STATES, ACTIONS)), np.zeros(STATES)
    before = state_of(system, *zeros)
    _, steps, _ = jax.jit(functools.partial(ppo.play_rollout, system=system))(before)
    expected = np.sort(np.ravel(steps.advantage))

    def learn(run_state, steps, *, system):
        assert steps.advantage.shape == (8,)
        return run_state, {"seen": steps.advantage}

    monkeypatch.setattr(ppo, "learn", learn)
    monkeypatch.setattr(ppo.jnp, "mean", lambda leaf: leaf)
    _, found = ppo.step(before, (), system=system)
    passes = np.asarray(found["seen"]).reshape(3, 48)
    np.testing.assert_allclose(np.sort(passes, axis=1), [expected] * 3, rtol=1e-6)
    assert (passes[0] != passes[1]).any()


def test_the_learning_rate_falls_after_every_rollout_until_it_is_zero():
    config = get_config()
    config.annealing_steps = 4 * 512
    optimizer, params = ppo.make_optimizer(config), jnp.zeros(1)
    state, sizes = optimizer.init(params), []
    for _ in range(5 * 16):  # updates of a rollout
        updates, state = optimizer.update(jnp.ones(1), state, params)
        sizes.append(-float(updates[0]))
    shares = np.repeat([1, 0.75, 0.5, 0.25, 0], 16)
    np.testing.assert_allclose(sizes, 2.5e-4 * shares, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("bound", "clipped"), [(0.5, True), (0.0, False)])
def test_the_gradients_norm_is_clipped_if_there_is_a_bound(bound, clipped):
    config = get_config()
    config.max_gradient_norm = bound
    optimizer = ppo.make_optimizer(config)
    state = optimizer.init(jnp.zeros(2))
    short, long = (optimizer.update(jnp.array(g), state)[1] for g in ([0.3, 0.4], [30.0, 40.0]))
    leaves = zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True)
    assert all(np.allclose(one, other, rtol=1e-5) for one, other in leaves) == clipped


def test_seeds_in_one_program_equal_single_runs():
    """The round ends within episodes, so test_systems.py resumes from there."""
    _, single, (row,) = play_rounds(get_config("tiny"), 1)
    assert single.memory["episodes"].steps.min() > 0
    config = get_config("tiny")
    config.seeds = 2
    _, several, (rows,) = play_rounds(config, 1)
    leaves = zip(jax.tree.leaves(single.players), jax.tree.leaves(several.players), strict=True)
    for one, other in leaves:
        if one.ndim:  # the optimizer counts updates
            np.testing.assert_allclose(one, np.asarray(other)[0], rtol=1e-3, atol=1e-5)
    assert rows["train/value_loss/seed_0"] == pytest.approx(row["value_loss"], rel=1e-3)
    assert rows["train/value_loss/seed_0"] != rows["train/value_loss/seed_1"]


def test_ppo_learns_catch():
    """A policy that ignores the ball has a return of -0.6."""
    config = get_config("tiny")
    config.environments, config.rollout, config.batch_size = 32, 8, 64
    config.steps_per_round, config.annealing_steps, config.learning_rate = 2560, 40_960, 1e-2
    recipe, state, rows = play_rounds(config, 4)
    assert rows[-1]["return"] > 0.7
    assert recipe.evaluate(state, 4)().objective > 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch_size": 100},
            "config.batch_size=100: must divide the rollout * environments = 512",
        ),
        ({"batch_size": 1}, "config.batch_size=1: must be 2 or more"),
        ({"learning_rate": -1.0}, "config.learning_rate=-1.0: must be 0 or more"),
        (
            {"steps_per_round": 1000},
            "config.steps_per_round=1000: must be a multiple of the rollout",
        ),
        ({"annealing_steps": 1000}, "config.annealing_steps=1000: must be a multiple of"),
        ({"env": "Pong"}, "config.env=Pong: choose one of CartPole-v1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    config = get_config()
    config.update(changes)
    with pytest.raises(UserError) as error:
        ppo.make(config, devices.make_mesh(1))
    assert str(error.value).startswith(message)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no preset 'trpo': choose one of quick, tiny"):
        get_config("trpo")
