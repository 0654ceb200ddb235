"""LAPGAN: a GAN at each level of a Laplacian pyramid (Denton et al., NeurIPS 2015).

I_0 is an image, I_(k+1) is I_k blurred and halved, and l_k is I_(k+1) expanded to the size of I_k,
so the band of detail h_k = I_k - l_k is what is lost. At the coarsest level an ordinary GAN makes
I_K of a latent code. At every other level, G_k adds a band to an l_k, and D_k sees their sum. In
every step, on a minibatch of images, for each level k below K:

    D_k takes a step down  -log s(D_k(l_k + h_k)) - log(1 - s(D_k(l_k + G_k(z, l_k))))
    G_k takes a step down  -log s(D_k(l_k + G_k(z, l_k)))

s is the sigmoid. l_k is that of a real image, so levels learn independently: all of them side by
side, or the one of `config.stages` in a run that has the others from `config.init_from`. To sample,
G_K makes an image, and each finer G_k adds its band to the expanded result.
"""

import dataclasses
import functools
import math
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
    Player,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.detail import measure_detail
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import laplacian
from jaxgan.images.pyramid import levels
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]
CHOICES = {"optimizer": ("sgd", "adam")}
RANGES = {
    "levels": (2, math.inf),
    "latent": (1, math.inf),
    "momentum": (0, 0.999),
    "discriminator.dropout": (0, 0.99),
    **dict.fromkeys(("generator_learning_rate", "discriminator_learning_rate"), (0, math.inf)),
    **dict.fromkeys(("generator.features", "discriminator.features"), (1, math.inf)),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the networks of all G_k.
        discriminator: the networks of all D_k.
        optimizers: the optimizers of the generators and of the discriminators.
        stages: the levels that learn; 0 is the finest.
        average_decay: the decay of the running average of the generators; 0: none is kept.
    """

    generator: laplacian.Generators
    discriminator: laplacian.Discriminators
    optimizers: dict[str, optax.GradientTransformation]
    stages: tuple[int, ...]
    average_decay: float


def imagine(
    system: System, generator: Player, real: list[jax.Array], key: jax.Array
) -> dict[int, jax.Array]:
    """Returns the images of G_k at each stage, made of the next coarser levels of real images."""
    noise, coarser = laplacian.draw_noise(system.generator, key, len(real[0])), [*real[1:], None]
    made: Any = {
        k: system.generator.apply(generator.variables, k, noise[k], coarser[k], method="level")
        for k in system.stages
    }
    return made


def judge(
    system: System, discriminator: Player, images: jax.Array, level: int, key: jax.Array
) -> jax.Array:
    """Returns raw outputs of D_k, float32 [B]; the key is of its dropout."""
    variables, keys = discriminator.variables, {"dropout": jax.random.fold_in(key, level)}
    outputs: Any = system.discriminator.apply(variables, images, level, method="judge", rngs=keys)
    return outputs


def discriminator_step(run_state: RunState, real: list[jax.Array], *, system: System) -> StepResult:
    """Moves the D_k of the stages once. Returns the state, and `d_loss_K` [] for each level K."""
    keys = jax.random.split(step_key(run_state), 3)
    fakes = imagine(system, run_state.players["generator"], real, keys[0])

    def loss(players: Players) -> LossResult:
        losses = {}
        for level, fake in fakes.items():
            of_level = functools.partial(judge, system, players["discriminator"], level=level)
            on_real, on_fake = of_level(real[level], key=keys[1]), of_level(fake, key=keys[2])
            losses[f"d_loss_{level}"] = LOSS.discriminator(on_real, on_fake)
        return sum(losses.values(), start=jnp.zeros(())), ({}, losses)

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(run_state: RunState, real: list[jax.Array], *, system: System) -> StepResult:
    """Moves the G_k of the stages once. Returns the state, and `g_loss_K` [] for each level K."""
    noise_key, dropout_key = jax.random.split(step_key(run_state))

    def loss(players: Players) -> LossResult:
        losses = {}
        for level, fake in imagine(system, players["generator"], real, noise_key).items():
            on_fake = judge(system, players["discriminator"], fake, level, dropout_key)
            losses[f"g_loss_{level}"] = LOSS.generator(on_fake)
        return sum(losses.values(), start=jnp.zeros(())), ({}, losses)

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the discriminators, then the generators. Returns the state and the metrics of both."""
    real = levels(gather(data, rows[0])[0], len(system.generator.shapes))
    run_state, of_discriminators = discriminator_step(run_state, real, system=system)
    run_state, of_generators = generator_step(run_state, real, system=system)
    return run_state, of_discriminators | of_generators


def make_system(config: ConfigDict, shape: tuple[int, ...]) -> System:
    """Returns the system of a config; UserError if these data have no levels, or not that one."""
    if len(shape) != 3 or min(shape[:2]) < 2**config.levels:
        raise UserError(
            f"config.levels={config.levels}: images of the shape {list(shape)} cannot be halved "
            "that often; choose fewer levels or other data"
        )
    stages: dict[str, tuple[int, ...]] = {str(k): (k,) for k in range(config.levels)}
    stages["all"] = tuple(range(config.levels))
    if config.stages not in stages:
        raise UserError(f"config.stages={config.stages!r}: choose one of {', '.join(stages)}")
    make_optimizer = optax.adam if config.optimizer == "adam" else optax.sgd
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=laplacian.Generators(
            laplacian.shapes(shape, config.levels), config.latent, dtype=dtype, **config.generator
        ),
        discriminator=laplacian.Discriminators(config.levels, dtype=dtype, **config.discriminator),
        optimizers={
            player: make_optimizer(config[f"{player}_learning_rate"], config.momentum)
            for player in ("generator", "discriminator")
        },
        stages=stages[config.stages],
        average_decay=config.average_decay,
    )


def initial(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    every = [jnp.zeros((1, *shape)) for shape in system.generator.shapes]
    keys = {"params": discriminator_key, "dropout": run_key}
    *noise, codes = laplacian.draw_noise(system.generator, run_key, 1)
    networks = {
        "generator": system.generator.init(generator_key, codes, noise),
        "discriminator": system.discriminator.init(keys, every),
    }
    averaged = system.average_decay > 0
    players = {
        name: make_player(each, system.optimizers[name], averaged and name == "generator")
        for name, each in networks.items()
    }
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, CHOICES, RANGES)
    system = make_system(config, training.shape)
    return training.recipe(
        init=functools.partial(initial, system=system),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generators of a config, one after the other."""
    network = make_system(config, shape).generator

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        *noise, codes = laplacian.draw_noise(network, key, len(labels))
        made: Any = network.apply(generator.variables, codes, noise)
        return made

    return sample


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the bands that generators add to real images."""
    system = make_system(config, valid.shape)
    every = dataclasses.replace(system, stages=tuple(range(config.levels)))
    refine = functools.partial(imagine, every)
    return measure_detail(refine, config.levels, valid.values, config.seed, mesh)


DECLARATION = declare(make, make_sample, make_measure=make_measure)
