"""A generator and a discriminator: the networks of a config, and how steps call them."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
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
from jaxgan.images.networks import dcgan, mlp

GENERATORS = {"mlp": mlp.MLPGenerator, "dcgan": dcgan.Generator}
DISCRIMINATORS = {"mlp": mlp.MLPDiscriminator, "dcgan": dcgan.Discriminator}
CHOICES = {
    "network": tuple(GENERATORS),
    "prior": ("normal", "uniform"),
}
NETWORK_RANGES = {
    "latent": (1, math.inf),
    "generator_learning_rate": (0, math.inf),
    "discriminator_learning_rate": (0, math.inf),
}
RANGES = NETWORK_RANGES | {"adam_b1": (0, 1), "adam_b2": (0, 1)}

Optimizers = dict[str, optax.GradientTransformation]
"""The optimizer of each player."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """The two networks and their fixed settings.

    Attributes:
        generator: (z [B, latent], train) -> samples float32 [B, *shape].
        discriminator: (samples, train) -> raw outputs float32 [B], or [B, outputs].
        shape: the shape of a sample.
        latent: numbers in a latent code.
        prior: the prior of latent codes: "normal", or "uniform" from -1 to 1.
        packing: samples that D sees together, joined along the channels (PacGAN).
    """

    generator: nn.Module
    discriminator: nn.Module
    shape: tuple[int, ...]
    latent: int
    prior: str
    packing: int = 1


class System(Protocol):
    """What is fixed during a run of a system that trains a generator and a discriminator.

    Attributes:
        networks: the networks of both.
        optimizers: the optimizers of both players.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    @property
    def networks(self) -> Networks:
        """See above."""

    @property
    def optimizers(self) -> Optimizers:
        """See above."""

    @property
    def average_decay(self) -> float:
        """See above."""


