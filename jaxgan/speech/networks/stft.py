"""Short-time Fourier transform of padded batches, and its inverse.

Frames are centred on multiples of the hop; the signal is zero before its start and after its end. A
signal of n samples has ceil(n / hop) + 1 frames, so that every sample is in two of them and the
inverse never divides by only the small tail of a window. In a padded batch, a shorter signal has
exactly the frames that it has by itself, followed by frames of zeros.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import devices


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """The parameters of the short-time Fourier transform; by default those of Fu et al. (2019).

    Attributes:
        sample_rate: Hz.
        hop: the number of samples between the starts of two frames; a frame is two hops long.
    """

    sample_rate: int = 16000
    hop: int = 256

    @property
    def window(self) -> int:
        """The number of samples in a frame."""
        return 2 * self.hop

    @property
    def bins(self) -> int:
        """The number of frequencies, from 0 Hz to half the sample rate."""
        return self.hop + 1

    @property
    def weights(self) -> np.ndarray:
        """The symmetric Hamming window, float32 [window]."""
        return np.hamming(self.window).astype(np.float32)

    def frames(self, samples: Any) -> Any:
        """Returns the number of frames of signals of this many samples (int or array); 0 for 0."""
        return (samples + self.hop - 1) // self.hop + (samples > 0)


def stft(signal: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns the spectrum of every frame, not divided by the window's length.

    Args:
        signal: float32 [B, T] with T a multiple of the hop, zero after the end of each utterance.
        front_end: window and hop.

    Returns:
        complex64 [B, T / hop + 1, bins].
    """
    hop = front_end.hop
    blocks = jnp.pad(signal, ((0, 0), (hop, hop))).reshape(signal.shape[0], -1, hop)
    frames = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1)
    return spectra(frames, front_end)


def spectra(frames: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns the spectra of frames: [B, K, window] -> complex64 [B, K, bins]."""
    return _transform(jnp.fft.rfft, frames * front_end.weights)


def frames_of(spectrum: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns the frames, still windowed, of spectra: [B, K, bins] -> float32 [B, K, window]."""
    return _transform(functools.partial(jnp.fft.irfft, n=front_end.window), spectrum)


def overlap_add(earlier: jax.Array, later: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns blocks of the signal whose frames are closest to the given ones; see `istft`.

    Args:
        earlier: float32 [..., hop], the second halves of frames.
        later: float32 [..., hop], the first halves of the frames after them.
        front_end: window and hop.

    Returns:
        float32 [..., hop].
    """
    first, second = front_end.weights[: front_end.hop], front_end.weights[front_end.hop :]
    return (earlier * second + later * first) / (first**2 + second**2)


def istft(spectrum: jax.Array, lengths: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns the signals whose frames are closest to the given ones (Griffin & Lim 1984, eq. 6).

    Args:
        spectrum: complex64 [B, frames, bins].
        lengths: int [B], the length of each signal in samples.
        front_end: window and hop.

    Returns:
        float32 [B, (frames - 1) * hop], zero after the end of each signal.
    """
    hop = front_end.hop
    frames = frames_of(spectrum, front_end)
    blocks = overlap_add(frames[:, :-1, hop:], frames[:, 1:, :hop], front_end)
    signal = blocks.reshape(spectrum.shape[0], -1)
    return jnp.where(jnp.arange(signal.shape[1]) < lengths[:, None], signal, 0)


def fourier_matrices(front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """Returns the window and the discrete Fourier transform as matrices of real numbers.

    Returns:
        Two float32 matrices. Frames times the first, [window, 2 bins], are the real parts of
        their spectra and then the imaginary parts. These times the second, [2 bins, window], are
        frames that add up to the signal of `istft` where they overlap.
    """
    hop, window = front_end.hop, front_end.window
    weights = front_end.weights.astype(np.float64)
    first, second = weights[:hop], weights[hop:]
    angles = 2 * np.pi / window * np.outer(np.arange(window), np.arange(front_end.bins))
    cosines, sines = np.cos(angles), -np.sin(angles)
    analysis = weights[:, None] * np.concatenate([cosines, sines], axis=1)
    # All but the first and the last frequency stand for their negative, too.
    twice = np.full(front_end.bins, 2.0)
    twice[[0, -1]] = 1
    synthesis = np.concatenate([cosines * twice, sines * twice], axis=1).T / window
    synthesis *= weights / np.tile(first**2 + second**2, 2)
    return analysis.astype(np.float32), synthesis.astype(np.float32)


def _transform(transform: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """Returns the transform of rows [B, ...] along the last axis."""
    # Up to jax 0.11, XLA does not divide it: every device would fetch and transform all rows.
    transformed: jax.Array = devices.on_each(lambda own, _: transform(*own), (rows,), ())
    return transformed


def magnitude(spectrum: jax.Array) -> jax.Array:
    """Returns the magnitude of a complex array; its gradient is 0 instead of NaN where it is 0."""
    power = spectrum.real**2 + spectrum.imag**2
    return jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1)), 0)


def valid_frames(lengths: jax.Array, frames: int, front_end: FrontEnd) -> jax.Array:
    """Returns whether a frame belongs to an utterance, not to padding: bool [B, frames].

    Args:
        lengths: int [B], in samples.
        frames: the number of frames in the padded batch.
        front_end: window and hop.
    """
    return jnp.arange(frames) < front_end.frames(lengths)[:, None]


def frame_mask(lengths: jax.Array, frames: int, front_end: FrontEnd) -> jax.Array:
    """Returns 1 where `valid_frames` is true, and 0 elsewhere: float32 [B, frames]."""
    return valid_frames(lengths, frames, front_end).astype(jnp.float32)
