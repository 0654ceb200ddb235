"""Deep Q-learning and three of its descendants, chosen by the config.

    play, for `train_every` steps:
        with probability epsilon take a random action, otherwise argmax_a Q(s, a)
        store (s, a, r, s', terminated, truncated) in the replay ring
    then learn, once there are more than `learning_starts` steps:
        draw a minibatch from the ring, uniformly or by the size of their last errors
        y = r + gamma (1 - terminated) * the value of s'
        take a step down the loss of y - Q(s, a)
        every `target_every` steps, copy Q to the target network

The value of s' is what distinguishes the papers (T is the target network):

    DQN 2013     max_a Q(s', a)             no target network       (Mnih et al. 2013)
    Nature DQN   max_a T(s', a)             and a clipped error     (Mnih et al. 2015)
    Double DQN   T(s', argmax_a Q(s', a))                           (van Hasselt et al. 2016)
    dueling      as Double DQN, and Q(s, a) = V(s) + A(s, a) - mean_b A(s, b); the gradient into
                 the layers that V and A share is divided by sqrt(2), and the norm of the whole
                 gradient is clipped to 10                          (Wang et al. 2016)

With `priority_exponent` above 0, rows of the ring with large errors are drawn more often, and the
losses are weighted so that the expected gradient stays the same (prioritised replay, Schaul et al.
2016).

With `n_steps` above 1, r is the n-step return and s' the state n steps later (Sutton and Barto
2018, section 7.1). An episode that is truncated by the time limit still has a value after its last
state: only termination makes it zero.

The default hyper-parameters are those of CleanRL's dqn.py for classic control. The papers play
Atari games, which are not part of this package, with convolutional networks on four frames of
84 x 84 pixels. Their values (Nature): 50 million steps of 4 frames, batch 32, a ring of 1 million,
learning after 50,000 steps, every 4; target copied every 10,000 updates (Double, tuned: 30,000);
gamma 0.99; epsilon from 1 to 0.1 over a million frames (Double, tuned: to 0.01), 0.05 in tests;
RMSProp with 2.5e-4, decay 0.95 and 0.01 added to the centred square. `loss` and `optimizer` switch
between CleanRL's squared error and Adam and Nature's clipped error and RMSProp.
"""

import dataclasses
import functools
import math
import operator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.commands import declare
from jaxgan.control.environments.environment import (
    Environment,
    Transition,
    advance,
    advance_several,
    begin,
    begin_several,
)
from jaxgan.control.environments.named import make_environment
from jaxgan.control.evaluation.episodes import Agent, measure_values
from jaxgan.control.networks.q_network import QNetwork
from jaxgan.control.settings import CHOICES, RANGES, check, check_multiple
from jaxgan.control.training import clipped, of_ended, open_training
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.metrics import Average
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Metrics,
    Player,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.methods import ring as rings
from jaxgan.methods.returns import n_step

ONLINE, TARGET = "q_network", "target_network"
"""The players. The target network exists only if it is used."""
ACT, REPLAY = range(2)
"""Streams of random numbers."""
PER_PROGRAM = 1000
"""The most steps in one compiled program. A step has no batch, so many fit."""
MOST_STEPS = 2**31
"""An int32 counts the environment steps of a run."""
LOSSES = {"squared": jnp.square, "huber": optax.huber_loss}
"""The losses of an error. Huber's is x^2 / 2 up to 1 and then linear, so its gradient is the error,
clipped to [-1, 1] (Mnih et al. 2015). CleanRL's squared error has no factor 1/2."""

