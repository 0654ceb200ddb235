"""The networks of SEGAN and enhancement with them (Pascual, Bonafonte and Serra 2017)."""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.nn.convolution import double, halve
from jaxgan.nn.virtual_batch_norm import VirtualBatchNorm
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.networks.stft import FrontEnd

LEAK = 0.3  # slope of D's LeakyReLU, as in the paper
TAPS = 512  # length of the de-emphasis filter: 0.95^512 is below float32's resolution


class PReLU(nn.Module):
    """A ReLU with a learned slope per channel for negative inputs (He et al. 2015).

    Attributes:
        initial: the initial value of every slope.
    """

    initial: float = 0.25

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., C] in the same dtype."""
        initial = nn.initializers.constant(self.initial)
        slope = self.param("slope", initial, (x.shape[-1],), jnp.float32).astype(x.dtype)
        return jnp.where(x > 0, x, slope * x)


class Strided(nn.Module):
    """A convolution of stride 2 with "SAME" padding, or a transposed one, and a bias.

    Attributes:
        convolve: `halve` for the convolution, `double` for the transposed one.
        filters: the number of output channels.
        kernel: the length of the kernel in samples.
        dtype: the dtype of computation and result; parameters are float32.
    """

    convolve: Callable[[jax.Array, jax.Array], jax.Array]
    filters: int
    kernel: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, L, C] to [N, L / 2, filters] (`halve`) or [N, 2 L, filters] (`double`)."""
        shape = (self.kernel, x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        return self.convolve(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(
            self.dtype
        )


class WaveGenerator(nn.Module):
    """G: an encoder, the latent concatenated with its code, and a decoder with skip connections.

    Attributes:
        filters: the number of channels of each of the encoder's convolutions, outermost first; each
            halves the length. The decoder mirrors them.
        kernel: the length of the kernels in samples.
        dtype: the dtype of the computation; parameters and result are float32.
    """

    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    kernel: int = 31
    dtype: jnp.dtype = jnp.float32

    def latent_shape(self, window: int) -> tuple[int, int]:
        """Returns the shape of the latent of a window of this many samples."""
        return window // 2 ** len(self.filters), self.filters[-1]

    @nn.compact
    def __call__(self, noisy: jax.Array, latent: jax.Array) -> jax.Array:
        """Enhances windows.

        Args:
            noisy: float32 [N, window]; the window is a multiple of 2 ** len(filters).
            latent: float32 [N, *latent_shape(window)].

        Returns:
            float32 [N, window], in (-1, 1).
        """
        x = noisy[..., None].astype(self.dtype)
        skips = []
        for filters in self.filters:
            x = Strided(halve, filters, self.kernel, self.dtype)(x)
            skips.append(x)
            x = PReLU()(x)
        x = jnp.concatenate([x, latent.astype(self.dtype)], axis=-1)
        for filters, skip in zip(self.filters[-2::-1], skips[-2::-1], strict=True):
            x = Strided(double, filters, self.kernel, self.dtype)(x)
            x = jnp.concatenate([PReLU()(x), skip], axis=-1)
        x = Strided(double, 1, self.kernel, self.dtype)(x)
        return jnp.tanh(x[..., 0].astype(jnp.float32))


class WaveDiscriminator(nn.Module):
    """D: an encoder like the generator's for a candidate and the noisy speech, and a dense layer.

    The reference batch of its normalisation is the variable "pairs" in the collection "reference".

    Attributes:
        filters: the number of channels of each convolution; each halves the length.
        kernel: the length of the kernels in samples.
        reference: the number of windows in the reference batch.
        dtype: the dtype of the convolutions; parameters, normalisation and result are float32.
    """

    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    kernel: int = 31
    reference: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, candidate: jax.Array, noisy: jax.Array) -> jax.Array:
        """Maps two arrays float32 [N, window] to one unbounded number per window, float32 [N]."""
        pair = jnp.stack([candidate, noisy], axis=-1)
        shape = (self.reference, *pair.shape[1:])
        fixed = self.variable("reference", "pairs", jnp.zeros, shape, jnp.float32)
        x = jnp.concatenate([fixed.value, pair])
        for filters in self.filters:
            x = Strided(halve, filters, self.kernel, self.dtype)(x)
            x = nn.leaky_relu(VirtualBatchNorm()(x, self.reference), LEAK)
        # Reducing the code to one channel keeps the dense layer small.
        x = nn.Conv(1, (1,))(x)[self.reference :, :, 0]
        return nn.Dense(1)(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class Waveforms:
    """The static part of an enhancer that works on waveforms.

    Attributes:
        generator: the network.
        window: the number of samples in its input.
        pre_emphasis: the share of the previous sample that is subtracted from each one.
    """

    generator: WaveGenerator
    window: int
    pre_emphasis: float


def make_waveforms(config: ConfigDict) -> Waveforms:
    """Builds the enhancer from the keys generator, window, pre_emphasis and dtype of a config."""
    return Waveforms(
        generator=WaveGenerator(**config.generator, dtype=jnp.dtype(config.dtype)),
        window=config.window,
        pre_emphasis=config.pre_emphasis,
    )


def emphasise(waveform: jax.Array, share: float) -> jax.Array:
    """Returns x[n] - share x[n - 1] of [B, T], which raises the weak high frequencies of speech."""
    return waveform - share * jnp.pad(waveform, ((0, 0), (1, 0)))[:, :-1]


def deemphasise(waveform: jax.Array, share: float) -> jax.Array:
    """Returns the sum over k of share^k x[n - k] of [B, T]: the inverse of `emphasise`."""
    taps = share ** jnp.arange(TAPS - 1, -1, -1, dtype=jnp.float32)
    filtered = lax.conv_general_dilated(
        waveform[:, None],
        taps[None, None],
        window_strides=(1,),
        padding=[(TAPS - 1, 0)],
        precision=lax.Precision.HIGHEST,
    )
    return filtered[:, 0]


def cut(waveform: jax.Array, window: int, step: int) -> jax.Array:
    """Cuts [B, T] into windows [B, K, window], `step` samples apart; zeros fill the last."""
    samples = waveform.shape[1]
    count = max(-(-(samples - window) // step), 0) + 1
    starts = jnp.arange(count)[:, None] * step + jnp.arange(window)
    padded = jnp.pad(waveform, ((0, 0), (0, (count - 1) * step + window - samples)))
    return padded[:, starts]


def enhance(
    waveforms: Waveforms, params: PyTree, noisy: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Enhances waveforms window by window, without overlap.

    Every window gets the same fixed latent, so that the result is a function of the input.

    Args:
        waveforms: the static part of the enhancer.
        params: the generator's parameters.
        noisy: float32 [B, T], full scale 1, zero after the end of each utterance.
        lengths: int [B], in samples.

    Returns:
        float32 [B, T], zero after the end of each utterance.
    """
    rows, samples = noisy.shape
    inside = jnp.arange(samples) < lengths[:, None]
    emphasised = jnp.where(inside, emphasise(noisy, waveforms.pre_emphasis), 0)
    count = (samples + waveforms.window - 1) // waveforms.window
    whole = jnp.zeros((rows, count * waveforms.window), jnp.float32)
    windows = lax.dynamic_update_slice(whole, emphasised, (0, 0)).reshape(-1, waveforms.window)
    shape = waveforms.generator.latent_shape(waveforms.window)
    latent = jax.random.normal(jax.random.key(0), shape)
    latent = jnp.broadcast_to(latent, (windows.shape[0], *shape))
    enhanced: jax.Array = waveforms.generator.apply(  # type: ignore[assignment]
        {"params": params}, windows, latent
    )
    joined = enhanced.reshape(rows, -1)[:, :samples]
    return jnp.where(inside, deemphasise(joined, waveforms.pre_emphasis), 0)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config whose generator maps waveforms to waveforms."""
    waveforms = make_waveforms(config)
    # The network has no STFT; the frames only serve to show spectrograms.
    return Denoiser(FrontEnd(**config.front_end), functools.partial(enhance, waveforms))
