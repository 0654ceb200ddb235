"""Generative recurrent adversarial network (Im, Kim, Jiang and Memisevic 2016).

G draws an image in T steps, `config.generator.steps`. With c_0 = 0 and h = tanh(W z), at every step

    c_t = f([h, tanh g(c_(t-1))])    G(z) = sigmoid(c_1 + ... + c_T), scaled to -1..1

The encoder g and the decoder f are the same networks at every step (`networks.recurrent`). All
that a step receives from the one before is its change c_t, encoded by g. With T = 1 there is no
step before, and G is an ordinary generator, which is what the paper compares larger T with.

D and both losses are those of a GAN. In every step D moves once, then G, on one minibatch:

    D takes a step down the loss of D on D(x) and D(G(z))
    G takes a step down the loss of G on D(G(z)), with new z

The paper compares two trained GANs by letting each discriminator judge the samples of the other
one: `python -m jaxgan.images.battle RUN RUN`, for runs of this and of other systems.
"""

import dataclasses
import functools
import math

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import RunState, StepResult, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair, recurrent
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D.
        optimizers: the optimizers of G and D.
        loss: a name in `LOSSES`.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    loss: str
    average_decay: float


def discriminator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    generator, key = run_state.players["generator"], step_key(run_state)
    fake, _ = pair.generate(system.networks, generator, key, len(real))
    loss = LOSSES[system.loss].discriminator
    return pair.move_discriminator(system, run_state, loss, real, fake)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both; G's is `g_loss` []."""
    real, _ = gather(data, rows[0])
    run_state, of_discriminator = discriminator_step(run_state, real, system=system)
    loss, key = LOSSES[system.loss].generator, step_key(run_state)
    run_state, of_generator = pair.move_generator(system, run_state, loss, key, len(real))
    return run_state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    choices = {**pair.CHOICES, "loss": ("minimax", "non_saturating", "least_squares", "hinge")}
    if config.network == "dcgan":
        choices["generator.normalisation"] = ("layer", "none")
    ranges = {"generator.steps": (1, math.inf), "generator.code": (2, math.inf)}
    training = open_training(config, mesh, choices, pair.RANGES | ranges)
    system = System(
        networks=make_networks(config, training.shape),
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
    )


def make_networks(config: ConfigDict, shape: tuple[int, ...]) -> pair.Networks:
    """Returns the networks of a config for samples of a shape."""
    return pair.make_networks(config, shape, generators=recurrent.GENERATORS)


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(make_networks(config, shape))


DECLARATION = declare(make, make_sample)
