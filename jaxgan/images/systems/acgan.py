"""Auxiliary classifier GAN (Odena, Olah and Shlens, ICML 2017).

G makes a sample of a class c of a latent code z. D does not see the class; it says whether a sample
is real, and, by further outputs of the same network, of which class it is. In every step, on a
minibatch of real samples x with their classes y, and classes c that are drawn uniformly:

    D takes a step down  -log s(D(x)) - log(1 - s(D(G(z, c))))  -  log p(y|x) - log p(c|G(z, c))
    G takes a step down  -log s(D(G(z, c)))  -  log p(c|G(z, c))                      with new z

The paper writes L_S for the log-likelihood of the source and L_C for that of the class: D climbs
L_S + L_C and G climbs L_C - L_S. Both players want the class to be recognised, on real and on
generated samples. G's part of -L_S has the non-saturating form of Goodfellow et al. 2014.

G is not rewarded for variety: it may make a few samples of each class that are easy to recognise.
Validation therefore reports how far samples of one class are from each other
(`eval/class_diversity`) besides the classes that a classifier finds (`eval/label_agreement`).
"""

import dataclasses
import functools

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
from jaxgan.methods.adversarial import LOSSES

CODES, CLASSES = range(2)
"""Streams of random numbers in a step."""
LOSS = LOSSES["non_saturating"]
cross_entropy = optax.softmax_cross_entropy_with_integer_labels


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D; D's first output is for the source, all others are for
            the classes.
        optimizers: the optimizers of G and D.
        classes: the number of classes.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    classes: int
    average_decay: float


def generate(
    system: System, run_state: RunState, players: Players, count: int
) -> tuple[jax.Array, jax.Array, object]:
    """Returns samples [count, *shape], their classes int32 [count], and G's state."""
    shape, classes = (count,), system.classes
    labels = jax.random.randint(step_key(run_state, CLASSES), shape, 0, classes)
    conditions = jax.nn.one_hot(labels, classes)
    key = step_key(run_state, CODES)
    fake, state = pair.generate(system.networks, players["generator"], key, count, conditions)
    return fake, labels, state


def discriminator_step(
    run_state: RunState, real: jax.Array, labels: jax.Array, *, system: System
) -> StepResult:
    """Moves D once.

    Returns:
        The state; and `d_loss` [], its part `class_loss` for the classes, and how many of
        the real samples D assigns to their class, `accuracy`.
    """
    fake, fake_labels, _ = generate(system, run_state, run_state.players, len(real))

    def loss(players: Players) -> LossResult:
        (on_real, on_fake), state = pair.judge(
            system.networks, players["discriminator"], real, fake
        )
        of_classes = (
            cross_entropy(on_real[:, 1:], labels).mean()
            + cross_entropy(on_fake[:, 1:], fake_labels).mean()
        )
        value = LOSS.discriminator(on_real[:, 0], on_fake[:, 0]) + of_classes
        accuracy = jnp.mean(on_real[:, 1:].argmax(axis=-1) == labels)
        metrics = {"d_loss": value, "class_loss": of_classes, "accuracy": accuracy}
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss` []."""

    def loss(players: Players) -> LossResult:
        fake, labels, state = generate(system, run_state, players, count)
        (on_fake,), _ = pair.judge(system.networks, players["discriminator"], fake)
        of_classes = cross_entropy(on_fake[:, 1:], labels).mean()
        value = LOSS.generator(on_fake[:, 0]) + of_classes
        return value, ({"generator": state}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    real, labels = gather(data, rows[0])
    run_state, of_discriminator = discriminator_step(run_state, real, labels, system=system)
    run_state, of_generator = generator_step(run_state, len(real), system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...], classes: int) -> System:
    """Returns the system of a config for samples of a shape."""
    networks = pair.make_networks(config, shape, outputs=1 + classes)
    return System(networks, pair.make_optimizers(config), classes, config.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES, labelled=True)
    classes = len(training.train.classes)
    system = make_system(config, training.shape, classes)
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay, classes),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape, classes),
        conditional=True,
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...], classes: int) -> Sample:
    """Returns a function that draws from the generator of a config, from the classes asked for."""
    return pair.sampler(pair.make_networks(config, shape), classes)


DECLARATION = declare(make, make_sample, conditional=True)
