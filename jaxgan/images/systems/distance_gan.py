"""DistanceGAN: translation without pairs that keeps distances (Benaim and Wolf, NIPS 2017).

G turns images x of one domain into images of the other, whose images y are not their partners, and
D judges patches. No network leads back: instead of a cycle, two images of a batch that are far
apart must stay far apart, and close ones close. In every step:

    G takes a step down  mean (D(G(x)) - 1)^2 + lambda mean |z(d(x_i, x_j)) - z(d(G(x_i), G(x_j)))|
    D takes a step down  (mean (D(y) - 1)^2 + mean D(G(x))^2) / 2

d is the mean absolute difference of two images, and j the image after i in its batch. z subtracts
the mean and divides by the standard deviation that d has in the domain, in which the images of
x and of G(x) have their own; both are measured once, on random pairs of the training set. D sees
G(x) from a pool of earlier images (`history_pool`).

With `config.distance=halves`, d compares the left and the right half of one image instead, which
the paper calls the self-distance.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.images import history_pool
from jaxgan.images.evaluation.distances import UNKNOWN, Statistics, measure
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks.patches import PatchDiscriminator
from jaxgan.images.networks.resnet import ResNetGenerator
from jaxgan.images.settings import DIRECTIONS
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["least_squares"]
CHOICES = {"direction": DIRECTIONS, "distance": ("pairs", "halves")}
RANGES = {
    **dict.fromkeys(("distance_weight", "pool", "generator.blocks"), (0, math.inf)),
    "batch_size": (2, math.inf),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G.
        discriminator: the network of D.
        optimizer: the optimizer of both players.
        direction: the direction of G, from one domain to the other.
        distance: what d compares: "pairs" of images, or the "halves" of one.
        distance_weight: lambda.
        statistics: the statistics of the distances in the domain of x and in that of y.
    """

    generator: ResNetGenerator
    discriminator: PatchDiscriminator
    optimizer: optax.GradientTransformation
    direction: str
    distance: str
    distance_weight: float
    statistics: tuple[Statistics, Statistics]


def apply(network: nn.Module, player: Player, images: jax.Array) -> jax.Array:
    """Returns G's images, float32 [B, S, S, C], or D's raw outputs of patches, [B, h, w]."""
    outputs: Any = network.apply(player.variables, images)
    return outputs


def distances(images: jax.Array, distance: str) -> jax.Array:
    """Returns d, float32 [B], of each image and the next (the first after the last), or of halves.

    Args:
        images: float32 [B, S, S, C]. The middle column of an odd S belongs to neither half.
        distance: see `System`.
    """
    if distance == "halves":
        half = images.shape[2] // 2
        return jnp.abs(images[:, :, :half] - images[:, :, -half:]).mean(axis=(1, 2, 3))
    return jnp.abs(images - jnp.roll(images, -1, axis=0)).mean(axis=(1, 2, 3))


def distance_loss(
    source: jax.Array, made: jax.Array, of_source: Statistics, of_made: Statistics
) -> jax.Array:
    """Returns the mean [] of |z(source) - z(made)| for distances float32 [B]."""
    standard = [(d - s.mean) / s.sd for d, s in ((source, of_source), (made, of_made))]
    return jnp.mean(jnp.abs(standard[0] - standard[1]))


def generator_step(
    run_state: RunState, x: jax.Array, *, system: System
) -> tuple[RunState, dict[str, Any], jax.Array]:
    """Moves G once, and returns the state, the metrics, and G(x) from before the update, for D."""

    def loss(players: Players) -> LossResult:
        fake = apply(system.generator, players["generator"], x)
        on_fake = apply(system.discriminator, players["discriminator"], fake)
        before, after = (distances(each, system.distance) for each in (x, fake))
        kept = distance_loss(before, after, *system.statistics)
        # The paper uses the whole square for G, and half of it for D.
        value = 2 * LOSS.generator(on_fake) + system.distance_weight * kept
        return value, ({}, {"g_loss": value, "distance": kept, "fake": fake})

    run_state, metrics = descend(run_state, {"generator": system.optimizer}, loss)
    return run_state, metrics, metrics.pop("fake")


def discriminator_step(
    run_state: RunState, y: jax.Array, fake: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    shown, pool = history_pool.exchange(run_state.memory, fake, step_key(run_state))
    run_state = dataclasses.replace(run_state, memory=pool)

    def loss(players: Players) -> LossResult:
        judge = functools.partial(apply, system.discriminator, players["discriminator"])
        on_real, on_fake = judge(y), judge(shown)
        value = LOSS.discriminator(on_real, on_fake)
        return value, ({}, {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()})

    return descend(run_state, {"discriminator": system.optimizer}, loss)


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves G, then D. Returns the state and the metrics of both."""
    x, y = (a, b) if system.direction == "a_to_b" else (b, a)
    run_state, of_g, fake = generator_step(run_state, x, system=system)
    run_state, of_d = discriminator_step(run_state, y, fake, system=system)
    return run_state, of_g | of_d


def make_system(
    config: ConfigDict,
    channels: int,
    statistics: tuple[Statistics, Statistics] = (UNKNOWN, UNKNOWN),
) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=ResNetGenerator(**config.generator, channels=channels, dtype=dtype),
        discriminator=PatchDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=adam(config),
        direction=config.direction,
        distance=config.distance,
        distance_weight=config.distance_weight,
        statistics=statistics,
    )


def initial(
    key: jax.Array, *, system: System, shape: tuple[int, ...], batch_size: int, pool: int
) -> RunState:
    """Returns the state before the first update, for images of a shape and a pool of a size."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    image = jnp.zeros((1, *shape))
    networks = {
        "generator": system.generator.init(generator_key, image),
        "discriminator": system.discriminator.init(discriminator_key, image),
    }
    players = {name: make_player(each, system.optimizer) for name, each in networks.items()}
    return make_run_state(run_key, players, history_pool.make_pool(batch_size, pool, shape))


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    translation = Translation(config, mesh, paired=False, choices=CHOICES, ranges=RANGES)
    shape = translation.shape
    domains = translation.train.a, translation.train.b
    x, y = domains if config.direction == "a_to_b" else domains[::-1]
    compare = functools.partial(distances, distance=config.distance)
    statistics = measure(x, compare, config.seed), measure(y, compare, config.seed)
    if not min(each.sd for each in statistics):
        raise UserError(
            f"config.distance={config.distance}: all distances between the training images of a "
            "domain are equal, so there are none to keep; give other data"
        )
    system = make_system(config, shape[-1], statistics)
    sizes = {"shape": shape, "batch_size": config.batch_size, "pool": config.pool}
    return translation.recipe(
        init=functools.partial(initial, system=system, **sizes),
        step=functools.partial(step, system=system),
        moves=("generator", "discriminator"),
        translations=make_translations(config, shape),
        memory=history_pool.shardings(mesh),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function that translates images of a shape, for the direction of a config."""
    network = make_system(config, shape[-1]).generator
    return {config.direction: lambda players, x, key: apply(network, players["generator"], x)}


DECLARATION = declare(make, make_translations, paired=False, choices=CHOICES, ranges=RANGES)
