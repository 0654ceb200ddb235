"""Loss-sensitive GAN (Qi 2017) and its generalisation, GLS-GAN.

The discriminator is a loss function L, an energy that is low for real samples and high for
generated ones. It needs to tell a pair apart only by a margin, which is small if the generated
sample is already near the real one. In every step L moves once, then G, on one minibatch of pairs
of a real sample x and an independent generated one G(z):

    margin  = tau |x - G(z)|_1, the sum over all values; a constant of the step
    a       = margin + L(x) - L(G(z)), by how much the pair misses its margin
    L takes a step down  real_weight E L(x) + E max(a, nu a)
    G takes a step down  E L(G(z)), with new z

With nu = 0 the cost is the hinge max(a, 0) of the paper, without which the objective has no lower
bound. A nu from 0 to 1 is GLS-GAN; with nu = 1 the gradients are those of the Wasserstein GAN with
critic -L. Weight decay on both networks keeps L from growing without limit.

This is not the least-squares GAN, although both are abbreviated LS-GAN.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES, pair_margin

CODES = 0
"""Stream of random numbers in a step."""
LOSS = LOSSES["loss_sensitive"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and of L, the player "discriminator".
        optimizers: the optimizers of both players.
        tau: the margin of two samples at an L1 distance of 1.
        nu: the slope of the cost of pairs that keep their margin.
        real_weight: the weight of the mean energy of real samples.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    tau: float
    nu: float
    real_weight: float
    average_decay: float


def loss_step(state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves L once.

    Returns:
        The state; `d_loss` []; and `satisfied` [], the share of pairs with 0.9 of their margin.
    """
    key = step_key(state, CODES)
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(real))
    margin = pair_margin(real, fake, system.tau)

    def loss(players: Players) -> LossResult:
        judge = players["discriminator"]
        (on_real, on_fake), judge_state = pair.judge(system.networks, judge, real, fake)
        value = LOSS.discriminator(
            on_real, on_fake, margin=margin, nu=system.nu, real_weight=system.real_weight
        )
        satisfied = jnp.mean(on_fake - on_real >= 0.9 * margin)
        return value, ({"discriminator": judge_state}, {"d_loss": value, "satisfied": satisfied})

    return descend(state, {"discriminator": system.optimizers["discriminator"]}, loss)


def step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves L, then G. Returns the state and the metrics of both."""
    real, _ = gather(data, rows[0])
    state, of_discriminator = loss_step(state, real, system=system)
    key = step_key(state, CODES)
    state, of_generator = pair.move_generator(system, state, LOSS.generator, key, len(real))
    return state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    ranges = {"tau": (0, math.inf), "nu": (0, 1), "real_weight": (0, math.inf)}
    ranges |= {"weight_decay": (0, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | ranges)
    system = System(
        networks=pair.make_networks(config, training.shape),
        optimizers=make_optimizers(config),
        tau=config.tau,
        nu=config.nu,
        real_weight=config.real_weight,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
    )


def make_optimizers(config: ConfigDict) -> pair.Optimizers:
    """Returns Adam for both players, whose gradients include those of the weight decay."""
    decay = optax.add_decayed_weights(config.weight_decay)
    return {name: optax.chain(decay, adam) for name, adam in pair.make_optimizers(config).items()}


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape))


DECLARATION = declare(make, make_sample)
