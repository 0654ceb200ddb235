"""VariGAN: another view of an image, coarse and then fine (Zhao et al., ACM Multimedia 2018).

x is an image in one of two views, y is the same image in the other view, and v gives the view of y.
The first stage is a conditional variational autoencoder of small images x', y'. In every step,

    p and q take a step down  KL(q(z|x', y', v) || N(0, I)) + w |y' - p(x', v, z)|_1,  z ~ q

with a sum over pixels: with w = 1 / b this is the bound for a Laplace distribution of the scale b.
The second stage is adversarial: G turns the enlarged coarse image c, of a z ~ N(0, I), and x into a
fine image, and D sees x with an image of the other view. p no longer changes. In every step,

    D takes a step down  (-log s(D(x, y)) - log(1 - s(D(x, G(c, x))))) / 2
    G takes a step down  -log s(D(x, G(c, x))) + lambda mean |y - G(c, x)|

s is the sigmoid, and D's terms are means over patches. G is a U-Net with two encoders, of c and of
x. Each step draws which image of a pair is x, so v, the view that is asked for, makes a difference;
in use it is the direction of the translation.
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
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.images import stages
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks.patches import PatchDiscriminator
from jaxgan.images.networks.unet import UNet
from jaxgan.images.networks.views import CoarseViews
from jaxgan.images.stages import FIRST
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.variational import kl_to_standard_normal

LOSS = LOSSES["non_saturating"]
RANGES = {
    **stages.RANGES,
    **dict.fromkeys(("l1_weight", "coarse_weight"), (0, math.inf)),
    **dict.fromkeys(("coarse.latent", "coarse.features"), (1, math.inf)),
    "coarse.hidden": (2, math.inf),
    "generator.smallest": (1, 7),
}
VIEWS = {"a_to_b": 1.0, "b_to_a": -1.0}
"""v in each direction."""
MOVES = {FIRST: ("coarse",), stages.SECOND: ("discriminator", "generator")}
DIRECTION, FOR_Z, FOR_D, FOR_G = range(4)
"""Streams of random numbers in a step: which image is x, and z of each update."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        coarse: the networks of q and p.
        generator: the network of G.
        discriminator: the network of D.
        optimizer: the optimizer of all players.
        coarse_weight: w.
        l1_weight: lambda.
    """

    coarse: CoarseViews
    generator: UNet
    discriminator: PatchDiscriminator
    optimizer: optax.GradientTransformation
    coarse_weight: float
    l1_weight: float


def imagine(
    system: System, players: Players, x: jax.Array, view: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns c and G(c, x), float32 [B, S, S, C] each; the key is of z."""
    c: Any = system.coarse.apply(players["coarse"].variables, x, view, key, method="draw")
    made: Any = system.generator.apply(players["generator"].variables, c, x)
    return c, made


def judge(system: System, players: Players, x: jax.Array, y: jax.Array) -> Any:
    """Returns D's raw outputs for the patches of y, float32 [B, h, w]."""
    variables = players["discriminator"].variables
    return system.discriminator.apply(variables, jnp.concatenate([x, y], axis=-1))


def coarse_step(
    run_state: RunState, x: jax.Array, y: jax.Array, view: jax.Array, *, system: System
) -> StepResult:
    """Moves q and p once. Returns the state, and `coarse_loss`, `kl` and `coarse_l1` [] in it."""

    def loss(players: Players) -> LossResult:
        variables, key = players["coarse"].variables, step_key(run_state, FOR_Z)
        apart, *gaussian = system.coarse.apply(variables, x, y, view, key)
        kl, l1 = kl_to_standard_normal(*gaussian).mean(), jnp.abs(apart)
        value = kl + system.coarse_weight * l1.sum(axis=(1, 2, 3)).mean()
        return value, ({}, {"coarse_loss": value, "kl": kl, "coarse_l1": l1.mean()})

    return descend(run_state, {"coarse": system.optimizer}, loss)


