"""Composite GAN (Kwak and Zhang 2016), which learns layers without being shown any.

G makes an image of several layers. A recurrent network reads a latent code for each of them, and
each has its own generator of colours C_t and opacities alpha_t:

    h_t = LSTM(z_t, h_(t-1))    C_t, alpha_t = G_t(h_t)    O_t = (1 - alpha_t) O_(t-1) + alpha_t C_t

D only sees the last image O_n; O_0 is black. In every step D moves once, then G, on one minibatch:

    D takes a step down  -log s(D(x)) - log(1 - s(D(O_n)))
    G takes a step down  -log s(D(O_n)) + a |u - mean alpha| - b mean (alpha - 1/2)^2,  with new z

Without the last two terms the last generator covers all others. The first of them, a mean over
images and over the layers after the lowest one, asks a layer to cover the share u of an image; the
second makes opacities 0 or 1. The paper has sums in place of means and does not give their weights.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.layers import measure_layers
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import layered, pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G, which returns `layered.Layered`, and D.
        optimizers: the optimizers of G and D.
        cover: u, the share of an image that each layer after the lowest should cover.
        cover_weight: a, the weight of the distance from that share.
        binary_weight: b, the weight of the distance of opacities from 1/2.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    cover: float
    cover_weight: float
    binary_weight: float
    average_decay: float


def opacity_terms(opacities: jax.Array, cover: float) -> tuple[jax.Array, jax.Array]:
    """Returns mean |u - mean alpha| [] and mean (alpha - 1/2)^2 [], of the layers after the lowest.

    Args:
        opacities: float32 [B, layers, H, W].
        cover: u.
    """
    upper = opacities[:, 1:]
    return jnp.mean(jnp.abs(cover - upper.mean(axis=(2, 3)))), jnp.mean((upper - 0.5) ** 2)


def discriminator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    generator, key = run_state.players["generator"], step_key(run_state)
    (fake, _, _), _ = pair.generate(system.networks, generator, key, len(real))
    return pair.move_discriminator(system, run_state, LOSS.discriminator, real, fake)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss`, `cover`, `binary` []."""

    def loss(players: Players) -> LossResult:
        key = step_key(run_state)
        (fake, _, opacities), state = pair.generate(
            system.networks, players["generator"], key, count
        )
        (on_fake,), _ = pair.judge(system.networks, players["discriminator"], fake)
        value = LOSS.generator(on_fake)
        cover, binary = opacity_terms(opacities, system.cover)
        total = value + system.cover_weight * cover - system.binary_weight * binary
        return total, ({"generator": state}, {"g_loss": value, "cover": cover, "binary": binary})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both."""
    real, _ = gather(data, rows[0])
    run_state, of_discriminator = discriminator_step(run_state, real, system=system)
    run_state, of_generator = generator_step(run_state, len(real), system=system)
    return run_state, of_discriminator | of_generator


def make_networks(config: ConfigDict, shape: tuple[int, ...]) -> pair.Networks:
    """Returns the networks of a config.

    Raises:
        UserError: the data are points, or latent codes cannot be divided among the layers.
    """
    if len(shape) != 3:
        raise UserError(f"config.data.kind={config.data.kind}: only images have layers")
    if config.latent % config.generator.layers:
        raise UserError(
            f"config.latent={config.latent}: must be a multiple of "
            f"config.generator.layers={config.generator.layers}"
        )
    return pair.make_networks(config, shape, generators=layered.GENERATORS)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    ranges = {"generator.layers": (2, math.inf), "generator.width": (1, math.inf), "cover": (0, 1)}
    ranges |= {"cover_weight": (0, math.inf), "binary_weight": (0, math.inf)}
    training = open_training(config, mesh, pair.CHOICES, pair.RANGES | ranges)
    system = System(
        networks=make_networks(config, training.shape),
        optimizers=pair.make_optimizers(config),
        cover=config.cover,
        cover_weight=config.cover_weight,
        binary_weight=config.binary_weight,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config: images without their layers."""
    draw = pair.sampler(make_networks(config, shape))

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        return layered.Layered(*draw(generator, key, labels)).images

    return sample


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the layers."""
    draw = pair.sampler(make_networks(config, valid.shape))

    def layers(generator: Player, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        made = layered.Layered(*draw(generator, key, jnp.zeros(count, jnp.int32)))
        return made.images, made.opacities

    return measure_layers(layers, config.data.kind == "overlays", config.seed, mesh)


DECLARATION = declare(make, make_sample, make_measure=make_measure)
