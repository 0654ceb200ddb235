"""A dual-path network on complex spectra: it predicts a mask of magnitudes and a complex residual.

As in CMGAN (Cao, Abdulatif and Yang, "CMGAN: conformer-based metric GAN for speech enhancement",
2022), spectra are compressed to the power 0.3 of their magnitudes, the frequencies are reduced to
fewer bands, blocks work along frequency and along time in turn, and the result is the masked
spectrum plus a residual, so the phase changes, too. Instead of conformers the blocks have layers
that run fast and compile quickly on CPUs and accelerators: along frequency, a matrix for each
channel (the full-band linear module of SpatialNet; Quan and Li, 2024); along time, dilated
convolutions with a gate. There is no recurrence and no attention.

Normalisation is over the channels of each cell, and the level of the input is its mean power over
the utterance, so padding changes nothing. In the causal variant convolutions only see earlier
frames and the level is that of the frames so far.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.nn.running import Moments, no_moments, running_moments
from jaxgan.speech.networks.denoiser import Denoiser, Streaming
from jaxgan.speech.networks.stft import FrontEnd, istft, stft
from jaxgan.speech.networks.streaming import StreamState, advance_stream, start_stream

COMPRESSION = 0.3
"""The power of the magnitudes that the network sees (Braun and Tashev, 2021; CMGAN)."""
STRIDE = 4
"""Bins from one band to the next, 125 Hz for frames of 512 samples. A band holds twice as many."""
HIGHEST_MASK = 2.0
"""The mask is HIGHEST_MASK * sigmoid(x), as in MP-SENet (Lu, Ai and Ling, 2023); 1 for x = 0."""
LEAST_POWER = 1e-12
"""Added to mean powers before division; far below that of the last bit of int16, about 1e-7."""
INITIAL_OUTPUT = 0.01
"""Scale of the initial weights of the last layer, which make a network that returns its input."""


class Memory(NamedTuple):
    """What a causal network remembers of the frames before.

    Attributes:
        level: the moments of the power of the frames.
        frames: for each block, the values that its convolution needs again: float32
            [B, (taps - 1) * dilation, bands, width].
    """

    level: Moments
    frames: tuple[jax.Array, ...]


def normalise(x: jax.Array) -> jax.Array:
    """Returns x [..., C] with a mean square of 1 over the channels (Zhang and Sennrich, 2019)."""
    power = jnp.mean(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(power + 1e-6).astype(x.dtype)


class Dense(nn.Module):
    """A fully connected layer over the channels.

    It works on a matrix of all cells: for CPUs XLA compiles the gradient of a product over several
    axes to code that takes four times as long.

    Attributes:
        channels: the number of channels of the result.
        dtype: the dtype of the computation; parameters are float32.
        scale: the scale of the initial weights, relative to LeCun's.
    """

    channels: int
    dtype: jnp.dtype
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., channels]."""
        initial = nn.initializers.variance_scaling(self.scale**2, "fan_in", "truncated_normal")
        layer = nn.Dense(self.channels, dtype=self.dtype, kernel_init=initial)
        return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], self.channels)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_sum(padded: jax.Array, taps: jax.Array, dilation: int) -> jax.Array:
    """Returns a dilated convolution over time of each channel by itself, [B, T, F, C].

    It is a sum of shifted products, and so are its gradients: XLA compiles grouped convolutions to
    slow code for CPUs, and the gradients of slices as well.

    Args:
        padded: [B, T + (K - 1) dilation, F, C].
        taps: [K, C]; the first one belongs to the earliest frame.
        dilation: frames between two taps.
    """
    count = padded.shape[1] - (len(taps) - 1) * dilation
    starts = (place * dilation for place in range(len(taps)))
    products = [
        tap * padded[:, start : start + count] for tap, start in zip(taps, starts, strict=True)
    ]
    return sum(products[1:], products[0])


