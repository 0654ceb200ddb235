"""SRGAN: detail that low resolution has lost is generated (Ledig et al., CVPR 2017).

G receives an image x of low resolution and returns one of high resolution; D says whether an image
of high resolution is real. In every step, on a minibatch of pairs (x, y):

    D takes a step down  -log s(D(y)) - log(1 - s(D(G(x))))
    G takes a step down  w mean (phi(y) - phi(G(x)))^2 - v log s(D(G(x)))

s is the sigmoid, w `config.content_weight` and v `config.adversarial_weight`. phi is the last map
of a fixed classifier (`config.content=features`; the paper has VGG-19's), or the
image itself. With pixels and v = 0 this is SRResNet, which the paper trains first, and whose
networks SRGAN starts from; then D is not needed and stays as it is.

Some surveys describe the loss as a mean squared error, an adversarial term and total variation, and
D as a residual network. The published version has no total variation, and a D without shortcuts.

x is an image of y's size, enlarged from low resolution by a cubic filter, as `data.pairs` makes it;
G's first layer reduces it again. The metric is then that of simple enlargement, and any picture can
be improved without a change of its size.
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

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Metrics,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.images import feature_loss
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.feature_loss import Maps
from jaxgan.images.networks.super_resolution import SRDiscriminator, SRResNet
from jaxgan.images.translation import Translation
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]
CHOICES = {"data.factor": (2, 4, 8), **feature_loss.CHOICES}
RANGES = {
    "content_weight": (0.0, math.inf),
    "adversarial_weight": (0.0, math.inf),
    "generator.blocks": (0, math.inf),
    "discriminator.levels": (1, math.inf),
    "drop.start": (0, math.inf),
    "drop.factor": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G.
        discriminator: the network of D.
        optimizer: the optimizer of both players.
        maps: the function whose last map the content loss compares.
        content_weight: w.
        adversarial_weight: v; with 0, D never moves.
    """

    generator: SRResNet
    discriminator: SRDiscriminator
    optimizer: optax.GradientTransformation
    maps: Maps
    content_weight: float
    adversarial_weight: float


def generate(system: System, generator: Player, x: jax.Array) -> tuple[jax.Array, PyTree]:
    """Returns G's images as in training, float32 [B, S, S, C], and its state after the call."""
    found: Any = system.generator.apply(generator.variables, x, mutable=list(generator.state))
    return found


def judge(system: System, discriminator: Player, images: jax.Array) -> tuple[jax.Array, PyTree]:
    """Returns D's raw outputs as in training, float32 [B], and its state after the call."""
    collections = list(discriminator.state)
    found: Any = system.discriminator.apply(discriminator.variables, images, mutable=collections)
    return found


def discriminator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    fake, _ = generate(system, run_state.players["generator"], x)

    def loss(players: Players) -> LossResult:
        player = players["discriminator"]
        on_real, state = judge(system, player, y)
        on_fake, state = judge(system, dataclasses.replace(player, state=state), fake)
        value = LOSS.discriminator(on_real, on_fake)
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.optimizer}, loss)


def generator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves G once. Returns the state, `g_loss` [], and the `content` loss in it []."""

    def loss(players: Players) -> LossResult:
        fake, state = generate(system, players["generator"], x)
        content = jnp.mean((system.maps(y)[-1] - system.maps(fake)[-1]) ** 2)
        value = system.content_weight * content
        if system.adversarial_weight:
            on_fake, _ = judge(system, players["discriminator"], fake)
            value += system.adversarial_weight * LOSS.generator(on_fake)
        return value, ({"generator": state}, {"g_loss": value, "content": content})

    return descend(run_state, {"generator": system.optimizer}, loss)


def step(run_state: RunState, x: jax.Array, y: jax.Array, *, system: System) -> StepResult:
    """Moves D if its judgement has a weight, then G. Returns the state and the metrics of both."""
    of_discriminator: Metrics = {}
    if system.adversarial_weight:
        run_state, of_discriminator = discriminator_step(run_state, x, y, system=system)
    run_state, of_generator = generator_step(run_state, x, y, system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, channels: int, maps: Maps = feature_loss.pixels) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    rate: Any = config.learning_rate
    if config.drop.start:
        drops = {config.drop.start * config.steps_per_round: config.drop.factor}
        rate = optax.piecewise_constant_schedule(rate, drops)
    factor = config.data.factor
    return System(
        generator=SRResNet(**config.generator, factor=factor, channels=channels, dtype=dtype),
        discriminator=SRDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=optax.adam(rate, config.adam_b1, config.adam_b2),
        maps=maps,
        content_weight=config.content_weight,
        adversarial_weight=config.adversarial_weight,
    )


def initial(key: jax.Array, *, system: System, shape: tuple[int, ...]) -> RunState:
    """Returns the state before the first update, for images of a shape."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    image = jnp.zeros((1, *shape))
    networks = {
        "generator": system.generator.init(generator_key, image),
        "discriminator": system.discriminator.init(discriminator_key, image),
    }
    players = {name: make_player(each, system.optimizer) for name, each in networks.items()}
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    translation = Translation(config, mesh, paired=True, choices=CHOICES, ranges=RANGES)
    shape = translation.shape
    if shape[0] % config.data.factor:
        raise UserError(
            f"config.data.factor={config.data.factor}: must divide the images' {shape[0]} pixels"
        )
    maps = feature_loss.make_maps(config, translation.classifier)
    system = make_system(config, shape[-1], maps)
    return translation.recipe(
        init=functools.partial(initial, system=system, shape=shape),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator") if system.adversarial_weight else ("generator",),
        translations=make_translations(config, shape),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function that restores detail of images of a shape."""
    system = make_system(config, shape[-1])

    def translate(players: Players, images: jax.Array, key: jax.Array) -> jax.Array:
        made: Any = system.generator.apply(players["generator"].variables, images, train=False)
        return made

    return {"a_to_b": translate}


DECLARATION = declare(make, make_translations, paired=True, choices=CHOICES, ranges=RANGES)
