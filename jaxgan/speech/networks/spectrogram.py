"""The networks of MetricGAN (Fu et al. 2019) and MetricGAN+ (Fu et al. 2021)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.nn.convolution import leaky_convolution
from jaxgan.nn.masked import masked_mean, masked_moments
from jaxgan.nn.recurrent import BidirectionalLSTM, Carry, ForwardLSTM, zero_carry
from jaxgan.nn.running import Moments, no_moments, running_moments
from jaxgan.speech.data.checks import FEWEST_FRAMES

LEAK = 0.3  # slope of every LeakyReLU in the code of both papers
CHANNELS_TOGETHER = 16
"""Tensor cores multiply blocks of so many bfloat16 channels. MetricGAN+'s four layers took 4.3 ms
on an H200 with 16 channels in bfloat16, forward and backward, and 17 ms with 15 in float32."""


class LearnableSigmoid(nn.Module):
    """Computes 1.2 sigmoid(slope x) with one slope per frequency (Fu et al. 2021, equation 5).

    Attributes:
        highest: the value it saturates at; above 1, so that a mask may also amplify.
    """

    highest: float = 1.2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., bins] -> [..., bins] in (0, highest)."""
        slope = self.param("slope", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        return self.highest * jax.nn.sigmoid(slope.astype(x.dtype) * x)


class Memory(NamedTuple):
    """What a causal generator remembers of the frames before.

    Attributes:
        moments: the moments of the input, per frequency.
        carries: the hidden state and the cell of each LSTM.
    """

    moments: Moments
    carries: tuple[Carry, ...]


class MaskGenerator(nn.Module):
    """The generator: LSTMs that predict a mask for every frame and frequency.

    With the default widths and 257 bins it has the paper's 1,892,057 parameters.

    Attributes:
        layers: number of LSTMs.
        width: their hidden units per direction.
        dense: units of the fully connected layer after them.
        dropout: rate after that layer, in training only.
        floor: lowest value of the mask (0.05 in both papers), which prevents musical noise.
        learnable_sigmoid: use MetricGAN+'s last activation instead of the plain sigmoid.
        power: the LSTMs see the input to this power. The papers have 1; lower values bring soft and
            loud speech closer together.
        normalise: scale that to mean 0 and variance 1 per utterance and frequency. A causal
            generator takes both over the frames so far; see `nn.running`.
        causal: the LSTMs only run forwards, so a mask depends on its own frame and on those before
            it. Otherwise they are bidirectional, and every mask depends on the whole utterance.
        dtype: the dtype of the dense layers; LSTMs, parameters and mask are float32.
    """

    layers: int = 2
    width: int = 200
    dense: int = 300
    dropout: float = 0.05
    floor: float = 0.05
    learnable_sigmoid: bool = False
    power: float = 1.0
    normalise: bool = True
    causal: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def highest(self) -> float:
        """The highest value of the mask."""
        return LearnableSigmoid.highest if self.learnable_sigmoid else 1.0

    def __call__(self, feature: jax.Array, frames: jax.Array, train: bool = False) -> jax.Array:
        """Returns the mask of whole utterances.

        Args:
            feature: float32 [B, T, bins], magnitudes of the noisy speech, zero in padding frames.
            frames: int [B], the number of valid frames.
            train: apply dropout, which draws from the "dropout" stream.

        Returns:
            float32 [B, T, bins] in [floor, 1], or [floor, 1.2] with the learnable sigmoid.
        """
        memory = self.initial_memory(feature.shape[0], feature.shape[-1]) if self.causal else None
        return self.masks(feature, frames, memory, train)[0]

    def advance(self, feature: jax.Array, memory: Memory) -> tuple[jax.Array, Memory]:
        """Returns the masks of the next frames of a stream, and the memory after them.

        In this way a causal generator gives the frames of an utterance, piece by piece, the masks
        that it gives them as a whole.

        Args:
            feature: float32 [B, T, bins].
            memory: after the frames before them; see `initial_memory`.
        """
        frames = jnp.full(feature.shape[0], feature.shape[1])
        mask, after = self.masks(feature, frames, memory, train=False)
        assert after is not None
        return mask, after

    def initial_memory(self, batch: int, bins: int) -> Memory:
        """Returns the memory before the first frame."""
        carries = tuple(zero_carry(1, batch, self.width) for _ in range(self.layers))
        return Memory(no_moments(batch, bins), carries)

    @nn.compact
    def masks(
        self, feature: jax.Array, frames: jax.Array, memory: Memory | None, train: bool
    ) -> tuple[jax.Array, Memory | None]:
        """Returns the masks, and the memory after the last frame; None unless one is given."""
        bins = feature.shape[-1]
        x = feature if self.power == 1 else feature**self.power
        moments = None if memory is None else memory.moments
        if self.normalise:
            if moments is None:
                valid = (jnp.arange(feature.shape[1]) < frames[:, None])[..., None]
                mean, variance = masked_moments(x, valid, axis=1)
            else:
                mean, variance, moments = running_moments(x, moments)
            # A silent band has variance 0: the constant maps it to 0 and keeps the gradient finite.
            x = (x - mean) / jnp.sqrt(variance + 1e-12)
        carries = []
        for number in range(self.layers):
            if memory is None:
                x = BidirectionalLSTM(self.width)(x, frames)
            else:
                x, carry = ForwardLSTM(self.width)(x, memory.carries[number])
                carries.append(carry)
        x = nn.leaky_relu(nn.Dense(self.dense, dtype=self.dtype)(x), LEAK)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.Dense(bins, dtype=self.dtype)(x).astype(jnp.float32)
        mask = LearnableSigmoid()(x) if self.learnable_sigmoid else jax.nn.sigmoid(x)
        after = None if moments is None else Memory(moments, tuple(carries))
        return jnp.maximum(mask, self.floor), after


class ChannelNorm(nn.Module):
    """Normalises each channel of each image, then applies a learned scale and offset.

    This is the batch normalisation of the papers' code, which runs in training mode with one
    utterance per batch.
    """

    epsilon: float = 1e-3  # of batch normalisation in Keras

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array) -> jax.Array:
        """Maps x [B, T, bins, C] to [B, T, bins, C]; `valid` [B, T] is 0 in padding and else 1."""
        mean, variance = masked_moments(x, valid[..., None, None], axis=(1, 2))
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        offset = self.param("offset", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return (x - mean) * jax.lax.rsqrt(variance + self.epsilon) * scale + offset


class LeakyConvolution(nn.Module):
    """A convolution over frames and bins without padding, followed by a LeakyReLU.

    In bfloat16 the result gets further channels that are zero, so that their number is a multiple
    of `CHANNELS_TOGETHER`; the next layer multiplies them by zero. They have no parameters.

    Attributes:
        inputs: channels of the input that count; further ones are zero.
        channels: the number of channels of the result.
        width: the width of the kernel, in frames and bins.
        dtype: the dtype of the computation; parameters are float32.
    """

    inputs: int
    channels: int
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, rows: jax.Array) -> jax.Array:
        """Maps x [B, T, bins, C], with `rows` [B] valid frames, to [B, T', bins', C']."""
        shape = (self.width, self.width, self.inputs, self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)
        more = -self.channels % (CHANNELS_TOGETHER if self.dtype == jnp.bfloat16 else 1)
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, x.shape[-1] - self.inputs), (0, more)))
        bias = jnp.pad(bias, (0, more))
        return leaky_convolution(x.astype(self.dtype), kernel, bias, LEAK, rows)