def _shifted_sum_forward(
    padded: jax.Array, taps: jax.Array, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return shifted_sum(padded, taps, dilation), (padded, taps)


def _shifted_sum_backward(
    dilation: int, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    padded, taps = kept
    count, reach = gradient.shape[1], (len(taps) - 1) * dilation
    around = jnp.pad(gradient, ((0, 0), (reach, reach), (0, 0), (0, 0)))
    of_taps = [
        jnp.sum(padded[:, start : start + count] * gradient, axis=(0, 1, 2))
        for start in range(0, reach + 1, dilation)
    ]
    return shifted_sum(around, taps[::-1], dilation), jnp.stack(of_taps)


shifted_sum.defvjp(_shifted_sum_forward, _shifted_sum_backward)


class AlongFrequency(nn.Module):
    """Mixes the bands of each frame: few channels, one matrix over the bands for each of them.

    Attributes:
        width: channels of the input and of the result.
        hidden: channels in between.
        dtype: the dtype of the computation; parameters are float32.
    """

    width: int
    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, T, bands, width] to [B, T, bands, width]."""
        bands = x.shape[2]
        initial = nn.initializers.normal(bands**-0.5)
        mix = self.param("mix", initial, (self.hidden, bands, bands)).astype(self.dtype)
        offset = self.param("offset", nn.initializers.zeros, (bands, self.hidden))
        y = nn.silu(Dense(self.hidden, self.dtype)(normalise(x)))
        y = jnp.einsum("btfh,hfg->btgh", y, mix) + offset.astype(self.dtype)
        return Dense(self.width, self.dtype)(nn.silu(y))


class AlongTime(nn.Module):
    """Mixes the frames of each band: a dilated convolution of each channel, times a gate.

    Attributes:
        width: channels.
        taps: the number of taps of the convolution, odd.
        dilation: frames between two taps.
        dtype: the dtype of the computation; parameters are float32.
    """

    width: int
    taps: int
    dilation: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: jax.Array, valid: jax.Array, before: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Returns [B, T, bands, width], and what the next frames of a stream need.

        Args:
            x: [B, T, bands, width].
            valid: bool [B, T], false in padding.
            before: the values before the first frame, for a causal network; None: those on both
                sides are zero, and taps are on both sides.
        """
        x = normalise(x)
        value, gate = jnp.split(Dense(2 * self.width, self.dtype)(x), 2, axis=-1)
        value = jnp.where(valid[:, :, None, None], value, 0)
        reach = (self.taps - 1) * self.dilation
        if before is None:
            half = reach // 2
            padded = jnp.pad(value, ((0, 0), (half, half), (0, 0), (0, 0)))
            after = None
        else:
            padded = jnp.concatenate([before.astype(value.dtype), value], axis=1)
            after = padded[:, padded.shape[1] - reach :].astype(jnp.float32)
        initial = nn.initializers.normal(self.taps**-0.5)
        taps = self.param("taps", initial, (self.taps, self.width)).astype(self.dtype)
        value = shifted_sum(padded, taps, self.dilation)
        return Dense(self.width, self.dtype)(value * nn.silu(gate)), after


class DualPath(nn.Module):
    """The generator: complex spectra of noisy speech to those of enhanced speech.

    Attributes:
        width: channels of each cell.
        hidden: channels of the layers along frequency.
        taps: the number of taps of the convolutions over time, odd.
        dilations: the dilations of the convolutions over time, one for each block.
        causal: a result depends only on its own frame and on those before it.
        dtype: the dtype of the layers; parameters, spectra and levels are float32.
    """

    width: int = 64
    hidden: int = 32
    taps: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    causal: bool = False
    dtype: jnp.dtype = jnp.float32

    def __call__(self, spectrum: jax.Array, frames: jax.Array) -> jax.Array:
        """Returns the spectra of whole utterances, enhanced: complex64 [B, T, bins].

        Args:
            spectrum: complex64 [B, T, bins], zero in padding frames.
            frames: int [B], the number of valid frames.
        """
        valid = jnp.arange(spectrum.shape[1]) < frames[:, None]
        memory = self.initial_memory(*spectrum.shape[::2]) if self.causal else None
        return self.estimate(spectrum, valid, memory)[0]

    def advance(self, spectrum: jax.Array, memory: Memory) -> tuple[jax.Array, Memory]:
        """Returns the enhanced spectra of the next frames of a stream, and the memory after them.

        Args:
            spectrum: complex64 [B, T, bins].
            memory: after the frames before them; see `initial_memory`.
        """
        valid = jnp.ones(spectrum.shape[:2], bool)
        enhanced, after = self.estimate(spectrum, valid, memory)
        assert after is not None
        return enhanced, after

    def initial_memory(self, batch: int, bins: int) -> Memory:
        """Returns the memory before the first frame."""
        cell = (count_bands(bins), self.width)
        frames = tuple(
            jnp.zeros((batch, (self.taps - 1) * dilation, *cell)) for dilation in self.dilations
        )
        return Memory(no_moments(batch, 1), frames)

    @nn.compact
    def estimate(
        self, spectrum: jax.Array, valid: jax.Array, memory: Memory | None
    ) -> tuple[jax.Array, Memory | None]:
        """Returns the enhanced spectra, and the memory after the last frame if one is given."""
        power = jnp.mean(spectrum.real**2 + spectrum.imag**2, axis=-1, keepdims=True)
        if memory is None:
            count = jnp.maximum(jnp.sum(valid, axis=1), 1)
            level = jnp.sum(power, axis=1, keepdims=True) / count[:, None, None]
            moments = None
        else:
            level, _, moments = running_moments(power, memory.level)
        scale = jnp.sqrt(level + LEAST_POWER)
        compressed = compress(spectrum / scale)
        cells = jnp.stack([compressed.real, compressed.imag, jnp.abs(compressed)], axis=-1)
        x = Dense(self.width, self.dtype)(to_bands(cells))
        # What a band contains depends on its frequency.
        x = x + self.param("frequency", nn.initializers.normal(0.02), x.shape[2:]).astype(x.dtype)
        remembered = []
        for number, dilation in enumerate(self.dilations):
            x = x + AlongFrequency(self.width, self.hidden, self.dtype)(x)
            before = None if memory is None else memory.frames[number]
            layer = AlongTime(self.width, self.taps, dilation, self.dtype)
            change, after = layer(x, valid, before)
            x = x + change
            if after is not None:
                remembered.append(after)
        x = nn.silu(Dense(self.width, self.dtype)(normalise(x)))
        x = Dense(2 * STRIDE * cells.shape[-1], self.dtype, INITIAL_OUTPUT)(x)
        mask, real, imaginary = jnp.moveaxis(
            from_bands(x.astype(jnp.float32), spectrum.shape[-1], cells.shape[-1]), -1, 0
        )
        mask = HIGHEST_MASK * nn.sigmoid(mask)
        made = jax.lax.complex(
            mask * compressed.real + real,
            mask * compressed.imag + imaginary,
        )
        return scale * expand(made), moments and Memory(moments, tuple(remembered))


def count_bands(bins: int) -> int:
    """Returns how many bands a number of bins has."""
    return -(-bins // STRIDE)


def to_bands(cells: jax.Array) -> jax.Array:
    """Returns the bins of overlapping bands: [B, T, bins, C] -> [B, T, bands, 2 STRIDE C]."""
    batch, frames, bins, channels = cells.shape
    bands = count_bands(bins)
    margin = STRIDE // 2
    after = (bands + 1) * STRIDE - bins - margin
    padded = jnp.pad(cells, ((0, 0), (0, 0), (margin, after), (0, 0)))
    halves = padded.reshape(batch, frames, bands + 1, STRIDE * channels)
    return jnp.concatenate([halves[:, :, :-1], halves[:, :, 1:]], axis=-1)


def from_bands(bands: jax.Array, bins: int, channels: int) -> jax.Array:
    """Returns the sum of overlapping bands: [B, T, bands, 2 STRIDE C] -> [B, T, bins, C]."""
    batch, frames, count, _ = bands.shape
    first, second = jnp.split(bands, 2, axis=-1)
    total = jnp.pad(first, ((0, 0), (0, 0), (0, 1), (0, 0)))
    total += jnp.pad(second, ((0, 0), (0, 0), (1, 0), (0, 0)))
    margin = STRIDE // 2
    whole = total.reshape(batch, frames, (count + 1) * STRIDE, channels)
    return whole[:, :, margin : margin + bins]


def compress(spectrum: jax.Array) -> jax.Array:
    """Returns complex numbers with their magnitudes to the power `COMPRESSION`; 0 stays 0."""
    power = spectrum.real**2 + spectrum.imag**2
    safe = jnp.where(power > 0, power, 1)
    return jnp.where(power > 0, safe ** ((COMPRESSION - 1) / 2), 0) * spectrum


def expand(spectrum: jax.Array) -> jax.Array:
    """Returns the inverse of `compress`; its gradient is finite everywhere."""
    power = spectrum.real**2 + spectrum.imag**2
    return power ** ((1 / COMPRESSION - 1) / 2) * spectrum


def make_network(config: ConfigDict) -> DualPath:
    """Builds the network from a config's keys generator and dtype."""
    return DualPath(**config.generator, dtype=jnp.dtype(config.dtype))


def init_network(network: DualPath, front_end: FrontEnd, key: jax.Array) -> PyTree:
    """Returns the initial variables of the network."""
    spectrum = jnp.zeros((1, 1, front_end.bins), jnp.complex64)
    return network.init(key, spectrum, jnp.ones((1,), jnp.int32))


def enhance(
    network: DualPath, front_end: FrontEnd, params: PyTree, noisy: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Returns enhanced waveforms: float32 [B, T], zero after the end of each utterance.

    Args:
        network: the network.
        front_end: window and hop.
        params: the parameters of the network.
        noisy: float32 [B, T], full scale 1, zero after the end of each utterance; T is a multiple
            of the hop.
        lengths: int [B], in samples.
    """
    spectrum = stft(noisy, front_end)
    made: jax.Array = network.apply(  # type: ignore[assignment]
        {"params": params}, spectrum, front_end.frames(lengths)
    )
    return istft(made, lengths, front_end)


def enhance_block(
    network: DualPath, front_end: FrontEnd, params: PyTree, state: StreamState, noisy: jax.Array
) -> tuple[StreamState, jax.Array]:
    """Advances a stream by one frame of a causal network; see `streaming.advance_stream`."""

    def estimate(spectrum: jax.Array, memory: Memory) -> tuple[jax.Array, Memory]:
        return network.apply({"params": params}, spectrum, memory, method="advance")  # type: ignore[return-value]

    return advance_stream(front_end, estimate, state, noisy)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config whose generator is this network."""
    network, front_end = make_network(config), FrontEnd(**config.front_end)
    bind = functools.partial

    def start() -> StreamState:
        return start_stream(front_end, network.initial_memory(1, front_end.bins))

    streaming = Streaming(start, bind(enhance_block, network, front_end))
    return Denoiser(
        front_end, bind(enhance, network, front_end), streaming if network.causal else None
    )
