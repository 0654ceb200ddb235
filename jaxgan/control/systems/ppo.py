"""Proximal policy optimisation (Schulman et al. 2017) with a finite number of actions.

    play `rollout` steps in every environment:
        draw a from pi(. | s); keep (s, a, log pi(a | s), V(s)) and (r, s', terminated, truncated)
    A = generalised advantages, with V(s') where an episode is cut off; R = A + V(s)
    `epochs` times, for every minibatch of the rollout in random order:
        normalise A over the minibatch; rho = pi(a | s) / the pi(a | s) that was kept
        take a step down  - mean of min(rho A, clip(rho, 1 - epsilon, 1 + epsilon) A)
                          + value_weight * mean of the clipped error of V(s) and R
                          - entropy_weight * mean entropy of pi

"The 37 Implementation Details of Proximal Policy Optimization" (Huang et al. 2022) lists thirteen
that the implementations of all domains share. They are here:

     1  several environments, whose episodes go on      `act`
     2  orthogonal weights, zero biases                 networks/actor_critic.py
     3  Adam with an epsilon of 1e-5                    `make_optimizer`
     4  a learning rate that falls to zero              `make_optimizer`
     5  generalised advantages                          methods/returns.py
     6  shuffled minibatches                            `step`
     7  advantages normalised in each minibatch         `learn`
     8  the clipped objective                           methods/policy.py
     9  the clipped loss of the value                   methods/policy.py
    10  one loss, with a bonus for entropy              `learn`
    11  the norm of the whole gradient is clipped       `make_optimizer`
    12  losses, entropy, divergence, clipped share      the metrics of `learn`
    13  separate networks for policy and value          networks/actor_critic.py

The hyper-parameters are those of CleanRL's ppo.py for classic control. CleanRL treats an episode
that is cut off as one that has terminated; here it continues with the value of its final state.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.commands import declare
from jaxgan.control.environments.environment import (
    Environment,
    Outcome,
    advance_several,
    begin_several,
)
from jaxgan.control.environments.named import make_environment
from jaxgan.control.evaluation.episodes import Agent, measure
from jaxgan.control.networks.actor_critic import ActorCritic
from jaxgan.control.settings import CHOICES, RANGES, check
from jaxgan.control.training import clipped, of_ended, open_training
from jaxgan.core.devices import cut_rows
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Metrics,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.methods import policy
from jaxgan.methods.returns import generalised_advantages

AGENT = "agent"
"""The player: both networks, since one optimizer moves them on one loss."""
ACT, SHUFFLE = range(2)
"""Streams of random numbers."""
PER_PROGRAM = 100
"""The most rollouts, with their updates, in one compiled program."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        environment: the environment to play in.
        network: observations -> logits and values.
        optimizer: the optimizer of the network.
        environments: how many are played at the same time.
        rollout: steps in every environment between updates.
        epochs: passes over a rollout.
        batch_size: steps of a minibatch.
        gamma: the discount.
        decay: lambda of the generalised advantages.
        clip: the epsilon of the objective, and the most that a value may move.
        entropy_weight: the weight of the mean entropy in the loss.
        value_weight: the weight of the values' error in the loss.
    """

    environment: Environment
    network: nn.Module
    optimizer: optax.GradientTransformation
    environments: int
    rollout: int
    epochs: int
    batch_size: int
    gamma: float
    decay: float
    clip: float
    entropy_weight: float
    value_weight: float

    def outputs(self, player: Player, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the logits of the policy, float32 [..., A], and the values, float32 [...]."""
        outputs: Any = self.network.apply(player.variables, observations)
        logits, values = outputs
        return logits, values


class Step(NamedTuple):
    """What is learned from a step in an environment.

    Attributes:
        observation: float32 [..., D], before the action.
        action: int32 [...].
        log_probability: float32 [...], of the action when it was drawn.
        value: float32 [...], of the observation at that time.
        advantage: float32 [...].
    """

    observation: jax.Array
    action: jax.Array
    log_probability: jax.Array
    value: jax.Array
    advantage: jax.Array


