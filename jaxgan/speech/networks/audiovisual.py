"""Separates a talker from a mixture with the help of a video of the mouth.

The audio path is Conv-TasNet (Luo and Mesgarani, "Conv-TasNet: surpassing ideal time-frequency
magnitude masking for speech separation", 2019): a learned encoder, a temporal convolutional network
that predicts a mask, and a learned decoder. The video is fused with it before every repeat of the
network, repeated up to the audio's frame rate, as in "Time domain audio visual speech separation"
(Wu et al. 2019), which fuses once.

It differs from Conv-TasNet where padding would change the result, where vision needs it or where
learning is faster: normalisation is over the channels of each frame, not over all frames; before
the separator it is replaced by log1p of the code's magnitudes at a mixture power of 1, so that the
separator sees the level of each frame, which moves with the mouth; blocks have no skip path besides
the residual one; and the encoder is linear and starts, like the decoder, from a Fourier transform.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.speech.data.videos import FRAME_SAMPLES, count_frames, crop_of
from jaxgan.speech.networks.denoiser import Denoiser, WithVideo
from jaxgan.speech.networks.stft import FrontEnd

QUIETEST = 1e-5
"""A mixture whose root mean square is below this is not scaled up further."""
Choose = Callable[[jax.Array], jax.Array]
"""(a mask, float32 [B, frames, filters]) -> K masks [B, K, frames, filters]."""
PATCH, MERGED = 4, 2
"""Pixels of the patches, and patches that are merged, in each direction."""


def shift(x: jax.Array, by: int) -> jax.Array:
    """Returns y[:, t] = x[:, t + by] of [B, K, C], with zeros from outside."""
    size = x.shape[1]
    if abs(by) >= size:
        return jnp.zeros_like(x)
    cut = x[:, by:] if by >= 0 else x[:, : size + by]
    return jnp.pad(cut, ((0, 0), (max(-by, 0), max(by, 0)), (0, 0)))


class Depthwise(nn.Module):
    """A dilated convolution over time of each channel by itself, with zeros from outside.

    It is a sum of shifted products, since XLA compiles the gradients of grouped convolutions to
    slow code for CPUs.

    Attributes:
        kernel: the number of taps, odd.
        dilation: frames between two taps.
    """

    kernel: int
    dilation: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, K, C] to [B, K, C] in the same dtype."""
        initial = nn.initializers.normal(self.kernel**-0.5)
        taps = self.param("taps", initial, (self.kernel, x.shape[-1])).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],)).astype(x.dtype)
        half = self.kernel // 2
        for place in range(self.kernel):
            bias = bias + taps[place] * shift(x, (place - half) * self.dilation)
        return bias


class Block(nn.Module):
    """A residual block of Conv-TasNet: to more channels, a depthwise convolution, and back.

    Attributes:
        hidden: channels of the depthwise convolution.
        kernel: its taps.
        dilation: its dilation.
        dtype: the dtype of the computation; parameters are float32.
    """

    hidden: int
    kernel: int
    dilation: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array) -> jax.Array:
        """Maps [B, K, C] to the same; frames with a false `valid` [B, K, 1] influence no other."""
        y = nn.Dense(self.hidden, dtype=self.dtype)(x)
        y = nn.LayerNorm(dtype=self.dtype)(nn.PReLU(negative_slope_init=0.25)(y))
        y = Depthwise(self.kernel, self.dilation)(jnp.where(valid, y, 0))
        y = nn.LayerNorm(dtype=self.dtype)(nn.PReLU(negative_slope_init=0.25)(y))
        return x + nn.Dense(x.shape[-1], dtype=self.dtype)(y)


