"""Wasserstein GAN (Arjovsky, Chintala and Bottou, ICML 2017), whose critic has clipped weights.

The critic f estimates how far the generated distribution q is from the real one p. By duality

    K W(p, q) = sup over K-Lipschitz f of (E f(x) - E f(G(z)))

with the difference in parentheses, and f is K-Lipschitz for some K because its weights are bounded.
Algorithm 1, for each update of G:

    critic_steps times, each on a new minibatch:
        f takes a step down the loss E f(G(z)) - E f(x)
        every parameter of f is clipped to [-clip, clip]
    G takes a step down the loss -E f(G(z)), with new z

The output of f is any number: neither a sigmoid nor a logarithm belongs to these losses. The
optimizer is RMSprop, because the authors found a clipped critic unstable with momentum (section 3).

The authors' code, unlike the paper, trains f longer before the first 25 updates of G and before
every 500th, so that f is near its optimum: `config.thorough_critic_steps` times. The minibatches
beyond the first `critic_steps` are drawn with replacement.
"""

import dataclasses
import functools
import logging
import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES, check_combination
from jaxgan.methods.regularisers import clip_weights

CODES, ROWS = range(2)
"""Streams of random numbers in a step."""
FIRST, EVERY = 25, 500
"""The critic is trained longer before the first updates of G and before every 500th."""
LOSS = LOSSES["wasserstein"]
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and of the critic, the player "discriminator".
        optimizers: the optimizers of both players.
        clip: the limit of the critic's parameters.
        more: additional updates of the critic where it is trained longer; 0: never.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    clip: float
    more: int
    average_decay: float


def critic_step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the critic once, on one minibatch, and clips it. Returns the state and `d_loss` []."""
    real, _ = gather(data, rows)
    key = step_key(state, CODES)
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(real))

    def loss(players: Players) -> LossResult:
        critic = players["discriminator"]
        (on_real, on_fake), critic_state = pair.judge(system.networks, critic, real, fake)
        value = LOSS.discriminator(on_real, on_fake)
        return value, ({"discriminator": critic_state}, {"d_loss": value})

    moving = {"discriminator": system.optimizers["discriminator"]}
    state, metrics = descend(state, moving, loss)
    critic = state.players["discriminator"]
    critic = dataclasses.replace(critic, params=clip_weights(critic.params, system.clip))
    players = {**state.players, "discriminator": critic}
    return dataclasses.replace(state, players=players), metrics


def train_longer(state: RunState, size: int, data: Resident, *, system: System) -> RunState:
    """Moves the critic `system.more` times, if that is due before the next update of G."""

    def move(state: RunState, _: None) -> StepResult:
        rows = jax.random.randint(step_key(state, ROWS), (size,), 0, len(data.values))
        return critic_step(state, rows, data, system=system)

    updates = state.memory["generator_updates"]
    due = (updates < FIRST) | (updates % EVERY == 0)
    train = functools.partial(jax.lax.scan, move, length=system.more)
    return jax.lax.cond(due, lambda state: train(state)[0], lambda state: state, state)


def step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the critic once for each row, then G. Returns the state and the last loss of each."""
    size = rows.shape[1]
    if system.more:
        state = train_longer(state, size, data, system=system)
    move = functools.partial(critic_step, data=data, system=system)
    state, of_critic = jax.lax.scan(move, state, rows)
    key = step_key(state, CODES)
    state, of_generator = pair.move_generator(system, state, LOSS.generator, key, size)
    memory = {"generator_updates": state.memory["generator_updates"] + 1}
    metrics = {"d_loss": of_critic["d_loss"][-1], **of_generator}
    return dataclasses.replace(state, memory=memory), metrics


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    ranges = {"clip": (1e-6, math.inf), "rmsprop_decay": (0, 1), "momentum": (0, 1)}
    ranges |= {"critic_steps": (1, math.inf), "thorough_critic_steps": (0, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.NETWORK_RANGES | ranges)
    if warning := check_combination("wasserstein", clip=config.clip, momentum=config.momentum):
        log.warning(warning)
    system = System(
        networks=pair.make_networks(config, training.shape),
        optimizers=pair.make_rmsprop(config),
        clip=config.clip,
        more=max(config.thorough_critic_steps - config.critic_steps, 0),
        average_decay=config.average_decay,
    )
    memory = {"generator_updates": jnp.zeros((), jnp.int32)}
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay, memory=memory),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        minibatches=config.critic_steps,
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape))


DECLARATION = declare(make, make_sample)