def make_networks(
    config: ConfigDict,
    shape: tuple[int, ...],
    packing: int = 1,
    *,
    generators: Mapping[str, Callable[..., nn.Module]] = GENERATORS,
    discriminators: Mapping[str, Callable[..., nn.Module]] = DISCRIMINATORS,
    **of_discriminator: Any,
) -> Networks:
    """Returns the networks of a config.

    Args:
        config: the config of the run.
        shape: the shape of a sample.
        packing: see `Networks`.
        generators: the classes that `config.network` chooses from.
        discriminators: likewise.
        of_discriminator: attributes of D in addition to those of the config, such as `outputs`.

    Raises:
        UserError: convolutions are asked for, but the samples are points, or not square; or a batch
            cannot be divided into packs.
    """
    if config.batch_size % packing:
        raise UserError(
            f"config.packing={packing}: must divide config.batch_size={config.batch_size}"
        )
    if config.network != "mlp" and (len(shape) != 3 or shape[0] != shape[1]):
        raise UserError(
            f"config.network={config.network}: the samples have the shape {list(shape)}, but "
            "convolutional networks need square images; choose mlp, or other data"
        )
    dtype = jnp.dtype(config.dtype)
    return Networks(
        generator=generators[config.network](shape=shape, dtype=dtype, **config.generator),
        discriminator=discriminators[config.network](
            dtype=dtype, **of_discriminator, **config.discriminator
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


def make_rmsprop(config: ConfigDict) -> Optimizers:
    """Returns RMSprop for the two players of a config, each with its own learning rate."""
    decay, momentum = config.rmsprop_decay, config.momentum or None
    return {
        player: optax.rmsprop(config[f"{player}_learning_rate"], decay, momentum=momentum)
        for player in ("generator", "discriminator")
    }


def initial(
    networks: Networks,
    optimizers: Optimizers,
    average_decay: float,
    conditions: int = 0,
    seen: Sequence[int] | None = None,
    memory: PyTree = (),
) -> Callable[[jax.Array], RunState]:
    """Returns the function of the run's key that makes the state before the first update.

    Args:
        networks: the networks of the two players, "generator" and "discriminator".
        optimizers: the optimizers of both players.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
        conditions: how many numbers are joined to latent codes; see `generate`.
        seen: the shape of what D sees; by default that of a sample, or of a pack of them.
        memory: the memory of the run's state.
    """
    *size, channels = networks.shape
    seen_shape = tuple(seen or (*size, networks.packing * channels))

    def init(key: jax.Array) -> RunState:
        generator_key, discriminator_key, run_key = jax.random.split(key, 3)
        codes = jnp.zeros((1, networks.latent + conditions))
        generator = networks.generator.init(generator_key, codes)
        discriminator = networks.discriminator.init(discriminator_key, jnp.zeros((1, *seen_shape)))
        averaged = average_decay > 0
        players = {
            "generator": make_player(generator, optimizers["generator"], averaged),
            "discriminator": make_player(discriminator, optimizers["discriminator"]),
        }
        return make_run_state(run_key, players, memory)

    return init


def draw_codes(networks: Networks, key: jax.Array, count: int) -> jax.Array:
    """Returns latent codes, float32 [count, latent]."""
    shape = (count, networks.latent)
    if networks.prior == "normal":
        return jax.random.normal(key, shape)
    return jax.random.uniform(key, shape, minval=-1.0)


def generate(
    networks: Networks,
    generator: Player,
    key: jax.Array,
    count: int,
    conditions: jax.Array | None = None,
) -> tuple[jax.Array, PyTree]:
    """Returns samples as in training, float32 [count, *shape], and G's state after the call.

    Args:
        networks: the two networks.
        generator: G's parameters and state.
        key: the PRNG key of the latent codes.
        count: the number of samples.
        conditions: float32 [count, k], joined to the latent codes, such as classes as one-hot rows.
    """
    codes = draw_codes(networks, key, count)
    if conditions is not None:
        codes = jnp.concatenate([codes, conditions], axis=-1)
    return networks.generator.apply(generator.variables, codes, mutable=list(generator.state))


def judge(
    networks: Networks, discriminator: Player, *batches: jax.Array
) -> tuple[list[Any], PyTree]:
    """Returns D's raw outputs for batches of samples, and D's state after the calls.

    Each batch has its own call, so batch normalisation does not mix real and generated samples.

    Args:
        networks: the two networks.
        discriminator: D's parameters and state.
        batches: float32 [B, ...] each.

    Returns:
        What D returns for each batch, usually float32 [B], or [B, outputs]; and the state.
    """
    outputs = []
    for batch in batches:
        output, state = networks.discriminator.apply(
            discriminator.variables, batch, mutable=list(discriminator.state)
        )
        discriminator = dataclasses.replace(discriminator, state=state)
        outputs.append(output)
    return outputs, discriminator.state


def with_features(
    discriminator: nn.Module, variables: PyTree, samples: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the raw outputs of a trained D, and what its last dense layer receives.

    Args:
        discriminator: one of `DISCRIMINATORS`.
        variables: its parameters and state, which stay as they are.
        samples: float32 [B, ...].

    Returns:
        float32 [B] or [B, outputs], and the features, float [B, d].
    """
    received = []

    def watch(call: Any, arguments: Any, named: Any, context: Any) -> Any:
        # Spectral normalisation also calls other methods of a layer.
        if isinstance(context.module, nn.Dense) and arguments:
            received.append(arguments[0])
        return call(*arguments, **named)

    with nn.intercept_methods(watch):
        outputs: Any = discriminator.apply(variables, samples, train=False)
    return outputs, received[-1]


def move_discriminator(
    system: System,
    run_state: RunState,
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
) -> StepResult:
    """Moves D once down a loss of its raw outputs.

    Args:
        system: the system of the players "generator" and "discriminator".
        run_state: the state before the step.
        loss: (outputs for real samples float32 [B], for generated ones float32 [B]) -> loss [].
        real: real samples, float32 [B, ...].
        fake: generated samples, float32 [B, ...].

    Returns:
        The state, and the metrics `d_loss`, and D's mean outputs `d_real` and `d_fake`, all [].
    """

    def of_players(players: Players) -> LossResult:
        (on_real, on_fake), state = judge(system.networks, players["discriminator"], real, fake)
        value = loss(on_real, on_fake)
        metrics = {"d_loss": value, "d_real": on_real.mean(), "d_fake": on_fake.mean()}
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, of_players)


def move_generator(
    system: System,
    run_state: RunState,
    loss: Callable[[jax.Array], jax.Array],
    key: jax.Array,
    count: int,
    shown: Callable[[jax.Array], jax.Array] = lambda samples: samples,
) -> StepResult:
    """Moves G once down a loss of D's raw outputs for its samples.

    Args:
        system: the system of the players "generator" and "discriminator".
        run_state: the state before the step.
        loss: (what D returns for the samples, usually float32 [count]) -> loss [].
        key: the PRNG key of the latent codes.
        count: how many samples.
        shown: what D sees of samples; by default the samples themselves.

    Returns:
        The state, and the metric `g_loss` [].
    """

    def of_players(players: Players) -> LossResult:
        fake, state = generate(system.networks, players["generator"], key, count)
        (on_fake,), _ = judge(system.networks, players["discriminator"], shown(fake))
        value = loss(on_fake)
        return value, ({"generator": state}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, of_players, system.average_decay)


def sampler(
    networks: Networks, classes: int = 0
) -> Callable[[Player, jax.Array, jax.Array], jax.Array]:
    """Returns a function that draws from a trained generator; see `validation.Sample`.

    Args:
        networks: the two networks.
        classes: the number of classes, of which G receives one as a one-hot row after the latent
            code; 0: none.
    """

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        return deploy(networks, generator, key, jax.nn.one_hot(labels, classes))

    return sample


def deploy(
    networks: Networks, generator: Player, key: jax.Array, conditions: jax.Array
) -> jax.Array:
    """Returns samples of a trained generator, float32 [B, *shape].

    Args:
        networks: the two networks.
        generator: G's parameters and state, which stay as they are.
        key: the PRNG key of the latent codes.
        conditions: see `generate`, float32 [B, k]; k is 0 if there are none.
    """
    codes = jnp.concatenate([draw_codes(networks, key, len(conditions)), conditions], axis=-1)
    made: Any = networks.generator.apply(generator.variables, codes, train=False)
    samples: jax.Array = made
    return samples