def fourier_filters(length: int, filters: int) -> np.ndarray:
    """Returns filters from which the encoder and the decoder start: float32 [length, filters].

    They are the cosines and sines of a Fourier transform of `length` samples, or of `filters` if
    these are more, from low to high frequencies, times a sine window. With at least `length`
    filters and a hop of half the length, analysis and synthesis by the same filters, overlapped and
    added, return the signal. So an untrained network, whose masks are about one half, returns the
    mixture, and learning does not begin with reconstructing it. "Filterbank design for end-to-end
    speech separation" (Pariente et al. 2020) compares such filters with random ones.
    """
    size = max(length, filters)
    number = np.arange(filters)
    angles = 2 * np.pi * np.outer(np.arange(length), (number + 1) // 2) / size
    waves = np.where(number % 2 == 1, np.cos(angles), np.sin(angles))
    waves *= np.sqrt(2 / size)
    waves[:, 0] = np.sqrt(1 / size)
    if filters == size and size % 2 == 0:
        waves[:, -1] = np.cos(np.pi * np.arange(length)) / np.sqrt(size)
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    return (waves * window[:, None]).astype(np.float32)


def patches(x: jax.Array, size: int) -> jax.Array:
    """Cuts [..., H, W, C] into squares: [..., H / size, W / size, size * size * C]."""
    *front, height, width, channels = x.shape
    x = x.reshape(*front, height // size, size, width // size, size, channels)
    x = jnp.moveaxis(x, -4, -3)
    return x.reshape(*front, height // size, width // size, size * size * channels)


class Vision(nn.Module):
    """Features of a mouth: convolutions of each frame, then a temporal convolutional network.

    The convolutions of a frame have strides as long as their kernels, so they are matrix products.
    They see the frame and its difference from the mean frame of the video over the standard
    deviation of these differences, which takes out the talker's face and the light.

    Attributes:
        channels: the number of channels of the features.
        blocks: the number of blocks of the temporal network, with dilations 1, 2, 4, ...
        kernel: taps of its convolutions.
        dtype: the dtype of the computation; parameters are float32.
    """

    channels: int
    blocks: int
    kernel: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, frames: jax.Array, seen: jax.Array, valid: jax.Array) -> jax.Array:
        """Returns features float [B, F, channels].

        Args:
            frames: uint8 [B, F, H, W], H and W multiples of 8; what it holds where `seen` is false
                has no influence.
            seen: bool [B, F], whether there is a frame; a learned embedding takes the place of the
                others.
            valid: bool [B, F], false for padding.
        """
        seen = seen & valid
        light = frames.astype(jnp.float32) / 255
        whole = seen[..., None, None]
        pixels = jnp.maximum(jnp.sum(seen, 1), 1).astype(jnp.float32)[:, None, None, None]
        mean = jnp.sum(jnp.where(whole, light, 0), 1, keepdims=True) / pixels
        change = jnp.where(whole, light - mean, 0)
        power = jnp.sum(jnp.mean(jnp.square(change), (-2, -1), keepdims=True), 1, keepdims=True)
        change = change / jnp.sqrt(power / pixels + 1 / 255**2)
        x = jnp.stack([light - 0.5, change], -1).astype(self.dtype)
        x = nn.relu(nn.Dense(16, dtype=self.dtype)(patches(x, PATCH)))
        x = nn.relu(nn.Dense(32, dtype=self.dtype)(patches(x, MERGED)))
        x = nn.Dense(self.channels, dtype=self.dtype)(x.reshape(*x.shape[:2], -1))
        unseen = self.param("unseen", nn.initializers.normal(0.1), (self.channels,))
        x = jnp.where(seen[..., None], x, unseen.astype(self.dtype))
        for number in range(self.blocks):
            x = Block(self.channels, self.kernel, 2**number, self.dtype)(x, valid[..., None])
        return x


def use_mask(mask: jax.Array) -> jax.Array:
    """Returns the mask as the only one: [B, 1, frames, filters]."""
    return mask[:, None]


class Separator(nn.Module):
    """The whole network: a mixture and a video in, the talker out.

    Attributes:
        filters: the number of filters of the encoder and the decoder, N in the paper.
        stride: samples between two frames, half of a filter's length; divides 640.
        channels: the number of channels of the residual path, B in the paper.
        hidden: the number of channels within the blocks, H in the paper.
        kernel: taps of the depthwise convolutions, P in the paper.
        blocks: the number of blocks in a repeat, with dilations 1, 2, 4, ...; X in the paper.
        repeats: R in the paper.
        visual_channels: the number of channels of the video's features.
        visual_blocks: the number of blocks of the video's temporal network.
        dtype: the dtype of the computation; parameters and result are float32.
    """

    filters: int = 512
    stride: int = 16
    channels: int = 128
    hidden: int = 512
    kernel: int = 3
    blocks: int = 8
    repeats: int = 3
    visual_channels: int = 128
    visual_blocks: int = 5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        mixture: jax.Array,
        lengths: jax.Array,
        frames: jax.Array,
        seen: jax.Array,
        choose: Choose = use_mask,
    ) -> tuple[jax.Array, jax.Array]:
        """Separates a batch.

        Args:
            mixture: float32 [B, T], full scale 1, zero after the end of each utterance.
            lengths: int [B], in samples.
            frames: uint8 [B, F, H, W] with F = T / 640, rounded up.
            seen: bool [B, F], see `Vision`.
            choose: makes K masks of the network's own.

        Returns:
            The network's own mask, float32 [B, frames, filters]; and what each of the K masks
            separates, float32 [B, K, T], zero after the end of each utterance.
        """
        samples, stride = mixture.shape[1], self.stride
        power = jnp.sum(jnp.square(mixture), 1) / jnp.maximum(lengths, 1)
        scale = jnp.maximum(jnp.sqrt(power + QUIETEST**2 / 100), QUIETEST)[:, None]
        cut = jnp.pad(mixture / scale, ((0, 0), (0, -samples % stride)))
        cut = jnp.pad(cut.reshape(len(cut), -1, stride), ((0, 0), (1, 1), (0, 0)))
        windows = jnp.concatenate([cut[:, :-1], cut[:, 1:]], -1).astype(self.dtype)
        filters = fourier_filters(2 * stride, self.filters)
        code = nn.Dense(
            self.filters,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=lambda *_: jnp.asarray(filters),
        )(windows)

        valid = code_frames(lengths, code.shape[1], stride)[..., None]
        shown = jnp.arange(frames.shape[1]) < count_frames(lengths)[:, None]
        vision = Vision(self.visual_channels, self.visual_blocks, self.kernel, self.dtype)(
            frames, seen, shown
        )
        x = nn.Dense(self.channels, dtype=self.dtype)(jnp.log1p(jnp.abs(code)))
        for _ in range(self.repeats):
            seen_now = nn.Dense(self.channels, dtype=self.dtype)(vision)
            x = x + upsample(seen_now, FRAME_SAMPLES // stride, x.shape[1])
            for number in range(self.blocks):
                x = Block(self.hidden, self.kernel, 2**number, self.dtype)(x, valid)
        x = nn.PReLU(negative_slope_init=0.25)(x)
        mask = nn.sigmoid(nn.Dense(self.filters, dtype=self.dtype)(x)).astype(jnp.float32)
        masks = choose(mask).astype(self.dtype)
        masked = jnp.where(valid[:, None], masks * code[:, None], 0)
        windows = nn.Dense(
            2 * stride,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=lambda *_: jnp.asarray(2 * filters.T),
        )(masked)
        windows = windows.astype(jnp.float32)
        joined = windows[..., :-1, stride:] + windows[..., 1:, :stride]
        joined = joined.reshape(*masks.shape[:2], -1)[..., :samples] * scale[:, None]
        return mask, jnp.where(jnp.arange(samples) < lengths[:, None, None], joined, 0)


def upsample(features: jax.Array, times: int, count: int) -> jax.Array:
    """Repeats features of video frames [B, F, C] for the frames of the encoder: [B, count, C].

    Frame k of the encoder ends with sample k * stride, and gets the features of the video frame
    that shows the sample in its middle; `times` frames of the encoder start in a video frame.
    """
    longer = jnp.repeat(features, times, axis=1)
    longer = jnp.concatenate([longer[:, :1], longer], 1)
    return longer[:, :count]


@dataclasses.dataclass(frozen=True)
class AudioVisual:
    """The static part of an audio-visual enhancer.

    Attributes:
        separator: the network.
        height: the height of the video in pixels.
        width: the width of the video in pixels.
    """

    separator: Separator
    height: int
    width: int


def make_audiovisual(config: ConfigDict) -> AudioVisual:
    """Builds the enhancer from the keys generator, video and dtype of a config.

    Raises:
        UserError: the generator cannot have this stride or kernel.
    """
    stride, kernel = config.generator.stride, config.generator.kernel
    if FRAME_SAMPLES % stride:
        raise UserError(f"config.generator.stride={stride}: must divide {FRAME_SAMPLES}")
    if kernel % 2 == 0:
        raise UserError(f"config.generator.kernel={kernel}: must be odd")
    return AudioVisual(
        separator=Separator(**config.generator, dtype=jnp.dtype(config.dtype)),
        height=config.video.height,
        width=config.video.width,
    )


def init_separator(network: AudioVisual, key: jax.Array) -> PyTree:
    """Returns the initial variables of the network."""
    mixture, lengths = jnp.zeros((1, FRAME_SAMPLES)), jnp.ones((1,), jnp.int32)
    return network.separator.init(key, mixture, lengths, *no_video(network, *mixture.shape))


def code_frames(lengths: jax.Array, count: int, stride: int) -> jax.Array:
    """Returns which of `count` frames of the encoder belong to signals of these lengths.

    Args:
        lengths: int [B], in samples.
        count: the number of frames.
        stride: the stride of the encoder.

    Returns:
        bool [B, count].
    """
    valid = jnp.where(lengths > 0, -(-lengths // stride) + 1, 0)
    return jnp.arange(count) < valid[:, None]


def separate(
    network: AudioVisual,
    params: PyTree,
    mixture: jax.Array,
    lengths: jax.Array,
    frames: jax.Array,
    seen: jax.Array,
) -> jax.Array:
    """Returns what `Separator` separates with its own mask: float32 [B, T]."""
    _, separated = separate_with_masks(network, params, mixture, lengths, frames, seen, use_mask)
    return separated[:, 0]


def separate_with_masks(
    network: AudioVisual,
    params: PyTree,
    mixture: jax.Array,
    lengths: jax.Array,
    frames: jax.Array,
    seen: jax.Array,
    choose: Choose,
) -> tuple[jax.Array, jax.Array]:
    """Returns the mask of `Separator`, and what the chosen masks separate."""
    found: tuple[jax.Array, jax.Array] = network.separator.apply(  # type: ignore[assignment]
        {"params": params}, mixture, lengths, frames, seen, choose
    )
    return found


def no_video(network: AudioVisual, rows: int, samples: int) -> tuple[jax.Array, jax.Array]:
    """Returns the frames and the flags of a batch [rows, samples] without video."""
    frames = count_frames(samples)
    shape = (rows, frames, network.height, network.width)
    return jnp.zeros(shape, jnp.uint8), jnp.zeros((rows, frames), bool)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config's network, for audio with or without video.

    Raises:
        UserError: see `crop_of`.
    """
    network = make_audiovisual(config)
    crop = crop_of(config)
    assert crop is not None

    def enhance(params: PyTree, noisy: jax.Array, lengths: jax.Array) -> jax.Array:
        return separate(network, params, noisy, lengths, *no_video(network, *noisy.shape))

    # The network has no STFT; the frames only serve to show spectrograms.
    front_end = FrontEnd(**config.front_end)
    with_video = WithVideo(crop, functools.partial(separate, network))
    return Denoiser(front_end, enhance, with_video=with_video)
