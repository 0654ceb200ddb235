"""Energy-based GAN with an autoencoder (Zhao, Mathieu and LeCun, ICLR 2017).

The discriminator's output for a sample is the energy D(x) = |Dec(Enc(x)) - x|, the Euclidean
distance of the sample from its reconstruction, which is at least 0. In every step D moves once,
then G, on one minibatch:

    D takes a step down  E D(x) + E max(0, margin - D(G(z)))
    G takes a step down  E D(G(z)) + pull_away PT(Enc(G(z))), with new z

The pull-away term PT is the mean, over all pairs of different samples of the batch, of the square
of the cosine between their codes (section 2.4). It makes codes orthogonal, so that samples do not
all become the same. Known implementations leave out the square, include the pair of a sample with
itself, or normalise along the batch; it concerns only G.

When G follows the energy, both the sample and its reconstruction depend on G, and the gradient goes
through both. The margin is an energy, so it depends on the size of an image: the paper has 10 for
MNIST, 20 for faces and 80 for bedrooms of 64 x 64.
"""

import dataclasses
import functools
import math

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    step_key,
)
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair
from jaxgan.images.networks.autoencoder import AUTOENCODERS
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.regularisers import norms, pull_away

CODES = 0
"""Stream of random numbers in a step."""
LOSS = LOSSES["margin"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D; D returns reconstructions and codes.
        optimizers: the optimizers of G and D.
        margin: the energy of a generated sample up to which D raises it.
        pull_away: the weight of the pull-away term.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    margin: float
    pull_away: float
    average_decay: float


def judge(
    system: System, discriminator: Player, *batches: jax.Array
) -> tuple[list[jax.Array], list[jax.Array], PyTree]:
    """Returns the energies [B] and the codes [B, code] of batches, and D's state."""
    seen, state = pair.judge(system.networks, discriminator, *batches)
    energies = [norms(made - batch) for (made, _), batch in zip(seen, batches, strict=True)]
    return energies, [codes for _, codes in seen], state


def discriminator_step(state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and the mean energies `d_real` and `d_fake`."""
    key = step_key(state, CODES)
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(real))

    def loss(players: Players) -> LossResult:
        (on_real, on_fake), _, own = judge(system, players["discriminator"], real, fake)
        value = LOSS.discriminator(on_real, on_fake, margin=system.margin)
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({"discriminator": own}, metrics)

    return descend(state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, `g_loss` [] and `pull_away` []."""

    def loss(players: Players) -> LossResult:
        key = step_key(state, CODES)
        fake, own = pair.generate(system.networks, players["generator"], key, count)
        (on_fake,), (codes,), _ = judge(system, players["discriminator"], fake)
        term = pull_away(codes)
        value = LOSS.generator(on_fake) + system.pull_away * term
        return value, ({"generator": own}, {"g_loss": value, "pull_away": term})

    moving = {"generator": system.optimizers["generator"]}
    return descend(state, moving, loss, system.average_decay)


def step(state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both."""
    real, _ = gather(data, rows[0])
    state, of_discriminator = discriminator_step(state, real, system=system)
    state, of_generator = generator_step(state, len(real), system=system)
    return state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    ranges = {"margin": (1e-6, math.inf), "pull_away": (0, math.inf)}
    ranges |= {"batch_size": (2, math.inf), "discriminator.code": (2, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | ranges)
    system = System(
        networks=pair.make_networks(config, training.shape, discriminators=AUTOENCODERS),
        optimizers=pair.make_optimizers(config),
        margin=config.margin,
        pull_away=config.pull_away,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape, discriminators=AUTOENCODERS))


DECLARATION = declare(make, make_sample)