class MetricDiscriminator(nn.Module):
    """The discriminator, a surrogate of the score.

    It consists of convolutions, the average over the utterance, and dense layers. Every kernel is
    divided by an estimate of its largest singular value (Miyato et al. 2018), which one power
    iteration per call improves. The defaults give the paper's 345,330 parameters; MetricGAN+ uses
    channels (15, 15, 15, 15) with kernels (5, 5, 5, 5), 19,010 parameters.

    Attributes:
        channels: the channels of each convolution.
        kernels: their widths in frames and bins. Without padding, each removes kernel - 1 frames.
        dense: units of the layers between the average and the score.
        sees_reference: False to judge only the candidate, as in MetricGAN-U (Fu et al. 2021).
        dtype: the dtype of the convolutions; parameters, dense layers and result are float32.
    """

    channels: tuple[int, ...] = (15, 25, 40, 50)
    kernels: tuple[int, ...] = (5, 7, 9, 11)
    dense: tuple[int, ...] = (50, 10)
    sees_reference: bool = True
    dtype: jnp.dtype = jnp.float32

    @property
    def least_frames(self) -> int:
        """The number of frames below which nothing is left to average."""
        return sum(self.kernels) - len(self.kernels) + 1

    @nn.compact
    def __call__(self, candidate: jax.Array, clean: jax.Array, frames: jax.Array) -> jax.Array:
        """Returns the predicted score.

        Args:
            candidate: float32 [B, T, bins], feature of the speech to judge.
            clean: float32 [B, T, bins], feature of the reference.
            frames: int [B], the number of valid frames; the result is unspecified below
                `least_frames`.

        Returns:
            float32 [B], unbounded.
        """
        steps = jnp.arange(candidate.shape[1])
        x = jnp.stack([candidate, clean] if self.sees_reference else [candidate], axis=-1)
        x = ChannelNorm()(x, steps < frames[:, None])
        rows = frames
        inputs = x.shape[-1]
        layers = zip(self.channels, self.kernels, strict=True)
        for number, (channels, width) in enumerate(layers):
            # This name is part of the checkpoint format.
            layer = LeakyConvolution(inputs, channels, width, self.dtype, name=f"Conv_{number}")
            x = nn.SpectralNorm(layer)(x, rows, update_stats=True)
            inputs, rows = channels, rows - width + 1
        valid = steps[: x.shape[1]] < (frames - self.least_frames + 1)[:, None]
        x = masked_mean(x.astype(jnp.float32), valid[..., None, None], axis=(1, 2))
        x = x[:, : self.channels[-1]]
        for units in self.dense:
            x = nn.leaky_relu(nn.SpectralNorm(nn.Dense(units))(x, update_stats=True), LEAK)
        return nn.SpectralNorm(nn.Dense(1))(x, update_stats=True)[:, 0]


