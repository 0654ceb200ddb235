"""The networks of SEGAN, and what they do to a waveform (Pascual, Bonafonte and Serra 2017)."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.nn.convolution import double, halve
from jaxgan.speech.networks.stft import FrontEnd

LEAK = 0.3  # slope of D's LeakyReLU, as in the paper
TAPS = 512  # of the de-emphasis: 0.95^512 is below float32's resolution


class PReLU(nn.Module):
    """x where it is positive, else a learned multiple of it, one for each channel (He et al. 2015).

    Attributes:
        initial: every multiple before the first update.
    """

    initial: float = 0.25

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., C] -> [..., C]."""
        initial = nn.initializers.constant(self.initial)
        slope = self.param("slope", initial, (x.shape[-1],), jnp.float32).astype(x.dtype)
        return jnp.where(x > 0, x, slope * x)


class Strided(nn.Module):
    """A convolution with stride 2 and "SAME" padding, plain or transposed, and its bias.

    Attributes:
        convolve: `halve` or `double`.
        filters: channels of the result.
        kernel: its length in samples.
        dtype: of the computation; parameters are float32.
    """

    convolve: Callable[[jax.Array, jax.Array], jax.Array]
    filters: int
    kernel: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, L, C] to [N, L / 2, filters] or [N, 2 L, filters]."""
        shape = (self.kernel, x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        return self.convolve(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(
            self.dtype
        )


class WaveGenerator(nn.Module):
    """G: convolutions of stride 2 down to a code, the latent beside it, and up again with skips.

    Attributes:
        filters: of the convolutions, outermost first; each halves the length.
        kernel: samples.
        dtype: of the computation; parameters and result are float32.
    """

    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    kernel: int = 31
    dtype: jnp.dtype = jnp.float32

    def latent_shape(self, window: int) -> tuple[int, int]:
        """Of one window's latent."""
        return window // 2 ** len(self.filters), self.filters[-1]

    @nn.compact
    def __call__(self, noisy: jax.Array, latent: jax.Array) -> jax.Array:
        """Enhanced windows.

        Args:
            noisy: float32 [N, window]; the window is a multiple of 2 to the number of filters.
            latent: float32 [N, *latent_shape].

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


class VirtualBatchNorm(nn.Module):
    """Normalisation by a fixed batch and the example itself (Salimans et al. 2016, section 3.4).

    So that what D says of one window depends on no other window of its batch.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, reference: int) -> jax.Array:
        """Of [reference + N, T, C], of which the first rows are the reference batch."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        offset = self.param("offset", nn.initializers.zeros, (channels,), jnp.float32)
        x = x.astype(jnp.float32)
        moments = jnp.stack([jnp.mean(x, axis=1), jnp.mean(x**2, axis=1)])
        fixed = jnp.mean(moments[:, :reference], axis=1, keepdims=True)
        share = 1 / (reference + 1)
        own = share * moments[:, reference:] + (1 - share) * fixed
        both = jnp.concatenate([jnp.broadcast_to(fixed, (2, reference, channels)), own], axis=1)
        mean, square = both[:, :, None]
        normal = (x - mean) * lax.rsqrt(jnp.maximum(square - mean**2, 0) + self.epsilon)
        return normal * scale + offset


class WaveDiscriminator(nn.Module):
    """D: the generator's encoder on a candidate beside the noisy speech, and one number of it.

    The reference batch of its normalisation is a variable of it, in the collection "reference".

    Attributes:
        filters: of the convolutions; each halves the length.
        kernel: samples.
        reference: windows of the reference batch.
        dtype: of the convolutions; parameters, normalisation and result are float32.
    """

    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    kernel: int = 31
    reference: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, candidate: jax.Array, noisy: jax.Array) -> jax.Array:
        """float32 [N, window] twice -> float32 [N], unbounded."""
        pair = jnp.stack([candidate, noisy], axis=-1)
        shape = (self.reference, *pair.shape[1:])
        fixed = self.variable("reference", "pairs", jnp.zeros, shape, jnp.float32)
        x = jnp.concatenate([fixed.value, pair])
        for filters in self.filters:
            x = Strided(halve, filters, self.kernel, self.dtype)(x)
            x = nn.leaky_relu(VirtualBatchNorm()(x, self.reference), LEAK)
        # One channel, so that the dense layer is as small as the code is long.
        x = nn.Conv(1, (1,))(x)[self.reference :, :, 0]
        return nn.Dense(1)(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class Waveforms:
    """All that is fixed about an enhancer of waveforms.

    Attributes:
        front_end: sample rate; its frames are for showing spectrograms alone.
        generator: the network.
        window: samples that it sees at once.
        pre_emphasis: share of the sample before that is taken off each one.
    """

    front_end: FrontEnd
    generator: WaveGenerator
    window: int
    pre_emphasis: float


def make_waveforms(config: ConfigDict) -> Waveforms:
    """The enhancer of a config: its keys front_end, generator, window, pre_emphasis and dtype."""
    return Waveforms(
        front_end=FrontEnd(**config.front_end),
        generator=WaveGenerator(**config.generator, dtype=jnp.dtype(config.dtype)),
        window=config.window,
        pre_emphasis=config.pre_emphasis,
    )


def emphasise(waveform: jax.Array, share: float) -> jax.Array:
    """x[n] - share x[n - 1] of [B, T]: speech has little at high frequencies, now it has more."""
    return waveform - share * jnp.pad(waveform, ((0, 0), (1, 0)))[:, :-1]


def deemphasise(waveform: jax.Array, share: float) -> jax.Array:
    """The waveform [B, T] that `emphasise` makes this of: the sum over k of share^k x[n - k]."""
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
    """Windows [B, K, window] that begin `step` samples apart; zeros fill the last."""
    samples = waveform.shape[1]
    count = max(-(-(samples - window) // step), 0) + 1
    starts = jnp.arange(count)[:, None] * step + jnp.arange(window)
    padded = jnp.pad(waveform, ((0, 0), (0, (count - 1) * step + window - samples)))
    return padded[:, starts]


def enhance(
    waveforms: Waveforms, params: PyTree, noisy: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Enhanced waveforms, window by window without overlap.

    The latent is one fixed draw, the same for every window: an enhancer is a function.

    Args:
        waveforms: what is fixed.
        params: of the generator.
        noisy: float32 [B, T], full scale 1, zero behind each utterance.
        lengths: int [B], samples.

    Returns:
        float32 [B, T], zero behind each utterance.
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
