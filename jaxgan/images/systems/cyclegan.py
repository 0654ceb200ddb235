"""CycleGAN: image translation that is learned without pairs (Zhu et al., ICCV 2017).

G turns images a of domain A into images of B, and F those of B into A. D_A and D_B judge patches of
images of their domain. In every step, on images a and b that do not belong together:

    G and F take a step down the sum of  (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2
                                    and  lambda (mean |F(G(a)) - a| + mean |G(F(b)) - b|)
    D_A and D_B take a step down  ((D_A(a) - 1)^2 + D_A(F(b))^2 + (D_B(b) - 1)^2 + D_B(G(a))^2) / 2

The discriminators see F(b) and G(a) from a pool of earlier images (`history_pool`). Both generators
move on one gradient of one loss, since every cycle leads through both.

`config.loss` replaces the squares: "non_saturating" has the cross-entropies of DiscoGAN (Kim et al.
2017), and "wasserstein" with `config.clip` the critics of DualGAN (Yi et al. 2017).
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
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.networks.patches import PatchDiscriminator
from jaxgan.images.networks.resnet import ResNetGenerator
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.regularisers import clip_weights

CHOICES = {"loss": ("least_squares", "non_saturating", "wasserstein")}
RANGES = dict.fromkeys(
    ("cycle_weight", "identity_weight", "pool", "clip", "generator.blocks"), (0, math.inf)
)
G, F, D_A, D_B = "generator_a_to_b", "generator_b_to_a", "discriminator_a", "discriminator_b"
Domains = dict[str, jax.Array]
"""For each discriminator, images that it judges, float32 [B, S, S, C]."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G and of F.
        discriminator: the network of D_A and of D_B.
        optimizer: the optimizer of all four.
        loss: a name of `CHOICES`.
        cycle_weight: lambda.
        identity_weight: the weight of mean |F(a) - a| + mean |G(b) - b|, which the paper adds for
            paintings.
        clip: the limit of the discriminators' parameters after each update; 0: none.
    """

    generator: ResNetGenerator
    discriminator: PatchDiscriminator
    optimizer: optax.GradientTransformation
    loss: str
    cycle_weight: float
    identity_weight: float
    clip: float


def apply(network: nn.Module, player: Player, images: jax.Array) -> jax.Array:
    """Returns a generator's images, float32 [B, S, S, C], or raw outputs of patches, [B, h, w]."""
    outputs: Any = network.apply(player.variables, images)
    return outputs


def deceive(system: System, players: Players, fakes: Domains) -> jax.Array:
    """Returns the sum [] of both generators' losses for the discriminators' outputs.

    The paper uses the whole squares for a generator, and half of them for a discriminator.
    """
    factor = 2 if system.loss == "least_squares" else 1
    on_fakes = [apply(system.discriminator, players[name], fakes[name]) for name in (D_A, D_B)]
    return factor * sum(map(LOSSES[system.loss].generator, on_fakes), start=jnp.zeros(()))


def generators_step(
    run_state: RunState, a: jax.Array, b: jax.Array, *, system: System
) -> tuple[RunState, dict[str, Any], Domains]:
    """Moves G and F once, on one loss.

    Returns the state; the metrics `g_loss` [], `cycle_a` [] and `cycle_b` []; and F(b) and G(a)
    from before the update, for the discriminators.
    """

    def loss(players: Players) -> LossResult:
        g, f = (functools.partial(apply, system.generator, players[name]) for name in (G, F))
        fakes = {D_A: f(b), D_B: g(a)}
        cycle_a = jnp.abs(f(fakes[D_B]) - a).mean()
        cycle_b = jnp.abs(g(fakes[D_A]) - b).mean()
        value = deceive(system, players, fakes) + system.cycle_weight * (cycle_a + cycle_b)
        if system.identity_weight:
            same = jnp.abs(f(a) - a).mean() + jnp.abs(g(b) - b).mean()
            value += system.identity_weight * same
        metrics = {"g_loss": value, "cycle_a": cycle_a, "cycle_b": cycle_b}
        return value, ({}, {**metrics, "fakes": fakes})

    run_state, metrics = descend(run_state, {G: system.optimizer, F: system.optimizer}, loss)
    return run_state, metrics, metrics.pop("fakes")


