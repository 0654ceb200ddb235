"""The networks of a variational autoencoder, and the distributions that their outputs stand for."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import Player, RunState, make_player, make_run_state
from jaxgan.images.data.batches import to_floats
from jaxgan.images.networks.mlp import MLP
from jaxgan.methods.variational import log_bernoulli, log_normal

DECODERS = ("bernoulli", "gaussian")


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of samples with latent codes.

    Attributes:
        encoder: (x [B, values]) -> mean and log variance of q(z|x), together [B, 2 latent].
        decoder: (z [B, latent]) -> a number for each value of a sample [B, values].
        shape: the shape of a sample.
        latent: numbers in a latent code.
        kind: the kind of p(x|z), one of `DECODERS`.
        sd: the standard deviation of a Gaussian p(x|z), in the units of `seen`.
        binarise: whether pixels above 1/2 become 1 and all others 0.
    """

    encoder: nn.Module
    decoder: nn.Module
    shape: tuple[int, ...]
    latent: int
    kind: str
    sd: float
    binarise: bool


def make_model(config: ConfigDict, shape: tuple[int, ...]) -> Model:
    """Returns the model of a config for samples of a shape.

    Raises:
        UserError: the samples are points, and the config asks for pixels from 0 to 1.
    """
    if len(shape) != 3 and (config.binarise or config.decoder == "bernoulli"):
        raise UserError(
            f"config.decoder={config.decoder}, config.binarise={config.binarise}: points are not "
            "pixels from 0 to 1; choose gaussian and False, or other data"
        )
    dtype = jnp.dtype(config.dtype)
    return Model(
        encoder=MLP(config.encoder.widths, 2 * config.latent, dtype=dtype),
        decoder=MLP(config.generator.widths, math.prod(shape), dtype=dtype),
        shape=shape,
        latent=config.latent,
        kind=config.decoder,
        sd=config.sd,
        binarise=config.binarise,
    )


def initial(
    model: Model, optimizer: optax.GradientTransformation, average_decay: float
) -> Callable[[jax.Array], RunState]:
    """Returns the function of the run's key that makes the state before the first update.

    Args:
        model: the model of the two players, "encoder" and "generator", which is the decoder.
        optimizer: the optimizer of both players.
        average_decay: the decay of the running averages of their parameters; 0: none are kept.
    """
    averaged = average_decay > 0

    def init(key: jax.Array) -> RunState:
        encoder_key, decoder_key, run_key = jax.random.split(key, 3)
        encoder = model.encoder.init(encoder_key, jnp.zeros((1, math.prod(model.shape))))
        decoder = model.decoder.init(decoder_key, jnp.zeros((1, model.latent)))
        players = {
            "encoder": make_player(encoder, optimizer, averaged),
            "generator": make_player(decoder, optimizer, averaged),
        }
        return make_run_state(run_key, players)

    return init


def seen(model: Model, values: jax.Array) -> jax.Array:
    """Returns images as rows of pixels from 0 to 1, and points as they are, float32 [B, values].

    Args:
        model: the model.
        values: uint8 [B, H, W, C] or float32 [B, 2].
    """
    x = to_floats(values, low=0.0).reshape(len(values), -1)
    return (x > 0.5).astype(jnp.float32) if model.binarise else x


def encode(model: Model, encoder: Player, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean and the log variance of q(z|x), float32 [B, latent] each."""
    outputs: Any = model.encoder.apply(encoder.variables, x)
    mean, log_variance = jnp.split(outputs, 2, axis=-1)
    return mean, log_variance


def decode(model: Model, decoder: Player, z: jax.Array) -> jax.Array:
    """Returns logits of Bernoulli pixels, or the mean of a Gaussian, float32 [B, values].

    The mean of pixels is kept from 0 to 1 by a sigmoid, as in Kingma and Welling 2014, section 5.
    """
    outputs: Any = model.decoder.apply(decoder.variables, z)
    gaussian_pixels = model.kind == "gaussian" and len(model.shape) == 3
    decoded: jax.Array = jax.nn.sigmoid(outputs) if gaussian_pixels else outputs
    return decoded


def log_likelihood(model: Model, decoder: Player, x: jax.Array, z: jax.Array) -> jax.Array:
    """Returns log p(x|z) [B]."""
    decoded = decode(model, decoder, z)
    if model.kind == "bernoulli":
        return log_bernoulli(x, decoded)
    return log_normal(x, decoded, 2 * math.log(model.sd))


def draw(model: Model, decoder: Player, key: jax.Array, count: int) -> jax.Array:
    """Returns the means of p(x|z) for codes from the prior N(0, I).

    Returns:
        float32 [count, *shape], images from -1 to 1.
    """
    decoded = decode(model, decoder, jax.random.normal(key, (count, model.latent)))
    mean = jax.nn.sigmoid(decoded) if model.kind == "bernoulli" else decoded
    samples = mean.reshape(count, *model.shape)
    return 2 * samples - 1 if len(model.shape) == 3 else samples