def init_discriminator(network: MetricDiscriminator, bins: int, key: jax.Array) -> PyTree:
    """Returns the initial variables of a discriminator.

    Args:
        network: the discriminator.
        bins: the number of bins of a feature's frame.
        key: the PRNG key of the initial values.
    """
    feature = jnp.zeros((1, network.least_frames, bins))
    return network.init(key, feature, feature, jnp.full((1,), network.least_frames))


def check_discriminator(config: ConfigDict) -> None:
    """Raises UserError for sizes that `MetricDiscriminator` cannot have.

    Args:
        config: the section `config.discriminator` of a run's config.
    """
    channels, kernels, dense = config.channels, config.kernels, config.dense
    if len(channels) != len(kernels) or not channels:
        raise UserError(
            f"config.discriminator.channels={channels} and config.discriminator.kernels={kernels}: "
            "give as many channels as kernels, one of each per convolution"
        )
    for name, sizes in (("channels", channels), ("kernels", kernels), ("dense", dense)):
        if min(sizes, default=1) < 1:
            raise UserError(f"config.discriminator.{name}={sizes}: every size must be at least 1")
    frames = sum(kernels) - len(kernels) + 1
    if frames > FEWEST_FRAMES:
        raise UserError(
            f"config.discriminator.kernels={kernels} need {frames} frames, but an utterance may "
            f"have only {FEWEST_FRAMES}: choose smaller kernels"
        )