def discriminators_step(
    run_state: RunState, real: Domains, fakes: Domains, *, system: System
) -> StepResult:
    """Moves D_A and D_B once. Returns the state, and the metrics `d_loss_a` [] and `d_loss_b` [].

    The fakes go through the pools in the run state's memory.
    """
    shown, memory = history_pool.exchange_all(run_state.memory, fakes, step_key(run_state))
    run_state = dataclasses.replace(run_state, memory=memory)

    def loss(players: Players) -> LossResult:
        losses = {}
        for name in (D_A, D_B):
            network, player = system.discriminator, players[name]
            outputs = (apply(network, player, images[name]) for images in (real, shown))
            losses[name] = LOSSES[system.loss].discriminator(*outputs)
        value = losses[D_A] + losses[D_B]
        return value, ({}, {"d_loss_a": losses[D_A], "d_loss_b": losses[D_B]})

    run_state, metrics = descend(run_state, dict.fromkeys((D_A, D_B), system.optimizer), loss)
    players = dict(run_state.players)
    for name in (D_A, D_B) if system.clip else ():
        params = clip_weights(players[name].params, system.clip)
        players[name] = dataclasses.replace(players[name], params=params)
    return dataclasses.replace(run_state, players=players), metrics


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves the generators, then the discriminators. Returns the state and the metrics of both."""
    run_state, of_generators, fakes = generators_step(run_state, a, b, system=system)
    real = {D_A: a, D_B: b}
    run_state, of_discriminators = discriminators_step(run_state, real, fakes, system=system)
    return run_state, of_generators | of_discriminators


def make_system(config: ConfigDict, channels: int) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=ResNetGenerator(**config.generator, channels=channels, dtype=dtype),
        discriminator=PatchDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=adam(config),
        loss=config.loss,
        cycle_weight=config.cycle_weight,
        identity_weight=config.identity_weight,
        clip=config.clip,
    )


def initial(
    key: jax.Array, *, system: System, shape: tuple[int, ...], batch_size: int, pool: int
) -> RunState:
    """Returns the state before the first update, for images of a shape and pools of a size."""
    *keys, run_key = jax.random.split(key, 5)
    modules = system.generator, system.generator, system.discriminator, system.discriminator
    players = {
        name: make_player(module.init(own, jnp.zeros((1, *shape))), system.optimizer)
        for name, module, own in zip((G, F, D_A, D_B), modules, keys, strict=True)
    }
    pools = {name: history_pool.make_pool(batch_size, pool, shape) for name in (D_A, D_B)}
    return make_run_state(run_key, players, pools)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    if bool(config.clip) != (config.loss == "wasserstein"):
        raise UserError(
            f"config.clip={config.clip}: wasserstein needs critics with clipped weights, and other "
            "losses do not; give a limit such as 0.01, or 0"
        )
    translation = Translation(config, mesh, paired=False, choices=CHOICES, ranges=RANGES)
    shape = translation.shape
    system = make_system(config, shape[-1])
    sizes = {"shape": shape, "batch_size": config.batch_size, "pool": config.pool}
    return translation.recipe(
        init=functools.partial(initial, system=system, **sizes),
        step=functools.partial(step, system=system),
        moves=(G, F, D_A, D_B),
        translations=make_translations(config, shape),
        memory=dict.fromkeys((D_A, D_B), history_pool.shardings(mesh)),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function for each direction that translates images of a shape."""
    network = make_system(config, shape[-1]).generator
    return {
        "a_to_b": lambda players, images, key: apply(network, players[G], images),
        "b_to_a": lambda players, images, key: apply(network, players[F], images),
    }


DECLARATION = declare(make, make_translations, paired=False, choices=CHOICES, ranges=RANGES)
