"""A generator and a discriminator: the networks of a config, and how steps call them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import Player, PyTree, RunState, make_player, make_run_state
from jaxgan.images.networks import dcgan, mlp

GENERATORS = {"mlp": mlp.MLPGenerator, "dcgan": dcgan.Generator}
DISCRIMINATORS = {"mlp": mlp.MLPDiscriminator, "dcgan": dcgan.Discriminator}
CHOICES = {
    "network": tuple(GENERATORS),
    "prior": ("normal", "uniform"),
}
RANGES = {
    "latent": (1, math.inf),
    "generator_learning_rate": (0, math.inf),
    "discriminator_learning_rate": (0, math.inf),
    "adam_b1": (0, 1),
    "adam_b2": (0, 1),
}

Optimizers = dict[str, optax.GradientTransformation]
"""The optimizer of each player."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """What is fixed about the two networks.

    Attributes:
        generator: (z [B, latent], train) -> samples float32 [B, *shape].
        discriminator: (samples, train) -> raw outputs float32 [B], or [B, outputs].
        shape: of a sample.
        latent: numbers in a latent code.
        prior: of latent codes: "normal", or "uniform" from -1 to 1.
        packing: samples that D sees together, joined along the channels (PacGAN).
    """

    generator: nn.Module
    discriminator: nn.Module
    shape: tuple[int, ...]
    latent: int
    prior: str
    packing: int = 1


def pair_settings(config: ConfigDict, network: str) -> None:
    """Adds the settings of two networks, "mlp" or "dcgan", and of their optimizers to a config."""
    # Radford et al. 2016: a momentum of 0.5 instead of 0.9 makes training stable.
    config.adam_b1, config.adam_b2 = 0.5, 0.999
    config.generator_learning_rate = config.discriminator_learning_rate = 2e-4
    config.network = network
    config.prior = "normal"
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    if network == "mlp":
        config.latent = 2
        config.generator.widths = config.discriminator.widths = (128, 128, 128)
    else:
        config.latent = 100  # Radford et al. 2016, as are the numbers of features
        config.generator.features = 128
        config.discriminator.features = 64
        config.generator.normalisation = config.discriminator.normalisation = "batch"
        config.discriminator.spectral = False


def make_networks(
    config: ConfigDict, shape: tuple[int, ...], packing: int = 1, outputs: int = 1
) -> Networks:
    """Returns the networks of a config for samples of a shape; D has `outputs` outputs.

    Raises:
        UserError: convolutions are asked for, but the samples are points, or not square; or a batch
            cannot be divided into packs.
    """
    if config.batch_size % packing:
        raise UserError(
            f"config.packing={packing}: must divide config.batch_size={config.batch_size}"
        )
    if config.network == "dcgan" and (len(shape) != 3 or shape[0] != shape[1]):
        raise UserError(
            f"config.network=dcgan: the samples have the shape {list(shape)}, but convolutional "
            "networks need square images; choose mlp, or other data"
        )
    dtype = jnp.dtype(config.dtype)
    return Networks(
        generator=GENERATORS[config.network](shape=shape, dtype=dtype, **config.generator),
        discriminator=DISCRIMINATORS[config.network](
            dtype=dtype, outputs=outputs, **config.discriminator
        ),
        shape=shape,
        latent=config.latent,
        prior=config.prior,
        packing=packing,
    )


def make_optimizers(
    config: ConfigDict, players: Sequence[str] = ("generator", "discriminator")
) -> Optimizers:
    """Returns Adam for the players of a config, each with its own learning rate."""
    return {
        player: optax.adam(config[f"{player}_learning_rate"], config.adam_b1, config.adam_b2)
        for player in players
    }


def initial(
    networks: Networks, optimizers: Optimizers, average_decay: float
) -> Callable[[jax.Array], RunState]:
    """Returns the function of the run's key that makes the state before the first update.

    Args:
        networks: of the two players, "generator" and "discriminator".
        optimizers: of both.
        average_decay: of the running average of G's parameters; 0: none is kept.
    """

    def init(key: jax.Array) -> RunState:
        generator_key, discriminator_key, run_key = jax.random.split(key, 3)
        generator = networks.generator.init(generator_key, jnp.zeros((1, networks.latent)))
        *size, channels = networks.shape
        seen = jnp.zeros((1, *size, networks.packing * channels))
        discriminator = networks.discriminator.init(discriminator_key, seen)
        averaged = average_decay > 0
        players = {
            "generator": make_player(generator, optimizers["generator"], averaged),
            "discriminator": make_player(discriminator, optimizers["discriminator"]),
        }
        return make_run_state(run_key, players)

    return init


def draw_codes(networks: Networks, key: jax.Array, count: int) -> jax.Array:
    """Returns latent codes, float32 [count, latent]."""
    shape = (count, networks.latent)
    if networks.prior == "normal":
        return jax.random.normal(key, shape)
    return jax.random.uniform(key, shape, minval=-1.0)


def generate(
    networks: Networks, generator: Player, key: jax.Array, count: int
) -> tuple[jax.Array, PyTree]:
    """Returns samples as in training, float32 [count, *shape], and G's state after the call."""
    codes = draw_codes(networks, key, count)
    return networks.generator.apply(generator.variables, codes, mutable=list(generator.state))


def judge(
    networks: Networks, discriminator: Player, *batches: jax.Array
) -> tuple[list[jax.Array], PyTree]:
    """Returns D's raw outputs for batches of samples, and D's state after the calls.

    Each batch has its own call, so batch normalisation does not mix real and generated samples.

    Args:
        networks: the two networks.
        discriminator: D's parameters and state.
        batches: float32 [B, ...] each.

    Returns:
        float32 [B], or [B, outputs], for each batch; and the state.
    """
    outputs = []
    for batch in batches:
        output, state = networks.discriminator.apply(
            discriminator.variables, batch, mutable=list(discriminator.state)
        )
        discriminator = dataclasses.replace(discriminator, state=state)
        outputs.append(output)
    return outputs, discriminator.state


def sampler(networks: Networks) -> Callable[[Player, jax.Array, jax.Array], jax.Array]:
    """Returns a function that draws from a trained generator; see `validation.Sample`."""

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        codes = draw_codes(networks, key, len(labels))
        made: Any = networks.generator.apply(generator.variables, codes, train=False)
        samples: jax.Array = made
        return samples

    return sample
