"""The networks of Salimans et al. 2016 for digits, as in the authors' code.

The classifier is fully connected, with Gaussian noise before and weight normalisation in every
layer. The generator has softplus units and batch normalisation, or virtual batch normalisation.
Both take a condition, such as a class, which joins the input of every layer (as Li et al. 2017 do).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import one_hot
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.state import Player, RunState, make_player, make_run_state
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.classification import error_of
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample
from jaxgan.images.networks import pair
from jaxgan.methods.regularisers import minibatch_discrimination
from jaxgan.nn.virtual_batch_norm import VirtualBatchNorm

KERNEL_SIZE = 5
"""Numbers of a sample that one kernel of minibatch discrimination compares, as in the authors'
code."""
EXAMPLES = 500
"""Samples on which the first weights are normalised, as in the authors' code."""
CHOICES = {"prior": pair.CHOICES["prior"]}
RANGES = pair.RANGES | {
    "discriminator.input_noise": (0, math.inf),
    "discriminator.noise": (0, math.inf),
    "discriminator.kernels": (0, math.inf),
    "generator.reference": (0, math.inf),
}


class WeightNormDense(nn.Module):
    """A dense layer with weight normalisation (Salimans and Kingma 2016).

    The batch that `init` is given sets the lengths and offsets so that its outputs have mean 0 and
    standard deviation 1.

    Attributes:
        features: outputs.
        trained_lengths: False: the lengths stay as `init` sets them, in the collection "lengths".
        dtype: the dtype of the matrix product; parameters and result are float32.
    """

    features: int
    trained_lengths: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns float32 [B, features] for x [B, d]."""
        shape = (x.shape[-1], self.features)
        direction = self.param("direction", nn.initializers.normal(0.1), shape, jnp.float32)
        unit = direction / jnp.linalg.norm(direction, axis=0)
        y = jnp.matmul(x.astype(self.dtype), unit.astype(self.dtype)).astype(jnp.float32)

        def initial_length() -> jax.Array:
            return jax.lax.rsqrt(jnp.var(y, axis=0) + 1e-6)

        if self.trained_lengths:
            length = self.param("length", lambda _: initial_length())
        else:
            length = self.variable("lengths", "length", initial_length).value
        offset = self.param("offset", lambda _: -jnp.mean(y, axis=0) * initial_length())
        return y * length + offset


class NoisyMLP(nn.Module):
    """Maps images or points to some numbers, such as the logits of classes.

    Attributes:
        widths: the widths of the hidden layers.
        outputs: the number of outputs.
        input_noise: standard deviation of the noise on images from 0 to 1, or on points.
        noise: standard deviation of the noise before all other layers.
        kernels: the number of kernels of minibatch discrimination before the last layer; 0 for
            none.
        dtype: the dtype of the matrix products.
    """

    widths: Sequence[int]
    outputs: int
    input_noise: float = 0.3
    noise: float = 0.5
    kernels: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = True, condition: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns float32 [B, outputs], and the last hidden layer [B, widths[-1]].

        Args:
            x: images from -1 to 1, float32 [B, H, W, C], or points, float32 [B, 2].
            train: add noise, drawn from the stream "noise".
            condition: float32 [B, K].
        """
        x = ((x + 1) / 2 if x.ndim == 4 else x).reshape(len(x), -1)
        sd = self.input_noise
        for width in self.widths:
            x = _joined(self._noisy(x, sd, train), condition)
            x = nn.relu(WeightNormDense(width, dtype=self.dtype)(x))
            sd = self.noise
        features = x
        x = self._noisy(x, sd, train)
        if self.kernels:
            projected = WeightNormDense(self.kernels * KERNEL_SIZE, True, self.dtype)(x)
            near = minibatch_discrimination(projected.reshape(len(x), self.kernels, KERNEL_SIZE))
            x = jnp.concatenate([x, near], axis=-1)
        last = WeightNormDense(self.outputs, True, self.dtype)
        return last(_joined(x, condition)), features

    def _noisy(self, x: jax.Array, sd: float, train: bool) -> jax.Array:
        if not (train and sd):
            return x
        return x + sd * jax.random.normal(self.make_rng("noise"), x.shape, x.dtype)


class SoftplusGenerator(nn.Module):
    """Maps latent codes to images or points.

    Attributes:
        widths: the widths of the hidden layers.
        shape: the shape of a sample; images from -1 to 1, or (2,).
        reference: codes in the reference batch of virtual batch normalisation, the variable "codes"
            of the collection "reference"; 0 for batch normalisation.
        dtype: the dtype of the matrix products.
    """

    widths: Sequence[int]
    shape: tuple[int, ...]
    reference: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, z: jax.Array, train: bool = True, condition: jax.Array | None = None
    ) -> jax.Array:
        """Returns float32 [B, *shape] for z [B, latent] and perhaps a condition [B, K]."""
        x = z.reshape(len(z), -1)
        if self.reference:
            shape = (self.reference, x.shape[-1])
            fixed = self.variable("reference", "codes", jnp.zeros, shape, jnp.float32)
            x = jnp.concatenate([fixed.value, x])
        for width in self.widths:
            x = nn.Dense(width, use_bias=False, dtype=self.dtype)(_joined(x, condition))
            if self.reference:
                x = VirtualBatchNorm()(x, self.reference)
            else:
                x = nn.BatchNorm(not train, momentum=0.9, use_scale=False, dtype=jnp.float32)(x)
            x = nn.softplus(x)
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(_joined(x, condition))
        x = x[self.reference :].astype(jnp.float32).reshape(len(z), *self.shape)
        # The sigmoid of the authors' code, on the scale from -1 to 1.
        return jnp.tanh(x / 2) if len(self.shape) == 3 else x


