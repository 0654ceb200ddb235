"""WGAN with gradient penalty (Gulrajani et al., NeurIPS 2017).

As in the Wasserstein GAN, the critic f estimates how far the generated samples are from the real
ones. What keeps it near 1-Lipschitz is not a clip of its weights but a penalty on its gradient.
Algorithm 1, for each update of G:

    critic_steps times, each on a new minibatch:
        y = e x + (1 - e) G(z), with an e from U[0, 1] for each pair of samples
        f takes a step down  E f(G(z)) - E f(x) + gradient_penalty E (|grad f(y)| - 1)^2
    G takes a step down  -E f(G(z)), with new z

The norm is that of one sample's gradient, so the output for a sample must not depend on the others
of its batch: batch normalisation in the critic is refused, layer normalisation is not. The penalty
is at points between real and generated samples, not at real ones, and it is differentiated exactly,
not by finite differences. Its weight depends on the data: 10 is for images; the authors use 0.1
for points in the plane, where 10 fails.
"""

import dataclasses
import functools
import math

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES, check_combination, gradient_penalty
from jaxgan.methods.regularisers import slopes_between

CODES, BETWEEN = range(2)
"""Streams of random numbers in a step."""
LOSS = LOSSES["wasserstein"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and of the critic, the player "discriminator".
        optimizers: the optimizers of both players.
        penalty: the weight of the gradient penalty.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    penalty: float
    average_decay: float


def slopes(
    networks: pair.Networks, critic: Player, real: jax.Array, fake: jax.Array, key: jax.Array
) -> jax.Array:
    """Returns the norms [B] of the critic's gradient at random points between pairs of samples."""

    def outputs(samples: jax.Array) -> jax.Array:
        (found,), _ = pair.judge(networks, critic, samples)
        return found

    return slopes_between(outputs, real, fake, key)


def critic_step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the critic once, on one minibatch.

    Returns:
        The state; `d_loss` [], without the penalty, so that -d_loss estimates the distance; and
        `slope` [], the mean norm of the gradient, which the penalty pulls to 1.
    """
    real, _ = gather(data, rows)
    key = step_key(state, CODES)
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(real))

    def loss(players: Players) -> LossResult:
        critic, key = players["discriminator"], step_key(state, BETWEEN)
        (on_real, on_fake), critic_state = pair.judge(system.networks, critic, real, fake)
        value = LOSS.discriminator(on_real, on_fake)
        norms = slopes(system.networks, critic, real, fake, key)
        metrics = {"d_loss": value, "slope": norms.mean()}
        value += system.penalty * gradient_penalty(norms)
        return value, ({"discriminator": critic_state}, metrics)

    return descend(state, {"discriminator": system.optimizers["discriminator"]}, loss)


def step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the critic once for each row, then G. Returns the state and their last metrics."""
    move = functools.partial(critic_step, data=data, system=system)
    state, of_critic = jax.lax.scan(move, state, rows)
    key, count = step_key(state, CODES), rows.shape[1]
    state, of_generator = pair.move_generator(system, state, LOSS.generator, key, count)
    return state, {name: values[-1] for name, values in of_critic.items()} | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    ranges = {"critic_steps": (1, math.inf), "gradient_penalty": (0, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | ranges)
    check_combination(
        "wasserstein",
        gradient_penalty=config.gradient_penalty,
        batch_norm=config.discriminator.get("normalisation") == "batch",
    )
    system = System(
        networks=pair.make_networks(config, training.shape),
        optimizers=pair.make_optimizers(config),
        penalty=config.gradient_penalty,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        minibatches=config.critic_steps,
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape))


DECLARATION = declare(make, make_sample)
