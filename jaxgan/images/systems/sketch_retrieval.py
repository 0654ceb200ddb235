"""Retrieval by sketches with a GAN's discriminator (Creswell and Bharath 2016).

A GAN learns images of the data's kind without labels. Its discriminator without the last layer is
then an encoder: a sketch retrieves the images whose features have the smallest angle to its own.

Sketches are the edges of images (`data.edges`). The first `config.sketches` of every minibatch are
replaced by their edges; the paper trains on sketches only, which is `config.sketches` = 1. D sees
all samples with Gaussian noise n. In every step D moves once, then G:

    D takes a step down  -log s(D(x + n)) - log(1 - s(D(G(z) + n)))
    G takes a step down  -log s(D(G(z) + n)),  with new z

The noise keeps D from recognising sketches by their pixels, which have only two values.

Validation retrieves held-out images by the edges of other held-out images. `eval/p10` is the share
of the ten nearest photos that have the class of the sketch, and `eval/p10_edges` that of the ten
nearest edges of photos. eval.py compares with raw pixels, principal components and the untrained
network, and distorts the sketches; `jaxgan.images.retrieval` does so for other GANs.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import Player, RunState, StepResult, step_key
from jaxgan.images import retrieval
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.edges import sketch
from jaxgan.images.evaluation.retrieval import measure_encoder
from jaxgan.images.evaluation.validation import Sample, of_players
from jaxgan.images.networks import pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.regularisers import instance_noise

LOSS = LOSSES["non_saturating"]
CODES, NOISE_ON_REAL, NOISE_ON_FAKE = range(3)
"""Streams of random numbers in a step."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D.
        optimizers: the optimizers of G and D.
        sketches: the share of a minibatch that is edges.
        noise: the standard deviation of the noise that D sees samples with.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    sketches: float
    noise: float
    average_decay: float


def with_sketches(real: jax.Array, share: float) -> jax.Array:
    """Returns images [B, H, W, C], of which the first share, rounded, are their edges."""
    first = jnp.arange(len(real)) < round(share * len(real))
    return jnp.where(first[:, None, None, None], sketch(real), real)


def discriminator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    key = functools.partial(step_key, run_state)
    fake, _ = pair.generate(system.networks, run_state.players["generator"], key(CODES), len(real))
    real = instance_noise(real, system.noise, key(NOISE_ON_REAL))
    fake = instance_noise(fake, system.noise, key(NOISE_ON_FAKE))
    return pair.move_discriminator(system, run_state, LOSS.discriminator, real, fake)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss` []."""
    key = functools.partial(step_key, run_state)
    shown = functools.partial(instance_noise, sd=system.noise, key=key(NOISE_ON_FAKE))
    return pair.move_generator(system, run_state, LOSS.generator, key(CODES), count, shown)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both."""
    real = with_sketches(gather(data, rows[0])[0], system.sketches)
    run_state, of_discriminator = discriminator_step(run_state, real, system=system)
    run_state, of_generator = generator_step(run_state, len(real), system=system)
    return run_state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    ranges = {"sketches": (0, 1), "noise": (0, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | ranges)
    system = System(
        networks=pair.make_networks(config, training.shape),
        optimizers=pair.make_optimizers(config),
        sketches=config.sketches,
        noise=config.noise,
        average_decay=config.average_decay,
    )

    def encode(discriminator: Player, x: jax.Array) -> jax.Array:
        return pair.with_features(system.networks.discriminator, discriminator.variables, x)[1]

    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        evaluate=of_players(measure_encoder(encode, "discriminator", training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape))


DECLARATION = dataclasses.replace(declare(make, make_sample), evaluate=retrieval.evaluate)
