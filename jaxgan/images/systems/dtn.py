"""Domain Transfer Network: translation that keeps what a classifier sees (Taigman et al. 2017).

f gives the features of an image: the last hidden layer of a classifier that was trained on the
labels of the source domain and stays as it is. g turns features into images of the target domain,
and G(x) = g(f(x)). D classifies an image as one of three: 1 G of a source image, 2 G of a target
image, 3 a target image. In every step, on source images x and target images y that are not pairs:

    D takes a step down  -log D_1(G(x)) - log D_2(G(y)) - log D_3(y)
    g takes a step down  -log D_3(G(x)) - log D_3(G(y)) + alpha mean (f(x) - f(G(x)))^2
                         + beta mean (y - G(y))^2 + gamma TV(G(x))

alpha keeps the meaning of x, and beta leaves images unchanged that are already in the target
domain. TV is the total variation, the mean length of the slope at a pixel, which the paper has for
faces only.
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
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks import dcgan
from jaxgan.images.networks.classifier import CNN, classifier_of
from jaxgan.images.settings import DIRECTIONS
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare

CHOICES: dict[str, tuple[Any, ...]] = {
    "direction": DIRECTIONS,
    "untrained": (True, False),
    "generator.normalisation": ("batch", "layer", "none"),
    "discriminator.normalisation": ("batch", "layer", "none"),
}
RANGES = dict.fromkeys(("feature_weight", "identity_weight", "variation_weight"), (0, math.inf))
OF_SOURCE, OF_TARGET, REAL = range(3)
UNTRAINED = CNN(16, 64, 10)
"""f of the control: the network of configs/classifier.py:quick."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of g.
        discriminator: the network of D.
        optimizer: the optimizer of both players.
        direction: the direction, from the source domain to the target domain.
        feature_weight: alpha.
        identity_weight: beta.
        variation_weight: gamma.
    """

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    optimizer: optax.GradientTransformation
    direction: str
    feature_weight: float
    identity_weight: float
    variation_weight: float


def encode(features: Player, images: jax.Array) -> jax.Array:
    """Returns f(images), float32 [B, d]."""
    found: Any = classifier_of(features.params).apply(features.variables, images)
    return found[1]


def call(network: nn.Module, player: Player, x: jax.Array) -> tuple[jax.Array, Player]:
    """Returns what g or D makes of x as in training, and the player with its state afterwards."""
    made, state = network.apply(player.variables, x, mutable=list(player.state))
    return made, dataclasses.replace(player, state=state)


def cross_entropy(logits: jax.Array, kind: int) -> jax.Array:
    """Returns the mean [] of -log D_kind, for D's raw outputs [B, 3]."""
    return -jax.nn.log_softmax(logits)[:, kind].mean()


def total_variation(images: jax.Array) -> jax.Array:
    """Returns the mean [] length of the slope at a pixel of images [B, S, S, C]."""
    down = images[:, 1:, :-1] - images[:, :-1, :-1]
    across = images[:, :-1, 1:] - images[:, :-1, :-1]
    return jnp.sqrt(down**2 + across**2 + 1e-12).mean()  # the root has no derivative at 0


def discriminator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, and `d_loss` []."""
    f, g = (run_state.players[name] for name in ("features", "generator"))
    of_x, of_y = (call(system.generator, g, encode(f, images))[0] for images in (x, y))

    def loss(players: Players) -> LossResult:
        player, value = players["discriminator"], jnp.zeros(())
        for images, kind in ((of_x, OF_SOURCE), (of_y, OF_TARGET), (y, REAL)):
            logits, player = call(system.discriminator, player, images)
            value += cross_entropy(logits, kind)
        return value, ({"discriminator": player.state}, {"d_loss": value})

    return descend(run_state, {"discriminator": system.optimizer}, loss)


def generator_step(
    run_state: RunState, x: jax.Array, y: jax.Array, *, system: System
) -> StepResult:
    """Moves g once. Returns the state, `g_loss` [], and `features` [] and `identity` [] in it."""

    def loss(players: Players) -> LossResult:
        f = functools.partial(encode, players["features"])
        code_x, player = f(x), players["generator"]
        of_x, player = call(system.generator, player, code_x)
        of_y, player = call(system.generator, player, f(y))
        kept = jnp.mean((code_x - f(of_x)) ** 2)
        same = jnp.mean((y - of_y) ** 2)
        value = system.feature_weight * kept + system.identity_weight * same
        judge = functools.partial(call, system.discriminator, players["discriminator"])
        value += sum(cross_entropy(judge(images)[0], REAL) for images in (of_x, of_y))
        if system.variation_weight:
            value += system.variation_weight * total_variation(of_x)
        metrics = {"g_loss": value, "features": kept, "identity": same}
        return value, ({"generator": player.state}, metrics)

    return descend(run_state, {"generator": system.optimizer}, loss)


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves D, then g. Returns the state and the metrics of both."""
    x, y = (a, b) if system.direction == "a_to_b" else (b, a)
    run_state, of_discriminator = discriminator_step(run_state, x, y, system=system)
    run_state, of_generator = generator_step(run_state, x, y, system=system)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...]) -> System:
    """Returns the system of a config for images of a shape."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=dcgan.Generator(shape, **config.generator, dtype=dtype),
        discriminator=dcgan.Discriminator(**config.discriminator, outputs=3, dtype=dtype),
        optimizer=adam(config),
        direction=config.direction,
        feature_weight=config.feature_weight,
        identity_weight=config.identity_weight,
        variation_weight=config.variation_weight,
    )


def initial(
    key: jax.Array, *, system: System, shape: tuple[int, ...], classifier: PyTree
) -> RunState:
    """Returns the state before the first update; without the parameters of f, f is `UNTRAINED`."""
    *keys, run_key = jax.random.split(key, 4)
    image = jnp.zeros((1, *shape))
    params = UNTRAINED.init(keys[0], image)["params"] if classifier is None else classifier
    features = Player(params=params, state={}, opt_state=())
    networks = {
        "generator": system.generator.init(keys[1], encode(features, image)),
        "discriminator": system.discriminator.init(keys[2], image),
    }
    players = {name: make_player(each, system.optimizer) for name, each in networks.items()}
    return make_run_state(run_key, {"features": features, **players})


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    if bool(config.features) == config.untrained:
        raise UserError(
            f"config.features={config.features!r}: f is a trained classifier; name the folder of a "
            "run of configs/classifier.py on the source domain, or set config.untrained=True"
        )
    translation = Translation(config, mesh, paired=False, choices=CHOICES, ranges=RANGES)
    shape, system = translation.shape, make_system(config, translation.shape)
    classifier = None
    if translation.classifier:
        classifier = jax.device_get(translation.classifier.player.params)
    return translation.recipe(
        init=functools.partial(initial, system=system, shape=shape, classifier=classifier),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        translations=make_translations(config, shape),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function that translates images of a shape, for the direction of a config."""
    network = make_system(config, shape).generator

    def translate(players: Players, images: jax.Array, key: jax.Array) -> jax.Array:
        codes = encode(players["features"], images)
        made: Any = network.apply(players["generator"].variables, codes, train=False)
        return made

    return {config.direction: translate}


DECLARATION = declare(make, make_translations, paired=False, choices=CHOICES, ranges=RANGES)
