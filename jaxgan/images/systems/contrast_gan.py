"""ContrastGAN: the class of an object is changed inside its mask (Liang et al., ECCV 2018).

An image x has an object in the mask m. G sees only that and draws one of the other class c in its
place; everything outside stays as it is, bit for bit:

    T(x, c) = m G(m x, c) + (1 - m) x

D_c judges objects of class c, and f is its last hidden layer, whose mean over the real objects of
the class in the minibatch is f_c. Of two distances, the first should be the smaller one:

    Q(f, near, far) = -log(e^-|f - near| / (e^-|f - near| + e^-|f - far|))

In every step, for both classes, on images x and y of classes that are not c and are c:

    G takes a step down    mu Q(f(T(x, c)), f_c, f(x)) + mean (D_c(T(x, c)) - 1)^2
                           + lambda mean |x - T(T(x, c), class of x)|
    D_c takes a step down  mu Q(f(T(x, c)), f(x), f_c)
                           + (mean (D_c(y) - 1)^2 + mean D_c(T(x, c))^2) / 2

The paper maximises G's Q over D; Q with near and far exchanged has the same aim and a lower bound.
|.| is the root mean square over features. The paper enlarges objects to the size of the image.
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
)
from jaxgan.images.data.masks import MASKS, Objects, find_objects
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks import dcgan, pair
from jaxgan.images.networks.resnet import ResNetGenerator
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["least_squares"]
CHOICES: dict[str, tuple[Any, ...]] = {
    "mask": MASKS,
    "discriminator.normalisation": ("layer", "none"),
}
RANGES = dict.fromkeys(("contrast_weight", "cycle_weight", "generator.blocks"), (0, math.inf))
G, D_A, D_B = "generator", "discriminator_a", "discriminator_b"
CLASS = {D_A: -1.0, D_B: 1.0}
"""The number that gives G the class to draw."""
OTHER = {D_A: D_B, D_B: D_A}


Domains = dict[str, Objects]
"""For each discriminator, objects of its class."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G.
        discriminator: the network of D_A and of D_B.
        optimizer: the optimizer of all three.
        mask: a name of `data.masks.MASKS`.
        contrast_weight: mu.
        cycle_weight: lambda.
    """

    generator: ResNetGenerator
    discriminator: dcgan.Discriminator
    optimizer: optax.GradientTransformation
    mask: str
    contrast_weight: float
    cycle_weight: float


def translate(system: System, generator: Player, objects: Objects, towards: str) -> Objects:
    """Returns the images with objects of the class of a discriminator, in the same masks."""
    wanted = jnp.full_like(objects.images[..., :1], CLASS[towards])
    seen = jnp.concatenate([objects.seen, wanted], axis=-1)
    made: Any = system.generator.apply(generator.variables, seen)
    return objects._replace(images=jnp.where(objects.masks, made, objects.images))


def judge(
    system: System, players: Players, fakes: Domains, real: Domains, name: str
) -> tuple[jax.Array, ...]:
    """Returns D_c(T(x, c)) and D_c(y), [B]; f(T(x, c)) and f(x), [B, d]; and f_c, [d]."""
    look = functools.partial(pair.with_features, system.discriminator, players[name].variables)
    seen = fakes[name].seen, real[OTHER[name]].seen, real[name].seen
    (on_fake, f), (_, f_x), (on_real, f_y) = map(look, seen)
    return on_fake, on_real, f, f_x, f_y.mean(axis=0)


def contrast(f: jax.Array, near: jax.Array, far: jax.Array) -> jax.Array:
    """Returns the mean [] of Q for features [B, d], or [d] for the mean of a class."""

    def distance(one: jax.Array, other: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.mean((one - other) ** 2, axis=-1) + 1e-12)

    return jnp.mean(jax.nn.softplus(distance(f, near) - distance(f, far)))


def generator_step(
    run_state: RunState, real: Domains, *, system: System
) -> tuple[RunState, dict[str, Any], Domains]:
    """Moves G once, and returns the state, the metrics, and T(x, c) from before the update."""

    def loss(players: Players) -> LossResult:
        move = functools.partial(translate, system, players[G])
        fakes, metrics = {}, dict.fromkeys(("contrast", "adversarial", "cycle"), jnp.zeros(()))
        for name, other in OTHER.items():
            fakes[name] = move(real[other], name)
            on_fake, _, f, f_x, f_c = judge(system, players, fakes, real, name)
            metrics["contrast"] += contrast(f, f_c, f_x)
            metrics["adversarial"] += 2 * LOSS.generator(on_fake)
            back = move(fakes[name], other)
            metrics["cycle"] += jnp.abs(real[other].images - back.images).mean()
        value = metrics["adversarial"] + system.contrast_weight * metrics["contrast"]
        value += system.cycle_weight * metrics["cycle"]
        return value, ({}, {**metrics, "g_loss": value, "fakes": fakes})

    run_state, metrics = descend(run_state, {G: system.optimizer}, loss)
    return run_state, metrics, metrics.pop("fakes")


def discriminators_step(
    run_state: RunState, real: Domains, fakes: Domains, *, system: System
) -> StepResult:
    """Moves D_A and D_B once. Returns the state, and `d_loss` [], the sum of their losses."""

    def loss(players: Players) -> LossResult:
        value = jnp.zeros(())
        for name in OTHER:
            on_fake, on_real, f, f_x, f_c = judge(system, players, fakes, real, name)
            value += system.contrast_weight * contrast(f, f_x, f_c)
            value += LOSS.discriminator(on_real, on_fake)
        return value, ({}, {"d_loss": value})

    return descend(run_state, dict.fromkeys((D_A, D_B), system.optimizer), loss)


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves G, then D_A and D_B. Returns the state and the metrics of all."""
    real = {name: find_objects(x, system.mask) for name, x in ((D_A, a), (D_B, b))}
    run_state, of_generator, fakes = generator_step(run_state, real, system=system)
    run_state, of_discriminators = discriminators_step(run_state, real, fakes, system=system)
    return run_state, of_generator | of_discriminators


