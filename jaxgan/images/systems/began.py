"""BEGAN, boundary equilibrium GAN (Berthelot, Schumm and Metz 2017).

The discriminator is an autoencoder, and its loss for an image is the mean absolute error of the
reconstruction, L(x) = mean |x - D(x)|. In every step, on one minibatch:

    D takes a step down  E L(x) - k E L(G(z))
    G takes a step down  E L(G(z)), with new z
    k <- k + lambda_k (gamma E L(x) - E L(G(z))), clipped to [0, 1]

k starts at 0, where D only learns to reconstruct, and balances the players such that
E L(G(z)) = gamma E L(x). gamma, from 0 to 1, is the diversity ratio: with a low value D attends
more to real images, and samples become better but less varied. Without the clip, which a known
implementation lacks, k can change the sign of D's second term.

    M = E L(x) + |gamma E L(x) - E L(G(z))|

measures convergence: it is low when reconstructions are good and the players balanced. The authors
halve the learning rates when M stalls; here they are halved every `config.halve_every` steps.
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
from jaxgan.images.networks import autoencoder, pair
from jaxgan.images.training import open_training

CODES = 0
"""Stream of random numbers in a step."""
GENERATORS = pair.GENERATORS | {"began": autoencoder.Decoder}
AUTOENCODERS = autoencoder.AUTOENCODERS | {"began": autoencoder.Autoencoder}
make_networks = functools.partial(
    pair.make_networks, generators=GENERATORS, discriminators=AUTOENCODERS
)


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D; D returns reconstructions and codes.
        optimizers: the optimizers of G and D.
        gamma: the diversity ratio.
        lambda_k: the learning rate of k.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    gamma: float
    lambda_k: float
    average_decay: float


def error(samples: jax.Array, made: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Returns E L [], given samples and what D made of them: reconstructions and codes."""
    return jnp.mean(jnp.abs(samples - made[0]))


def discriminator_step(state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [] and `d_real` [], which is E L(x)."""
    key, k = step_key(state, CODES), state.memory["k"]
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(real))

    def loss(players: Players) -> LossResult:
        judge = players["discriminator"]
        (of_real, of_fake), own = pair.judge(system.networks, judge, real, fake)
        on_real = error(real, of_real)
        value = on_real - k * error(fake, of_fake)
        return value, ({"discriminator": own}, {"d_loss": value, "d_real": on_real})

    return descend(state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state and `g_loss` [], which is E L(G(z))."""

    def loss(players: Players) -> LossResult:
        key = step_key(state, CODES)
        fake, own = pair.generate(system.networks, players["generator"], key, count)
        (of_fake,), _ = pair.judge(system.networks, players["discriminator"], fake)
        value = error(fake, of_fake)
        return value, ({"generator": own}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(state, moving, loss, system.average_decay)


def step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, G and k. Returns the state, the metrics of both players, `k` and `m_global`."""
    real, _ = gather(data, rows[0])
    state, of_discriminator = discriminator_step(state, real, system=system)
    state, of_generator = generator_step(state, len(real), system=system)
    on_real, on_fake = of_discriminator["d_real"], of_generator["g_loss"]
    balance = system.gamma * on_real - on_fake
    k = jnp.clip(state.memory["k"] + system.lambda_k * balance, 0, 1)
    metrics = {"k": k, "m_global": on_real + jnp.abs(balance)}
    state = dataclasses.replace(state, memory={"k": k})
    return state, of_discriminator | of_generator | metrics


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    ranges = {"gamma": (0, 1), "lambda_k": (0, 1), "halve_every": (1, math.inf)}
    choices = pair.CHOICES | {"network": tuple(GENERATORS)}
    training = open_training(config, mesh, choices, pair.RANGES | ranges)
    system = System(
        networks=make_networks(config, training.shape),
        optimizers=make_optimizers(config),
        gamma=config.gamma,
        lambda_k=config.lambda_k,
        average_decay=config.average_decay,
    )
    memory = {"k": jnp.zeros(())}
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay, memory=memory),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
    )


def make_optimizers(config: ConfigDict) -> pair.Optimizers:
    """Returns Adam for both players, whose learning rates are halved every `halve_every` steps."""
    halved = optax.scale_by_schedule(
        optax.exponential_decay(1.0, config.halve_every, 0.5, staircase=True)
    )
    return {name: optax.chain(adam, halved) for name, adam in pair.make_optimizers(config).items()}


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(make_networks(config, shape))


DECLARATION = declare(make, make_sample)
