"""Short-time Fourier transform of padded batches, and back.

Frames are centred on multiples of the hop, the signal being zero before its start and after its
end. A signal of n samples has ceil(n / hop) + 1 frames, so that every sample lies in two of them:
the inverse never divides by the small tail of a window alone. A shorter signal in a padded batch
gets exactly the frames that it gets alone, followed by frames of zeros.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How speech is cut into frames. The defaults are those of MetricGAN (Fu et al. 2019).

    Attributes:
        sample_rate: Hz.
        hop: samples between two frames; a frame, and its transform, is two hops long.
    """

    sample_rate: int = 16000
    hop: int = 256

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return 2 * self.hop

    @property
    def bins(self) -> int:
        """Frequencies of a frame, from 0 Hz to half the sample rate."""
        return self.hop + 1

    @property
    def weights(self) -> np.ndarray:
        """Symmetric Hamming window, float32 [window]."""
        return np.hamming(self.window).astype(np.float32)

    def frames(self, samples: Any) -> Any:
        """Frames of a signal of so many samples (a number or an array); 0 for 0 samples."""
        return (samples + self.hop - 1) // self.hop + (samples > 0)


def stft(signal: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Spectrum of every frame.

    Args:
        signal: float32 [B, T]; T is a multiple of the hop. Samples behind an utterance's end are 0.
        front_end: window and hop.

    Returns:
        complex64 [B, T / hop + 1, bins].
    """
    hop = front_end.hop
    blocks = jnp.pad(signal, ((0, 0), (hop, hop))).reshape(signal.shape[0], -1, hop)
    frames = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1)
    return jnp.fft.rfft(frames * front_end.weights, axis=-1)


def istft(spectrum: jax.Array, lengths: jax.Array, front_end: FrontEnd) -> jax.Array:
    """The signal whose frames come closest to the given ones (Griffin & Lim 1984, equation 6).

    Args:
        spectrum: complex64 [B, frames, bins].
        lengths: int [B], samples of every signal; what follows them is set to 0.
        front_end: window and hop.

    Returns:
        float32 [B, (frames - 1) * hop].
    """
    hop = front_end.hop
    first, second = front_end.weights[:hop], front_end.weights[hop:]
    frames = jnp.fft.irfft(spectrum, n=front_end.window, axis=-1)
    overlapped = frames[:, :-1, hop:] * second + frames[:, 1:, :hop] * first
    signal = (overlapped / (first**2 + second**2)).reshape(spectrum.shape[0], -1)
    return jnp.where(jnp.arange(signal.shape[1]) < lengths[:, None], signal, 0)


def magnitude(spectrum: jax.Array) -> jax.Array:
    """|spectrum|, with gradient 0 instead of NaN where it is 0 (the frames of padding)."""
    power = spectrum.real**2 + spectrum.imag**2
    return jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1)), 0)


def frame_mask(lengths: jax.Array, frames: int, front_end: FrontEnd) -> jax.Array:
    """1 for the frames of an utterance, 0 for those of padding: float32 [B, frames].

    Args:
        lengths: int [B], samples.
        frames: of the padded batch.
        front_end: window and hop.
    """
    valid = jnp.arange(frames) < front_end.frames(lengths)[:, None]
    return valid.astype(jnp.float32)