def make_system(config: ConfigDict, channels: int) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=ResNetGenerator(**config.generator, channels=channels, dtype=dtype),
        discriminator=dcgan.Discriminator(**config.discriminator, dtype=dtype),
        optimizer=adam(config),
        mask=config.mask,
        contrast_weight=config.contrast_weight,
        cycle_weight=config.cycle_weight,
    )


def initial(key: jax.Array, *, system: System, shape: tuple[int, ...]) -> RunState:
    """Returns the state before the first update, for images of a shape."""
    *keys, run_key = jax.random.split(key, 4)
    networks = system.generator, system.discriminator, system.discriminator
    shapes = (1, *shape[:-1], shape[-1] + 1), (1, *shape), (1, *shape)
    players = {
        name: make_player(network.init(own, jnp.zeros(each)), system.optimizer)
        for name, network, own, each in zip((G, D_A, D_B), networks, keys, shapes, strict=True)
    }
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    translation = Translation(config, mesh, paired=False, choices=CHOICES, ranges=RANGES)
    shape, system = translation.shape, make_system(config, translation.shape[-1])
    return translation.recipe(
        init=functools.partial(initial, system=system, shape=shape),
        step=functools.partial(step, system=system),
        moves=(G, D_A, D_B),
        translations=make_translations(config, shape),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function for each direction that translates images of a shape."""
    system = make_system(config, shape[-1])

    def move(players: Players, images: jax.Array, key: jax.Array, towards: str) -> jax.Array:
        return translate(system, players[G], find_objects(images, system.mask), towards).images

    towards = {"a_to_b": D_B, "b_to_a": D_A}
    return {name: functools.partial(move, towards=judge) for name, judge in towards.items()}


DECLARATION = declare(make, make_translations, paired=False, choices=CHOICES, ranges=RANGES)