def initial(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first step: random networks, new episodes."""
    network_key, episode_key, run_key = jax.random.split(key, 3)
    episodes = begin_several(system.environment, episode_key, system.environments)
    observations = jax.vmap(system.environment.observe)(episodes.state)
    variables = system.network.init(network_key, observations)
    players = {AGENT: make_player(variables, system.optimizer)}
    return make_run_state(run_key, players, {"episodes": episodes})


def act(
    player: Player, episodes: PyTree, key: jax.Array, *, system: System
) -> tuple[PyTree, tuple[Outcome, jax.Array, jax.Array]]:
    """Makes one step in every environment with an action drawn from the policy.

    Returns:
        The episodes; the outcome, and the log-probability and the value before it, [environments].
    """
    action_key, environment_key = jax.random.split(key)
    observations = jax.vmap(system.environment.observe)(episodes.state)
    logits, values = system.outputs(player, observations)
    actions = jax.random.categorical(action_key, logits).astype(jnp.int32)
    episodes, outcome = advance_several(system.environment, episodes, actions, environment_key)
    return episodes, (outcome, policy.categorical_log_probability(logits, actions), values)


def play_rollout(run_state: RunState, *, system: System) -> tuple[RunState, Step, Metrics]:
    """Plays `rollout` steps in every environment.

    Returns:
        The state; the steps, with leading axes [rollout, environments]; and the return and the
        length of the episodes that ended.
    """
    player = run_state.players[AGENT]
    keys = jax.random.split(step_key(run_state, ACT), system.rollout)
    acting = functools.partial(act, player, system=system)
    episodes, (outcome, log_probabilities, values) = jax.lax.scan(
        acting, run_state.memory["episodes"], keys
    )
    made = outcome.transition
    _, following = system.outputs(player, made.following)
    advantages = generalised_advantages(
        made.reward,
        values,
        following,
        made.terminated,
        made.truncated,
        discount=system.gamma,
        decay=system.decay,
    )
    steps = Step(made.observation, made.action, log_probabilities, values, advantages)
    run_state = dataclasses.replace(run_state, memory={"episodes": episodes})
    return run_state, steps, of_ended(outcome)


def learn(run_state: RunState, steps: Step, *, system: System) -> StepResult:
    """Takes one step down the loss of a minibatch.

    Args:
        run_state: the state before the update.
        steps: arrays [batch_size, ...].

    Returns:
        The state; the parts of the loss, the divergence of the policy from the one that acted, and
        the share of steps whose ratio has left the clip range.
    """
    returns = steps.advantage + steps.value
    deviation = jnp.std(steps.advantage, ddof=1)  # as in PyTorch
    advantages = (steps.advantage - jnp.mean(steps.advantage)) / (deviation + 1e-8)

    def loss(players: Players) -> LossResult:
        logits, values = system.outputs(players[AGENT], steps.observation)
        log_probabilities = policy.categorical_log_probability(logits, steps.action)
        log_ratio = log_probabilities - steps.log_probability
        objective = policy.clipped_objective(log_ratio, advantages, system.clip).mean()
        error = policy.clipped_value_loss(values, steps.value, returns, system.clip).mean()
        entropy = policy.categorical_entropy(logits).mean()
        value = -objective + system.value_weight * error - system.entropy_weight * entropy
        found = {
            "policy_loss": -objective,
            "value_loss": error,
            "entropy": entropy,
            "kl": policy.sampled_kl(log_ratio).mean(),
            "clipped": jnp.mean(jnp.abs(jnp.exp(log_ratio) - 1) > system.clip),
        }
        return value, ({}, found)

    return descend(run_state, {AGENT: system.optimizer}, loss)


def step(run_state: RunState, _: tuple[()], *, system: System) -> StepResult:
    """Plays a rollout and learns from it in `epochs` passes of shuffled minibatches.

    The batch is empty: what a step needs is in the run state.
    """
    shuffle_key = step_key(run_state, SHUFFLE)
    run_state, steps, played = play_rollout(run_state, system=system)
    count = system.rollout * system.environments
    flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), steps)
    keys = jax.random.split(shuffle_key, system.epochs)
    orders = jax.vmap(lambda key: jax.random.permutation(key, count))(keys)

    def update(run_state: RunState, places: jax.Array) -> StepResult:
        places = cut_rows(places)
        minibatch = jax.tree.map(lambda leaf: leaf[places], flat)
        return learn(run_state, minibatch, system=system)

    run_state, found = jax.lax.scan(update, run_state, orders.reshape(-1, system.batch_size))
    return run_state, played | jax.tree.map(jnp.mean, found)


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Returns Adam, whose learning rate falls after each rollout until it is 0."""
    per_rollout = config.epochs * config.rollout * config.environments // config.batch_size
    rollouts = config.annealing_steps // (config.rollout * config.environments)

    def rate(updates: jax.Array) -> jax.Array:
        remaining = 1 - (updates // per_rollout) / rollouts
        return config.learning_rate * jnp.maximum(remaining, 0.0)

    return clipped(optax.adam(rate, eps=1e-5), config.max_gradient_norm)


def make_system(config: ConfigDict) -> System:
    """Returns what is fixed during a run of a config."""
    environment = make_environment(config.env)
    widths, dtype = tuple(config.widths), jnp.dtype(config.dtype)
    return System(
        environment=environment,
        network=ActorCritic(environment.actions, widths, dtype),
        optimizer=make_optimizer(config),
        environments=config.environments,
        rollout=config.rollout,
        epochs=config.epochs,
        batch_size=config.batch_size,
        gamma=config.gamma,
        decay=config.gae_lambda,
        clip=config.clip,
        entropy_weight=config.entropy_weight,
        value_weight=config.value_weight,
    )


def check_settings(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError, naming the key, if a setting cannot be used."""
    ranges = {
        **dict.fromkeys(("rollout", "epochs", "annealing_steps"), (1, math.inf)),
        **dict.fromkeys(("clip", "entropy_weight", "value_weight"), (0, math.inf)),
        "batch_size": (2, math.inf),  # advantages are divided by their deviation
        "gae_lambda": (0, 1),
    }
    check(config, mesh, CHOICES, {**RANGES, **ranges})
    steps = config.rollout * config.environments
    if steps % config.batch_size:
        raise UserError(
            f"config.batch_size={config.batch_size}: must divide the rollout * environments = "
            f"{steps} steps of a rollout"
        )
    for key in ("steps_per_round", "annealing_steps"):
        if config[key] % steps:
            raise UserError(
                f"config.{key}={config[key]}: must be a multiple of the rollout * environments = "
                f"{steps} steps of a rollout"
            )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config.

    Raises:
        UserError: a setting cannot be used; the message says which.
    """
    check_settings(config, mesh)
    system = make_system(config)
    return open_training(
        config,
        mesh,
        agent=make_agent(system),
        init=functools.partial(initial, system=system),
        step=functools.partial(step, system=system),
        moves=(AGENT,),
        steps=config.steps_per_round // (config.rollout * config.environments),
        per_program=PER_PROGRAM,
    )


def make_agent(system: System) -> Agent:
    """Returns how the trained policy acts: it takes the most likely action."""

    def prefer(players: Players, observations: jax.Array) -> jax.Array:
        logits, _ = system.outputs(players[AGENT], observations)
        return logits

    return Agent(system.environment, prefer, measure)


DECLARATION = declare(make, lambda config: make_agent(make_system(config)))
