"""InfoGAN (Chen et al., NeurIPS 2016): a GAN whose codes explain its samples.

G makes a sample of a latent code z and of codes c: a category, and numbers from U[-1, 1]. Q shares
D's layers (`networks.recognition`) and guesses c from the sample. L_I = E log Q(c|G(z, c)) + H(c)
is at most the mutual information I(c; G(z, c)) (`networks.codes.bounds`), and the game is min over
G and Q, max over D, of V(D, G) - weight L_I. In every step:

    D and Q take a step down  -log s(D(x)) - log(1 - s(D(G(z, c)))) - weight L_I
    G takes a step down       -log s(D(G(z, c)))                    - weight L_I      with new z, c

The layers that D and Q share follow both losses, as in the authors' code. Validation assigns each
held-out image to the category that Q finds most likely (`eval/clustering_accuracy`).
"""

import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.clustering import measure_clustering
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import codes, pair, recognition
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed; the first output of D is its own, all others are Q's guesses.

    Attributes:
        prior: the prior of the codes.
        weights: the weights of the bounds of the categorical and of the continuous codes.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    prior: codes.Prior
    weights: codes.Bounds
    average_decay: float


def generate(
    system: System, run_state: RunState, generator: Player, count: int
) -> tuple[jax.Array, codes.Codes, Any]:
    """Returns samples [count, *shape], their codes, and G's state."""
    latent_key, code_key = jax.random.split(step_key(run_state))
    drawn = codes.draw(system.prior, code_key, count)
    given = codes.conditions(system.prior, drawn)
    fake, state = pair.generate(system.networks, generator, latent_key, count, given)
    return fake, drawn, state


def discriminator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D and Q once. Returns the state, `d_loss` [] without the bounds, and the bounds []."""
    fake, drawn, _ = generate(system, run_state, run_state.players["generator"], len(real))

    def loss(players: Players) -> LossResult:
        player = players["discriminator"]
        (on_real, on_fake), state = pair.judge(system.networks, player, real, fake)
        value = LOSS.discriminator(on_real[:, 0], on_fake[:, 0])
        found = codes.bounds(system.prior, on_fake[:, 1:], drawn)
        named = {f"{name}_bound": bound for name, bound in found._asdict().items()}
        total = value - codes.weighted(found, system.weights)
        return total, ({"discriminator": state}, {"d_loss": value, **named})

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss` [] without the bounds."""

    def loss(players: Players) -> LossResult:
        fake, drawn, state = generate(system, run_state, players["generator"], count)
        (on_fake,), _ = pair.judge(system.networks, players["discriminator"], fake)
        value = LOSS.generator(on_fake[:, 0])
        bound = codes.weighted(codes.bounds(system.prior, on_fake[:, 1:], drawn), system.weights)
        return value - bound, ({"generator": state}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D with Q, then G. Returns the state and the metrics of both steps."""
    real, _ = gather(data, rows[0])
    run_state, of_discriminator = discriminator_step(run_state, real, system=system)
    run_state, of_generator = generator_step(run_state, len(real), system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...]) -> System:
    """Returns the system of a config for samples of a shape."""
    prior = codes.Prior(config.categories, config.continuous)
    networks = recognition.make_networks(config, shape, prior.width)
    weights = codes.Bounds(config.category_weight, config.continuous_weight)
    return System(networks, pair.make_optimizers(config), prior, weights, config.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | codes.RANGES)
    system = make_system(config, training.shape)
    given = system.networks, system.optimizers, system.average_decay, system.prior.width
    return training.recipe(
        init=pair.initial(*given),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config, with random codes."""
    system = make_system(config, shape)

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        latent_key, code_key = jax.random.split(key)
        drawn = codes.draw(system.prior, code_key, len(labels))
        given = codes.conditions(system.prior, drawn)
        return pair.deploy(system.networks, generator, latent_key, given)

    return sample


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures how well Q's categories agree with held-out classes."""
    system = make_system(config, valid.shape)
    network = system.networks.discriminator

    def guess(discriminator: Player, images: jax.Array) -> jax.Array:
        outputs: Any = network.apply(discriminator.variables, images, train=False)
        return jax.numpy.asarray(outputs[:, 1 : 1 + system.prior.categories])

    return measure_clustering(guess, "discriminator", valid, mesh)


DECLARATION = declare(make, make_sample, make_measure=make_measure)