Learned = tuple[Players, jax.Array, rings.Priorities | None]
"""What an update changes: the players, the number of updates, the priorities of the ring."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        environment: the environment to play in.
        network: Q.
        optimizer: the optimizer of Q.
        loss: a name in `LOSSES`.
        double: whether Q chooses the action whose value the target network gives.
        target_every: environment steps between two copies of Q to the target network; 0: none.
        n_steps: the number of steps of the return.
        gamma: the discount.
        environments: how many are played at the same time.
        train_every: environment steps between two updates.
        learning_starts: environment steps before the first update.
        batch_size: transitions of a minibatch.
        capacity: the capacity of the replay ring.
        epsilon: its values at the start and at the end.
        exploration_steps: environment steps from the first epsilon to the last.
        priority_exponent: alpha of prioritised replay; 0: minibatches are drawn uniformly.
        correction_exponent: beta of prioritised replay at the start; it grows to 1.
        correction_steps: environment steps until it is 1.
    """

    environment: Environment
    network: nn.Module
    optimizer: optax.GradientTransformation
    loss: str
    double: bool
    target_every: int
    n_steps: int
    gamma: float
    environments: int
    train_every: int
    learning_starts: int
    batch_size: int
    capacity: int
    epsilon: tuple[float, float]
    exploration_steps: int
    priority_exponent: float
    correction_exponent: float
    correction_steps: int

    def values(self, player: Player, observations: jax.Array) -> jax.Array:
        """Returns the values that a network gives to all actions, float32 [B, A]."""
        values: Any = self.network.apply(player.variables, observations)
        return jnp.asarray(values)


