import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agents import linear_player, play_rounds

from configs.dqn import get_config
from jaxgan.control.environments.environment import Transition
from jaxgan.control.environments.tabular import environment, optimal_values, random_tables
from jaxgan.control.networks.q_network import QNetwork
from jaxgan.control.systems import dqn
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players
from jaxgan.core.timer import Timer
from jaxgan.methods.ring import Priorities, add, draw, draw_by_priority, read

TABLES = random_tables(7, 3, 3, seed=5)
STATES, ACTIONS = 7, 3
GAMMA = 0.9
OPTIMAL = optimal_values(TABLES, GAMMA)
VARIANTS = ("2013", "nature", "double", "dueling")


def tabular_system(variant, **changes):
    """The system of a preset on the tabular process. Its network is linear, so it is a table."""
    config = get_config(variant)
    config.widths, config.gamma, config.batch_size = (), GAMMA, 16
    config.learning_starts, config.replay_capacity, config.train_every = 20, 40, 2
    config.target_every = min(config.target_every, 4)
    fixed = {
        "environment": environment(TABLES, 30),
        "network": QNetwork(ACTIONS, (), config.dueling),
    }
    return dataclasses.replace(dqn.make_system(config), **(fixed | changes))


def table_player(system, values):
    """A player whose network gives these action values, float [S, A]."""
    if system.network.dueling:
        mean = values.mean(axis=1, keepdims=True)
        kernels = [mean, values - mean]
    else:
        kernels = [values]
    return linear_player(kernels, system.optimizer)


def players_of(system, online, target):
    players = {dqn.ONLINE: table_player(system, online)}
    if system.target_every:
        players[dqn.TARGET] = dataclasses.replace(table_player(system, target), opt_state=())
    return players


def one_step(states, actions, rewards, following, terminated, truncated):
    """Trajectories of one step, from NumPy arrays [B]."""
    unit = np.eye(STATES, dtype=np.float32)
    fields = unit[states], actions, rewards, unit[following], terminated, truncated
    return Transition(*(jnp.asarray(field)[:, None] for field in fields))


def every_change():
    """All (state, action, next state) of the process that are possible, and their weights."""
    states, actions, following = np.nonzero(TABLES.next_states[: STATES - 1])
    weights = TABLES.next_states[states, actions, following]
    rewards = TABLES.rewards[states, actions, following].astype(np.float32)
    return states, actions, following, rewards, weights


@pytest.mark.parametrize("variant", VARIANTS)
def test_optimal_values_are_the_fixed_point(variant):
    system = tabular_system(variant)
    states, actions, following, rewards, weights = every_change()
    terminal = TABLES.terminal[following]
    trajectories = one_step(states, actions, rewards, following, terminal, np.zeros_like(terminal))
    players = players_of(system, OPTIMAL, OPTIMAL)
    found = np.asarray(targets_of(players, trajectories, system))
    expected = np.zeros((STATES, ACTIONS))
    np.add.at(expected, (states, actions), weights * found)
    np.testing.assert_allclose(expected, OPTIMAL, rtol=1e-5, atol=1e-5)


def targets_of(players, trajectories, system):
    return jax.jit(functools.partial(dqn.targets, system=system))(players, trajectories)


def initial_of(system):
    return jax.jit(functools.partial(dqn.initial, system=system))(jax.random.key(0))


