"""Conditional generative adversarial network (Mirza and Osindero 2014).

Both players are given the class y: G makes a sample of that class of a latent code z, and D says
whether a sample is real, given that it is supposed to be of class y. In every step, on a minibatch
of real samples x with their classes y:

    D takes a step down  -log s(D(x, y)) - log(1 - s(D(G(z, y), y)))
    G takes a step down  -log s(D(G(z, y), y))              with new z

s is the sigmoid. Equation 2 of the paper has log(1 - s(D(G(z, y), y))) for G, which loses its
gradient when D rejects every sample; the loss above is what Goodfellow et al. 2014 train with.

The class enters G as a one-hot row after the latent code, and D as a channel for each class that is
1 or 0 everywhere. Without convolutions D gets the one-hot row, times the square root of how many
values a sample has: a 1 among hundreds of pixels is hardly noticed (the paper gives x and y a layer
each), and G ignores a class that D does not notice.
"""

import dataclasses
import functools

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
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D.
        optimizers: the optimizers of G and D.
        classes: the number of classes.
        convolutional: whether D takes images; otherwise it takes rows of values.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    classes: int
    convolutional: bool
    average_decay: float


def shown(system: System, samples: jax.Array, conditions: jax.Array) -> jax.Array:
    """Returns samples and one-hot classes as D sees them: [B, H, W, C + classes], or rows."""
    if not system.convolutional:
        values = samples.reshape(len(samples), -1)
        return jnp.concatenate([values, values.shape[-1] ** 0.5 * conditions], axis=-1)
    maps = jnp.broadcast_to(conditions[:, None, None], (*samples.shape[:-1], system.classes))
    return jnp.concatenate([samples, maps], axis=-1)


def discriminator_step(
    run_state: RunState, real: jax.Array, conditions: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    generator, key = run_state.players["generator"], step_key(run_state)
    fake, _ = pair.generate(system.networks, generator, key, len(real), conditions)

    def loss(players: Players) -> LossResult:
        (on_real, on_fake), state = pair.judge(
            system.networks,
            players["discriminator"],
            shown(system, real, conditions),
            shown(system, fake, conditions),
        )
        value = LOSS.discriminator(on_real, on_fake)
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(run_state: RunState, conditions: jax.Array, *, system: System) -> StepResult:
    """Moves G once, on a sample of each class given. Returns the state, and `g_loss` []."""
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        fake, state = pair.generate(
            system.networks, players["generator"], key, len(conditions), conditions
        )
        seen = shown(system, fake, conditions)
        (on_fake,), _ = pair.judge(system.networks, players["discriminator"], seen)
        value = LOSS.generator(on_fake)
        return value, ({"generator": state}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    real, labels = gather(data, rows[0])
    conditions = jax.nn.one_hot(labels, system.classes)
    run_state, of_discriminator = discriminator_step(run_state, real, conditions, system=system)
    run_state, of_generator = generator_step(run_state, conditions, system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...], classes: int) -> System:
    """Returns the system of a config for samples of a shape."""
    return System(
        networks=pair.make_networks(config, shape),
        optimizers=pair.make_optimizers(config),
        classes=classes,
        convolutional=config.network == "dcgan",
        average_decay=config.average_decay,
    )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES, labelled=True)
    classes = len(training.train.classes)
    system = make_system(config, training.shape, classes)
    example = jnp.zeros((1, *training.shape)), jnp.zeros((1, classes))
    seen, decay = shown(system, *example).shape[1:], system.average_decay
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, decay, classes, seen),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape, classes),
        conditional=True,
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...], classes: int) -> Sample:
    """Returns a function that draws from the generator of a config, from the classes asked for."""
    return pair.sampler(pair.make_networks(config, shape), classes)


DECLARATION = declare(make, make_sample, conditional=True)