def discriminator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, view: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    _, fake = imagine(system, run_state.players, x, view, step_key(run_state, FOR_D))

    def loss(players: Players) -> LossResult:
        on_real, on_fake = (judge(system, players, x, each) for each in (y, fake))
        value = LOSS.discriminator(on_real, on_fake) / 2
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({}, metrics)

    return descend(run_state, {"discriminator": system.optimizer}, loss)


def generator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, view: jax.Array, *, system: System
) -> StepResult:
    """Moves G once. Returns the state, its loss `g_loss` [], and the distance in it, `l1` []."""

    def loss(players: Players) -> LossResult:
        _, fake = imagine(system, players, x, view, step_key(run_state, FOR_G))
        adversarial = LOSS.generator(judge(system, players, x, fake))
        l1 = jnp.mean(jnp.abs(y - fake))
        value = adversarial + system.l1_weight * l1
        return value, ({}, {"g_loss": value, "l1": l1})

    return descend(run_state, {"generator": system.optimizer}, loss)


def step(
    run_state: RunState, a: jax.Array, b: jax.Array, *, stage: str, system: System
) -> StepResult:
    """Makes the step of a stage. Returns the state and the metrics of its updates."""
    onwards = jax.random.bernoulli(step_key(run_state, DIRECTION), shape=(len(a), 1))
    view = jnp.where(onwards, VIEWS["a_to_b"], VIEWS["b_to_a"])
    x, y = (jnp.where(onwards[..., None, None], *pair) for pair in ((a, b), (b, a)))
    if stage == FIRST:
        return coarse_step(run_state, x, y, view, system=system)
    run_state, of_discriminator = discriminator_step(run_state, x, y, view, system=system)
    run_state, of_generator = generator_step(run_state, x, y, view, system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...]) -> System:
    """Returns the system of a config for images of a shape; UserError if it has none."""
    stages.small_side(config, shape)
    dtype = jnp.dtype(config.dtype)
    return System(
        coarse=CoarseViews(shape, config.factor, **config.coarse, dtype=dtype),
        generator=UNet(**config.generator, dropout=0.0, channels=shape[-1], dtype=dtype),
        discriminator=PatchDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=adam(config),
        coarse_weight=config.coarse_weight,
        l1_weight=config.l1_weight,
    )


def initial(key: jax.Array, *, system: System, shape: tuple[int, ...]) -> RunState:
    """Returns the state before the first update, for images of a shape."""
    *keys, run_key = jax.random.split(key, 4)
    image, view = jnp.zeros((1, *shape)), jnp.zeros((1, 1))
    networks = {
        "coarse": system.coarse.init(keys[0], image, image, view, run_key),
        "generator": system.generator.init(keys[1], image, image),
        "discriminator": system.discriminator.init(keys[2], jnp.concatenate([image] * 2, axis=-1)),
    }
    players = {name: make_player(each, system.optimizer) for name, each in networks.items()}
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    translation = Translation(config, mesh, paired=True, choices=stages.CHOICES, ranges=RANGES)
    shape, system = translation.shape, make_system(config, translation.shape)
    return translation.recipe(
        init=functools.partial(initial, system=system, shape=shape),
        step=functools.partial(step, system=system),
        moves=[name for stage in stages.trained(config) for name in MOVES[stage]],
        translations=make_translations(config, shape),
        staged=True,
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns functions that make either view: coarse after the first stage only, else fine."""
    system = make_system(config, shape)

    def translate(players: Players, images: jax.Array, key: jax.Array, towards: float) -> jax.Array:
        view = jnp.full((len(images), 1), towards)
        coarse, fine = imagine(system, players, images, view, key)
        return coarse if config.stages == FIRST else fine

    return {name: functools.partial(translate, towards=view) for name, view in VIEWS.items()}


DECLARATION = declare(make, make_translations, paired=True, choices=stages.CHOICES, ranges=RANGES)