def value_by_hand(variant, online, target, following):
    if variant == "2013":
        return online[following].max(axis=1)
    if variant == "nature":
        return target[following].max(axis=1)
    return target[following, online[following].argmax(axis=1)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_targets_equal_those_by_hand_and_only_termination_removes_the_value(variant):
    system, random = tabular_system(variant), np.random.default_rng(1)
    online, target = random.normal(size=(2, STATES, ACTIONS))
    states, actions, following, rewards, _ = every_change()
    terminated, truncated = random.random((2, len(states))) < 0.4
    trajectories = one_step(states, actions, rewards, following, terminated, truncated)
    players = players_of(system, online, target)
    found = targets_of(players, trajectories, system)
    value = value_by_hand(variant, online, target, following)
    expected = rewards + GAMMA * ~terminated * value
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def filled_state(system, online, target):
    """A state whose ring holds random transitions of the process."""
    state = initial_of(system)
    random, count = np.random.default_rng(2), system.capacity
    states, actions, following, rewards, _ = every_change()
    rows = random.integers(len(states), size=count)
    terminated, truncated = random.random((2, count)) < 0.2
    trajectories = one_step(
        *(states[rows], actions[rows].astype(np.int32), rewards[rows], following[rows]),
        *(terminated, truncated),
    )
    ring = add(state.memory["ring"], jax.tree.map(lambda leaf: leaf[:, 0], trajectories))
    return dataclasses.replace(
        state,
        players=players_of(system, online, target),
        memory={**state.memory, "ring": ring},
    )


def rows_of(ring, numbers):
    """The rows of some numbers, as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:, 0], read(ring, numbers))


@pytest.mark.parametrize(("variant", "loss"), [("2013", "squared"), ("double", "huber")])
def test_one_update_equals_that_by_hand(variant, loss):
    rate, random = 0.5, np.random.default_rng(3)
    system = tabular_system(variant, optimizer=optax.sgd(rate), loss=loss)
    online, target = 2 * random.normal(size=(2, STATES, ACTIONS))
    state = filled_state(system, online, target)
    after, metrics = jax.jit(functools.partial(dqn.learn, system=system))(state)

    ring = state.memory["ring"]
    key = jax.random.fold_in(jax.random.fold_in(state.key, dqn.REPLAY), ring.added)
    drawn = rows_of(ring, draw(ring, key, 16))
    states, following = drawn.observation.argmax(axis=1), drawn.following.argmax(axis=1)
    value = value_by_hand(variant, online, target, following)
    goal = drawn.reward + GAMMA * ~drawn.terminated * value
    error = online[states, drawn.action] - goal
    if loss == "squared":
        losses, slope = error**2, 2 * error
    else:
        slope = np.clip(error, -1, 1)
        losses = np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5)
        assert (np.abs(error) > 1).any()
        assert (np.abs(error) < 1).any()
    expected, bias = online.copy(), np.zeros(ACTIONS)
    np.add.at(expected, (states, drawn.action), -rate * slope / 16)
    np.add.at(bias, drawn.action, -rate * slope / 16)
    moved = after.players[dqn.ONLINE].params["Dense_0"]
    np.testing.assert_allclose(moved["kernel"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved["bias"], bias, rtol=1e-5, atol=1e-5)
    assert float(metrics["loss"]) == pytest.approx(losses.mean(), rel=1e-5)
    assert float(metrics["q_value"]) == pytest.approx(online[states, drawn.action].mean(), rel=1e-4)


def test_one_update_of_prioritised_replay_equals_that_by_hand():
    """Likely rows weigh less in the loss, and the errors become the priorities."""
    rate, random = 0.5, np.random.default_rng(4)
    fixed = {"optimizer": optax.sgd(rate), "priority_exponent": 0.6, "correction_steps": 80}
    system = tabular_system("nature", **fixed)
    online, target = 2 * random.normal(size=(2, STATES, ACTIONS))
    state = filled_state(system, online, target)
    before = Priorities(jnp.asarray(random.uniform(0.1, 3, 40), jnp.float32), jnp.array(3.0))
    state = dataclasses.replace(state, memory={**state.memory, "priorities": before})
    after, _ = jax.jit(functools.partial(dqn.learn, system=system))(state)

    ring = state.memory["ring"]
    key = jax.random.fold_in(jax.random.fold_in(state.key, dqn.REPLAY), ring.added)
    # After 40 of 80 steps, beta has made half of its way from 0.4 to 1.
    numbers, _ = draw_by_priority(before, ring, key, 16, 0.7)
    drawn, places = rows_of(ring, numbers), np.asarray(numbers) % 40
    likely = np.asarray(before.values)[places]
    weights = (likely / likely.min()) ** -0.7
    states, following = drawn.observation.argmax(axis=1), drawn.following.argmax(axis=1)
    goal = drawn.reward + GAMMA * ~drawn.terminated * target[following].max(axis=1)
    error = goal - online[states, drawn.action]
    expected = online.copy()
    np.add.at(expected, (states, drawn.action), rate * weights * 2 * error / 16)
    kernel = after.players[dqn.ONLINE].params["Dense_0"]["kernel"]
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-5)
    priorities = np.array(before.values)
    priorities[places] = np.abs(error) ** 0.6
    found = after.memory["priorities"]
    np.testing.assert_allclose(found.values, priorities, rtol=1e-4, atol=1e-3)
    assert float(found.highest) == pytest.approx(max(3.0, priorities.max()), rel=1e-5)


def test_n_step_targets_stop_where_the_episode_ends():
    system = tabular_system("nature", n_steps=3)
    unit = np.eye(STATES, dtype=np.float32)
    rewards = jnp.array([[1.0, 2.0, 4.0]] * 3)
    terminated = jnp.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    truncated = jnp.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]], bool)
    following = jnp.asarray(unit[[[1, 2, 3]] * 3])
    trajectories = Transition(
        following, jnp.zeros((3, 3), int), rewards, following, terminated, truncated
    )
    players = players_of(system, OPTIMAL, OPTIMAL)
    best = OPTIMAL.max(axis=1)
    expected = [
        1 + GAMMA * 2 + GAMMA**2 * 4 + GAMMA**3 * best[3],
        1 + GAMMA * 2,
        1 + GAMMA * best[1],
    ]
    found = targets_of(players, trajectories, system)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_target_network_is_copied_when_it_is_time_and_learning_waits():
    system = tabular_system("nature")
    state = initial_of(system)
    program = jax.jit(functools.partial(dqn.step, system=system))
    first = state.players[dqn.TARGET].params["Dense_0"]["kernel"]
    previous = first
    for steps in range(2, 33, 2):
        state, metrics = program(state, ())
        online, target = (
            state.players[name].params["Dense_0"]["kernel"] for name in (dqn.ONLINE, dqn.TARGET)
        )
        learning = steps > 20
        assert (online != first).any() == learning
        assert int(metrics["loss"].count) == learning
        copied = learning and steps % 4 == 0
        np.testing.assert_array_equal(target, online if copied else previous)
        previous = target
    assert int(state.step) == 6
    assert int(state.memory["ring"].added) == 32


def test_epsilon_falls_linearly():
    system = tabular_system("nature", epsilon=(1.0, 0.2), exploration_steps=100)
    steps = jnp.array([0, 25, 50, 100, 1000])
    found = jax.vmap(functools.partial(dqn.exploration, system=system))(steps)
    np.testing.assert_allclose(found, [1.0, 0.8, 0.6, 0.2, 0.2], rtol=1e-6)


def test_actions_are_greedy_but_for_epsilon():
    count, epsilon = 4000, 0.3
    system = tabular_system(
        "nature", epsilon=(epsilon, epsilon), environments=count, capacity=count
    )
    state = initial_of(system)
    state = dataclasses.replace(state, players=players_of(system, OPTIMAL, OPTIMAL))
    after, _ = jax.jit(functools.partial(dqn.act, system=system))(state, None)
    actions = after.memory["ring"].rows.action
    best = OPTIMAL[TABLES.start].argmax()
    assert np.mean(np.asarray(actions) == best) == pytest.approx(
        1 - epsilon + epsilon / ACTIONS, abs=0.03
    )


def test_seeds_in_one_program_equal_single_runs_and_learn_catch():
    """Rounds end within episodes and with a full ring, so test_systems.py resumes from there."""
    _, single, rows = play_rounds(get_config("tiny"), 2)
    memory = single.memory
    assert memory["episodes"].steps.min() > 0
    assert int(memory["ring"].added) > memory["ring"].capacity
    config = get_config("tiny")
    config.seeds = 2
    recipe, several, both = play_rounds(config, 2)
    leaves = zip(jax.tree.leaves(single.players), jax.tree.leaves(several.players), strict=True)
    for one, other in leaves:
        np.testing.assert_allclose(one, np.asarray(other)[0], rtol=1e-4, atol=1e-5)
    steps = [np.asarray(state.memory["episodes"].steps) for state in (single, several)]
    np.testing.assert_array_equal(steps[0], steps[1][0])
    assert both[1]["train/loss/seed_0"] == pytest.approx(rows[1]["loss"], rel=1e-3)
    assert both[1]["train/loss/seed_0"] != both[1]["train/loss/seed_1"]
    found = recipe.evaluate(several, 2)().metrics
    mean = np.mean([found["eval/return/seed_0"], found["eval/return/seed_1"]])
    assert found["eval/return"] == pytest.approx(mean)
    # A policy that ignores the ball has a return of -0.6.
    for number in range(3, 301):
        several, _, _ = recipe.round(several, (), number, Timer())
    assert recipe.evaluate(several, 300)().objective > 0.5


def test_rmsprop_is_that_of_nature():
    config = get_config()
    config.optimizer, config.learning_rate = "rmsprop", 0.1
    optimizer, params = dqn.make_optimizer(config), jnp.zeros(3)
    state, mean, square = optimizer.init(params), np.zeros(3), np.zeros(3)
    for gradient in np.random.default_rng(0).normal(size=(4, 3)):
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        mean = 0.95 * mean + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        expected = -0.1 * gradient / np.sqrt(square - mean**2 + 0.01)
        np.testing.assert_allclose(updates, expected, rtol=1e-4)


def test_the_dueling_preset_clips_the_gradients_norm():
    optimizer = dqn.make_optimizer(get_config("dueling"))
    assert get_config("dueling").max_gradient_norm == 10
    state = optimizer.init(jnp.zeros(2))
    short, long = (optimizer.update(jnp.array(g), state)[1] for g in ([6.0, 8.0], [60.0, 80.0]))
    for one, other in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def prioritised():
    """The config of prioritised replay, with windows of two steps; the ring wraps in round 2."""
    config = get_config("tiny")
    config.priority_exponent = 0.6
    return config


@pytest.fixture(scope="module")
def on_eight():
    return dqn.make(prioritised(), devices.make_mesh(8))


def test_prioritised_replay_learns_the_same_where_eight_devices_hold_a_part_of_the_ring_each(
    on_eight,
):
    _, one, rows = play_rounds(prioritised(), 2)
    _, eight, others = play_rounds(prioritised(), 2, on_eight)
    assert int(one.memory["ring"].added) > one.memory["ring"].capacity
    whole = jax.tree.leaves(one.memory["ring"].rows)
    for alone, cut in zip(whole, jax.tree.leaves(eight.memory["ring"].rows), strict=True):
        assert [shard.data.shape[0] for shard in cut.addressable_shards] == [4] * 8
        np.testing.assert_array_equal(alone, cut)
    for alone, together in zip(
        *(jax.tree.leaves(state.players[dqn.ONLINE].params) for state in (one, eight)), strict=True
    ):
        np.testing.assert_allclose(alone, together, rtol=1e-3, atol=1e-4)
    assert rows[1]["loss"] == pytest.approx(others[1]["loss"], rel=1e-3)
    values = [state.memory["priorities"].values for state in (one, eight)]
    np.testing.assert_allclose(*values, rtol=1e-2, atol=1e-3)
    assert len(np.unique(values[0])) > 10


def test_a_run_with_priorities_resumes_exactly_on_eight_devices(on_eight, tmp_path):
    """It stops within an episode, and the ring comes back in eight parts."""

    def train(rounds, folder):
        config = prioritised()
        config.rounds = rounds
        loop.run(on_eight, config, tmp_path / folder)

    train(2, "whole")
    train(1, "parts")
    train(2, "parts")
    whole, parts = (load_players(tmp_path / folder, "last") for folder in ("whole", "parts"))
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "Pong"}, "config.env=Pong"),
        ({"double": True, "target_every": 0}, "config.double=True: Double DQN needs a target"),
        ({"environments": 4}, "config.train_every=10: must be a multiple of config.environments=4"),
        ({"target_every": 15}, "config.target_every=15: must be a multiple of config.train_every"),
        ({"learning_starts": 1, "n_steps": 3}, "config.learning_starts=1: must be at least"),
        ({"rounds": 300_000}, "config.rounds=300000: 3000000000 environment steps are too many"),
        ({"steps_per_round": 15}, "config.steps_per_round=15: must be a multiple"),
        ({"environments": 3, "train_every": 3, "steps_per_round": 9000}, "config.replay_capac"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    config = get_config()
    config.update(changes)
    with pytest.raises(UserError) as error:
        dqn.make(config, devices.make_mesh(1))
    assert str(error.value).startswith(message)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no preset 'rainbow': choose one of 2013, nature"):
        get_config("rainbow")
