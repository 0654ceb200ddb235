"""pix2pix: image translation that is learned from pairs (Isola et al., CVPR 2017).

G turns an image x of one domain into an image of the other, and D judges patches of an image y next
to x: is y the partner of x, or G's? In every step, on a minibatch of pairs (x, y):

    D takes a step down  (-log s(D(x, y)) - log(1 - s(D(x, G(x))))) / 2
    G takes a step down  -log s(D(x, G(x))) + lambda mean |y - G(x)|

s is the sigmoid, and D's terms are means over patches. D's loss is halved, which slows it down
relative to G (section 3.3). G's only noise is its dropout, in training and in use.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

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
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks.patches import PatchDiscriminator
from jaxgan.images.networks.unet import UNet
from jaxgan.images.settings import DIRECTIONS
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]
CHOICES = {"direction": DIRECTIONS, "conditional": (True, False)}
RANGES = {
    "l1_weight": (0.0, math.inf),
    "adversarial_weight": (0.0, math.inf),
    "generator.dropout": (0.0, 0.99),
    "generator.smallest": (1, 7),
}
FOR_D, FOR_G = 0, 1
"""Streams of random numbers in a step: the dropout of the two calls of G."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G.
        discriminator: the network of D.
        optimizer: the optimizer of both players.
        direction: the direction of G, from one domain to the other.
        l1_weight: lambda, of the mean absolute difference in G's loss.
        adversarial_weight: the weight of D's judgement in G's loss; 1 in the paper.
        conditional: whether D sees x together with y, as in the paper.
    """

    generator: UNet
    discriminator: PatchDiscriminator
    optimizer: optax.GradientTransformation
    direction: str
    l1_weight: float
    adversarial_weight: float
    conditional: bool


def generate(system: System, generator: Player, x: jax.Array, key: jax.Array) -> jax.Array:
    """Returns translations of x, float32 [B, S, S, C]; the key is of the dropout."""
    made: Any = system.generator.apply(generator.variables, x, rngs={"dropout": key})
    return made


def judge(system: System, discriminator: Player, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns D's raw outputs for the patches of y, float32 [B, h, w]."""
    seen = jnp.concatenate([x, y], axis=-1) if system.conditional else y
    outputs: Any = system.discriminator.apply(discriminator.variables, seen)
    return outputs


def discriminator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    fake = generate(system, run_state.players["generator"], x, step_key(run_state, FOR_D))

    def loss(players: Players) -> LossResult:
        on_real, on_fake = (judge(system, players["discriminator"], x, each) for each in (y, fake))
        value = LOSS.discriminator(on_real, on_fake) / 2
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({}, metrics)

    return descend(run_state, {"discriminator": system.optimizer}, loss)


def generator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves G once. Returns the state, its loss `g_loss` [], and the distance in it, `l1` []."""

    def loss(players: Players) -> LossResult:
        fake = generate(system, players["generator"], x, step_key(run_state, FOR_G))
        adversarial = LOSS.generator(judge(system, players["discriminator"], x, fake))
        l1 = jnp.mean(jnp.abs(y - fake))
        value = system.adversarial_weight * adversarial + system.l1_weight * l1
        return value, ({}, {"g_loss": value, "l1": l1})

    return descend(run_state, {"generator": system.optimizer}, loss)


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both."""
    x, y = (a, b) if system.direction == "a_to_b" else (b, a)
    run_state, of_discriminator = discriminator_step(run_state, x, y, system=system)
    run_state, of_generator = generator_step(run_state, x, y, system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, channels: int) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=UNet(**config.generator, channels=channels, dtype=dtype),
        discriminator=PatchDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=adam(config),
        direction=config.direction,
        l1_weight=config.l1_weight,
        adversarial_weight=config.adversarial_weight,
        conditional=config.conditional,
    )


def initial(key: jax.Array, *, system: System, shape: tuple[int, ...]) -> RunState:
    """Returns the state before the first update, for images of a shape."""
    generator_key, dropout_key, discriminator_key, run_key = jax.random.split(key, 4)
    image = jnp.zeros((1, *shape))
    seen = jnp.concatenate([image, image], axis=-1) if system.conditional else image
    keys = {"params": generator_key, "dropout": dropout_key}
    networks = {
        "generator": system.generator.init(keys, image),
        "discriminator": system.discriminator.init(discriminator_key, seen),
    }
    players = {name: make_player(each, system.optimizer) for name, each in networks.items()}
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    translation = Translation(config, mesh, paired=True, choices=CHOICES, ranges=RANGES)
    shape = translation.shape
    system = make_system(config, shape[-1])
    return translation.recipe(
        init=functools.partial(initial, system=system, shape=shape),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        translations=make_translations(config, shape),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function that translates images of a shape, for the direction of a config."""
    system = make_system(config, shape[-1])

    def translate(players: Players, images: jax.Array, key: jax.Array) -> jax.Array:
        return generate(system, players["generator"], images, key)

    return {config.direction: translate}


DECLARATION = declare(make, make_translations, paired=True, choices=CHOICES, ranges=RANGES)