def _joined(x: jax.Array, condition: jax.Array | None) -> jax.Array:
    return x if condition is None else jnp.concatenate([x, condition], axis=-1)


def make_networks(config: ConfigDict, shape: tuple[int, ...], outputs: int) -> pair.Networks:
    """Returns the generator and the discriminator, or classifier, of a config.

    Args:
        config: a config with the settings of `settings.noisy_settings`.
        shape: the shape of a sample.
        outputs: the number of outputs of the discriminator. It does not matter where only the
            generator is used.
    """
    dtype = jnp.dtype(config.dtype)
    return pair.Networks(
        generator=SoftplusGenerator(shape=shape, dtype=dtype, **config.generator),
        discriminator=NoisyMLP(outputs=outputs, dtype=dtype, **config.discriminator),
        shape=shape,
        latent=config.latent,
        prior=config.prior,
    )


def initial(
    networks: pair.Networks,
    optimizers: pair.Optimizers,
    examples: np.ndarray,
    averaged: bool,
    classes: int = 0,
    classifier: nn.Module | None = None,
) -> Callable[[jax.Array], RunState]:
    """Returns the function of the run's key that makes the state before the first update.

    Args:
        networks: the networks of the players "generator" and "discriminator".
        optimizers: the optimizers of all players.
        examples: float32 [n, *shape], on which D's and C's weights are normalised.
        averaged: whether the players keep a running average of their parameters.
        classes: how many there are, if G and D take a class as their condition.
        classifier: C, if there is a third player, "classifier".
    """

    def init(key: jax.Array) -> RunState:
        g_key, d_key, c_key, reference_key, run_key = jax.random.split(key, 5)
        each = jnp.arange(len(examples)) % max(classes, 1)
        condition = one_hot(each, classes) if classes else None
        codes = pair.draw_codes(networks, g_key, len(examples))
        generator = networks.generator.init(g_key, codes, True, condition)
        if "reference" in generator:
            count = len(generator["reference"]["codes"])
            codes = pair.draw_codes(networks, reference_key, count)
            generator = {**generator, "reference": {"codes": codes}}
        variables = {
            "generator": generator,
            "discriminator": networks.discriminator.init(d_key, examples, False, condition),
        }
        if classifier:
            variables["classifier"] = classifier.init(c_key, examples, False)
        players = {
            name: make_player(values, optimizers[name], averaged)
            for name, values in variables.items()
        }
        return make_run_state(run_key, players)

    return init


def sampler(
    networks: pair.Networks, classes: int
) -> Callable[[Player, jax.Array, jax.Array], jax.Array]:
    """Returns a function that draws images of given classes; see `validation.Sample`."""

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        codes, wanted = pair.draw_codes(networks, key, len(labels)), one_hot(labels, classes)
        made: Any = networks.generator.apply(generator.variables, codes, False, wanted)
        samples: jax.Array = made
        return samples

    return sample


def judge(
    network: nn.Module,
    player: Player,
    samples: jax.Array,
    key: jax.Array,
    condition: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns the outputs [B, outputs] and features [B, d] of D or C for samples, with noise.

    Args:
        network: D or C, a `NoisyMLP`.
        player: its parameters and state.
        samples: float32 [B, ...].
        key: the PRNG key of the noise.
        condition: float32 [B, K], or none.
    """
    outputs: Any = network.apply(
        player.variables, samples, condition=condition, rngs={"noise": key}
    )
    logits, features = outputs
    return logits, features


def judge_together(
    network: nn.Module,
    player: Player,
    batches: Sequence[jax.Array],
    key: jax.Array,
    conditions: Sequence[jax.Array] | None = None,
) -> list[jax.Array]:
    """Returns the outputs of `judge` for several batches, from one call of the network.

    Args:
        network: D or C, without minibatch discrimination.
        player: its parameters and state.
        batches: float32 [B, ...] each.
        key: the PRNG key of the noise.
        conditions: one for each batch, float32 [B, K], or none.
    """
    condition = None if conditions is None else jnp.concatenate(conditions)
    outputs, _ = judge(network, player, jnp.concatenate(batches), key, condition)
    return jnp.split(outputs, np.cumsum([len(batch) for batch in batches])[:-1])


def classify(network: nn.Module) -> Callable[[Player, jax.Array], jax.Array]:
    """Returns the function that answers without noise; see `classification.Classify`."""

    def answer(player: Player, samples: jax.Array) -> jax.Array:
        outputs: Any = network.apply(player.variables, samples, train=False)
        logits, _ = outputs
        return logits

    return answer


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(make_networks(config, shape, 1))


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the error of D's classes on held-out images."""
    networks = make_networks(config, valid.shape, len(valid.classes))
    answer = classify(networks.discriminator)
    return error_of("discriminator", answer, valid, config.batch_size, mesh)