def initial(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first step: random networks, new episodes, an empty ring."""
    network_key, episode_key, run_key = jax.random.split(key, 3)
    episodes = begin_several(system.environment, episode_key, system.environments)
    observations = jax.vmap(system.environment.observe)(episodes.state)
    variables = system.network.init(network_key, observations)
    players = {ONLINE: make_player(variables, system.optimizer)}
    if system.target_every:
        players[TARGET] = Player(params=variables["params"], state={}, opt_state=())
    environment, action = system.environment, jnp.zeros((), jnp.int32)
    _, outcome = jax.eval_shape(
        lambda key: advance(environment, begin(environment, key), action, key), run_key
    )
    memory = {"episodes": episodes, "ring": rings.make_ring(outcome.transition, system.capacity)}
    if system.priority_exponent:
        memory["priorities"] = rings.make_priorities(system.capacity)
    return make_run_state(run_key, players, memory)


def exploration(steps: jax.Array, *, system: System) -> jax.Array:
    """Returns epsilon after a number of environment steps, float32 []."""
    return _linear(*system.epsilon, steps, system.exploration_steps)


def act(run_state: RunState, _: None, *, system: System) -> StepResult:
    """Makes one step in every environment, epsilon-greedily, and stores it in the ring.

    Returns:
        The state; the return and the length of the episodes that end with this step.
    """
    episodes, ring = run_state.memory["episodes"], run_state.memory["ring"]
    key = jax.random.fold_in(jax.random.fold_in(run_state.key, ACT), ring.added)
    action_key, environment_key = jax.random.split(key)
    observations = jax.vmap(system.environment.observe)(episodes.state)
    greedy = jnp.argmax(system.values(run_state.players[ONLINE], observations), axis=-1)
    draws = jax.random.uniform(action_key, (2, system.environments))
    explores = draws[0] < exploration(ring.added, system=system)
    anything = jnp.floor(draws[1] * system.environment.actions)
    actions = jnp.where(explores, anything, greedy).astype(jnp.int32)

    episodes, outcome = advance_several(system.environment, episodes, actions, environment_key)
    memory = {"episodes": episodes, "ring": rings.add(ring, outcome.transition)}
    if system.priority_exponent:
        priorities = run_state.memory["priorities"]
        memory["priorities"] = rings.add_priorities(priorities, ring, system.environments)
    return dataclasses.replace(run_state, memory=memory), of_ended(outcome)


def targets(players: Players, trajectories: Transition, *, system: System) -> jax.Array:
    """Returns what Q of the first observation and action is to become, float32 [B].

    Args:
        players: the networks before the update.
        trajectories: arrays [B, n_steps, ...].
    """
    rewards, gamma = trajectories.reward, system.gamma
    start = n_step(rewards, trajectories.terminated, trajectories.truncated, gamma)
    following = jax.vmap(operator.getitem)(trajectories.following, start.last)
    values = system.values(players[TARGET if system.target_every else ONLINE], following)
    chooser = system.values(players[ONLINE], following) if system.double else values
    best = jnp.argmax(chooser, axis=-1)[:, None]
    return start.value + start.discount * jnp.take_along_axis(values, best, axis=1)[:, 0]


def learn(run_state: RunState, *, system: System) -> StepResult:
    """Moves Q once, on a minibatch of the ring, and copies it to the target network if it is time.

    Returns:
        The state; the loss and the mean Q(s, a) of the minibatch.
    """
    ring, window = run_state.memory["ring"], (system.n_steps, system.environments)
    key = jax.random.fold_in(jax.random.fold_in(run_state.key, REPLAY), ring.added)
    weights: jax.Array | float = 1.0
    if system.priority_exponent:
        priorities, start = run_state.memory["priorities"], system.correction_exponent
        correction = _linear(start, 1.0, ring.added, system.correction_steps)
        drawn = priorities, ring, key, system.batch_size, correction
        numbers, weights = rings.draw_by_priority(*drawn, *window)
    else:
        numbers = rings.draw(ring, key, system.batch_size, *window)
    trajectories = rings.read(ring, numbers, *window)
    goals = targets(run_state.players, trajectories, system=system)

    def loss(players: Players) -> LossResult:
        values = system.values(players[ONLINE], trajectories.observation[:, 0])
        taken = jnp.take_along_axis(values, trajectories.action[:, :1], axis=1)[:, 0]
        value = (weights * LOSSES[system.loss](goals - taken)).mean()
        return value, ({}, {"loss": value, "q_value": taken.mean(), "errors": goals - taken})

    run_state, found = descend(run_state, {ONLINE: system.optimizer}, loss)
    errors = found.pop("errors")
    if system.priority_exponent:
        updated = rings.update_priorities(priorities, numbers, errors, system.priority_exponent)
        memory = {**run_state.memory, "priorities": updated}
        run_state = dataclasses.replace(run_state, memory=memory)
    if system.target_every:
        online, target = run_state.players[ONLINE], run_state.players[TARGET]
        copied = ring.added % system.target_every == 0
        newest = jax.tree.map(
            lambda new, old: jnp.where(copied, new, old), online.params, target.params
        )
        target = dataclasses.replace(target, params=newest)
        run_state = dataclasses.replace(run_state, players={ONLINE: online, TARGET: target})
    return run_state, found


def step(run_state: RunState, _: tuple[()], *, system: System) -> StepResult:
    """Plays `train_every` steps of the environments, then learns if there is enough to learn from.

    The batch is empty: what a step needs is in the run state.
    """
    acting = functools.partial(act, system=system)
    length = system.train_every // system.environments
    run_state, played = jax.lax.scan(acting, run_state, length=length)
    played = jax.tree.map(lambda leaf: leaf.sum(axis=0), played)
    steps = run_state.memory["ring"].added
    learning = steps > system.learning_starts

    def without_ring(run_state: RunState) -> Learned:
        return run_state.players, run_state.step, run_state.memory.get("priorities")

    def update(run_state: RunState) -> tuple[Learned, Metrics]:
        moved, found = learn(run_state, system=system)
        return without_ring(moved), found

    def wait(run_state: RunState) -> tuple[Learned, Metrics]:
        return without_ring(run_state), {"loss": jnp.zeros(()), "q_value": jnp.zeros(())}

    # What the branches return is copied, so the ring is not part of it.
    (players, updates, priorities), found = jax.lax.cond(learning, update, wait, run_state)
    memory = run_state.memory | ({"priorities": priorities} if system.priority_exponent else {})
    learned = {name: Average(value, learning) for name, value in found.items()}
    epsilon = {"epsilon": exploration(steps, system=system)}
    run_state = dataclasses.replace(run_state, players=players, step=updates, memory=memory)
    return run_state, played | learned | epsilon


def _linear(start: float, end: float, steps: jax.Array, duration: int) -> jax.Array:
    """Returns what moves from `start` to `end` in `duration` steps and stays there, float32 []."""
    return start + (end - start) * jnp.minimum(steps / duration, 1.0)


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Returns the optimizer of a config, which clips the norm of the gradient if there is a bound.

    Nature's RMSProp divides by the root of the mean square around the mean, as DeepMind's code
    does; what the paper calls the momentum of the gradient is the decay of that mean.
    """
    rate = config.learning_rate
    optimizer = {
        "adam": optax.adam(rate),
        "rmsprop": optax.rmsprop(rate, decay=0.95, eps=0.01, centered=True),
    }[config.optimizer]
    return clipped(optimizer, config.max_gradient_norm)


def make_system(config: ConfigDict) -> System:
    """Returns what is fixed during a run of a config."""
    environment = make_environment(config.env)
    return System(
        environment=environment,
        network=QNetwork(
            environment.actions, tuple(config.widths), config.dueling, jnp.dtype(config.dtype)
        ),
        optimizer=make_optimizer(config),
        loss=config.loss,
        double=config.double,
        target_every=config.target_every,
        n_steps=config.n_steps,
        gamma=config.gamma,
        environments=config.environments,
        train_every=config.train_every,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        capacity=config.replay_capacity,
        epsilon=(config.epsilon_start, config.epsilon_end),
        exploration_steps=config.exploration_steps,
        priority_exponent=config.priority_exponent,
        correction_exponent=config.correction_exponent,
        correction_steps=config.correction_steps,
    )


def check_settings(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError, naming the key, if a setting cannot be used."""
    choices = {"loss": tuple(LOSSES), "optimizer": ("adam", "rmsprop")}
    ranges = {
        "target_every": (0, math.inf),
        "n_steps": (1, math.inf),
        "train_every": (1, math.inf),
        "learning_starts": (0, math.inf),
        "replay_capacity": (1, math.inf),
        "epsilon_start": (0, 1),
        "epsilon_end": (0, 1),
        "exploration_steps": (1, math.inf),
        "priority_exponent": (0, math.inf),
        "correction_exponent": (0, 1),
        "correction_steps": (1, math.inf),
    }
    check(config, mesh, {**CHOICES, **choices}, {**RANGES, **ranges})
    check_multiple(config, "train_every", "environments")
    check_multiple(config, "steps_per_round", "train_every")
    if config.replay_capacity % (config.environments * mesh.size):
        raise UserError(
            f"config.replay_capacity={config.replay_capacity}: must be a multiple of "
            f"config.environments={config.environments} times the {mesh.size} devices"
        )
    check_multiple(config, "target_every", "train_every")
    window = config.n_steps * config.environments
    for key in ("learning_starts", "replay_capacity"):
        if config[key] < window:
            raise UserError(
                f"config.{key}={config[key]}: must be at least n_steps * environments = {window}"
            )
    steps = config.rounds * config.steps_per_round
    if steps >= MOST_STEPS:
        raise UserError(
            f"config.rounds={config.rounds}: {steps} environment steps are too many to count; "
            f"a run has fewer than {MOST_STEPS}"
        )
    if config.double and not config.target_every:
        raise UserError(
            "config.double=True: Double DQN needs a target network; set config.target_every"
        )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config.

    Raises:
        UserError: a setting cannot be used; the message says which.
    """
    check_settings(config, mesh)
    system, whole = make_system(config), devices.replicated(mesh)
    memory = {"episodes": whole, "ring": rings.shardings(mesh)}
    if system.priority_exponent:
        memory["priorities"] = whole
    return open_training(
        config,
        mesh,
        agent=make_agent(system),
        init=functools.partial(initial, system=system),
        step=functools.partial(step, system=system),
        moves=(ONLINE, TARGET) if system.target_every else (ONLINE,),
        steps=config.steps_per_round // config.train_every,
        per_program=PER_PROGRAM,
        shardings=RunState(whole, whole, whole, memory),  # type: ignore[arg-type]
    )


def make_agent(system: System) -> Agent:
    """Returns how the trained network acts: it takes the action of the highest value."""
    return Agent(
        system.environment,
        lambda players, observations: system.values(players[ONLINE], observations),
        functools.partial(measure_values, discount=system.gamma),
    )


DECLARATION = declare(make, lambda config: make_agent(make_system(config)))
