"""Augmentation of training batches on the devices: reverberation, band limits and levels.

A batch is changed in the order in which a recording would be: the room reverberates the speech, the
noise is added, the channel limits the band of both, and the level is set. Everything drawn depends
only on the seed, the round, and the row's place in the round. What the clean side keeps is what an
enhancer should return: the direct path and the first 50 ms of the reverberation, in the same band
and at the same level as the noisy side.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from scipy.fft import next_fast_len
from scipy.signal import firwin, kaiserord

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.data.audio import FULL_SCALE, SAMPLE_RATE
from jaxgan.speech.data.batching import Batch

EARLY_SECONDS = 0.05
"""Reflections that arrive up to 50 ms after the direct sound help to understand speech (Bradley,
Sato and Picard, JASA 113(6), 2003); later ones are what a listener hears as reverberation."""
TRANSITION = 0.1
"""A band limit passes everything up to this share below its edge and stops everything above it."""
STOP_DB = 60.0
"""By how much a band limit attenuates what is above its edge."""
LONGEST_T60 = 3.0
"""The longest reverberation time in seconds: that of a large church."""


@dataclasses.dataclass(frozen=True, eq=False)
class Augmentation:
    """What may be drawn for an utterance.

    Attributes:
        reverb_share: the share of the utterances that are reverberated.
        t60: the lowest and the highest reverberation time in s.
        reverb_ratios: the lowest and the highest ratio of the direct sound's energy to that of all
            reflections, in dB.
        band_share: the share of the utterances whose band is limited.
        filters: float32 [limits, taps], the impulse response of each band limit.
        gains: the lowest and the highest change of the level, in dB.
    """

    reverb_share: float
    t60: tuple[float, float]
    reverb_ratios: tuple[float, float]
    band_share: float
    filters: np.ndarray
    gains: tuple[float, float]

    @property
    def changes_nothing(self) -> bool:
        """Whether every batch would stay as it is."""
        return not (self.reverb_share or self.band_share or any(self.gains))


class Chances(NamedTuple):
    """What was drawn for each row of a batch.

    Attributes:
        reverberates: bool [B].
        responses: float32 [B, R], the impulse responses; their first sample is the direct sound, 1.
        limited: bool [B].
        limit: int32 [B], indices of filters.
        gain: float32 [B], the change of the level in dB.
    """

    reverberates: jax.Array
    responses: jax.Array
    limited: jax.Array
    limit: jax.Array
    gain: jax.Array


def make_augmentation(data: ConfigDict) -> Augmentation:
    """Returns the augmentation that `config.data` describes.

    Raises:
        UserError: a range or a band cannot be used.
    """
    _check_range(data, "t60", 0.05, LONGEST_T60)
    _check_range(data, "reverb_ratios", -20.0, 60.0)
    _check_range(data, "gains", -60.0, 60.0)
    if not data.bands or not all(500 <= edge < SAMPLE_RATE / 2 for edge in data.bands):
        raise UserError(
            f"config.data.bands={tuple(data.bands)}: give at least one edge in Hz, each from 500 "
            f"to below {SAMPLE_RATE // 2}"
        )
    return Augmentation(
        reverb_share=data.reverb_share,
        t60=tuple(data.t60),
        reverb_ratios=tuple(data.reverb_ratios),
        band_share=data.band_share,
        filters=low_pass_filters(data.bands),
        gains=tuple(data.gains),
    )


def _check_range(data: ConfigDict, key: str, lowest: float, highest: float) -> None:
    values = tuple(data[key])
    if len(values) != 2 or not lowest <= values[0] <= values[1] <= highest:
        raise UserError(
            f"config.data.{key}={values}: give the lowest and the highest value, both from "
            f"{lowest:g} to {highest:g}"
        )


def low_pass_filters(edges: Sequence[float]) -> np.ndarray:
    """Returns a filter for each edge in Hz, float32 [edges, taps], taps odd.

    Each has linear phase and passes up to `TRANSITION` below its edge; above its edge it attenuates
    by `STOP_DB` (the window method with Kaiser's window).
    """
    nyquist = SAMPLE_RATE / 2
    orders = [kaiserord(STOP_DB, TRANSITION * edge / nyquist) for edge in edges]
    taps = max(count for count, _ in orders) | 1
    filters = [
        firwin(taps, edge * (1 - TRANSITION / 2), window=("kaiser", beta), fs=SAMPLE_RATE)
        for edge, (_, beta) in zip(edges, orders, strict=True)
    ]
    return np.stack(filters).astype(np.float32)


def response(key: jax.Array, t60: jax.Array, ratio: jax.Array, samples: int) -> jax.Array:
    """Returns the impulse response of a room: float32 [samples].

    It is the direct sound followed by Gaussian noise whose energy decays by 60 dB in `t60` s
    (Polack's model; Polack, doctoral thesis, Université du Maine, 1988), at all frequencies alike.

    Args:
        key: the PRNG key of the noise.
        t60: the reverberation time in s.
        ratio: the ratio of the direct sound's energy to that of the noise, in dB.
        samples: the length of the response.
    """
    seconds = jnp.arange(samples) / SAMPLE_RATE
    tail = jax.random.normal(key, (samples,)) * 10 ** (-3 * seconds / t60)
    tail = tail.at[0].set(0)
    tail *= jnp.sqrt(10 ** (-ratio / 10) / jnp.sum(tail**2))
    return tail.at[0].set(1)


def draw_chances(augmentation: Augmentation, key: jax.Array) -> Chances:
    """Draws what happens to one utterance. Returns `Chances` without the axis [B]."""
    keys = jax.random.split(key, 7)

    def between(key: jax.Array, ends: tuple[float, float]) -> jax.Array:
        return jax.random.uniform(key, minval=ends[0], maxval=ends[1])

    samples = round(augmentation.t60[1] * SAMPLE_RATE) if augmentation.reverb_share else 1
    t60 = between(keys[1], augmentation.t60)
    ratio = between(keys[2], augmentation.reverb_ratios)
    return Chances(
        reverberates=jax.random.uniform(keys[0]) < augmentation.reverb_share,
        responses=response(keys[3], t60, ratio, samples),
        limited=jax.random.uniform(keys[4]) < augmentation.band_share,
        limit=jax.random.randint(keys[5], (), 0, len(augmentation.filters)),
        gain=between(keys[6], augmentation.gains),
    )


def convolve(signals: jax.Array, kernels: jax.Array) -> jax.Array:
    """Returns the first T samples of the convolution of rows [B, T] with rows [B, K]."""
    length = signals.shape[1]
    size = next_fast_len(length + kernels.shape[1] - 1, real=True)
    product = jnp.fft.rfft(signals, size) * jnp.fft.rfft(kernels, size)
    return jnp.fft.irfft(product, size)[:, :length]


def reverberate(
    clean: jax.Array, responses: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the target and the reverberant speech, float32 [B, T] each, at one level.

    The reverberant speech has the mean power of the dry speech, so adding the noise of a mixture
    gives the signal-to-noise ratio of that mixture. The target is what the direct path and the
    reflections of the first `EARLY_SECONDS` contribute to it. Both end with the utterance.

    Args:
        clean: float32 [B, T], zero after the end of each utterance.
        responses: float32 [B, R]; see `response`.
        lengths: int32 [B], samples.
    """
    valid = jnp.arange(clean.shape[1]) < lengths[:, None]
    early = jnp.arange(responses.shape[1]) <= EARLY_SECONDS * SAMPLE_RATE
    target = jnp.where(valid, convolve(clean, jnp.where(early, responses, 0)), 0)
    whole = jnp.where(valid, convolve(clean, responses), 0)
    dry, wet = (masked_mean(side**2, valid, 1, keepdims=True) for side in (clean, whole))
    factor = jnp.where(wet > 0, jnp.sqrt(dry / jnp.where(wet > 0, wet, 1)), 1)
    return factor * target, factor * whole


def limit_band(signals: jax.Array, filters: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns signals float32 [B, T] filtered without delay, zero after the end of each.

    Args:
        signals: float32 [B, T], zero after the end of each.
        filters: float32 [B, taps] of linear phase.
        lengths: int32 [B], samples.
    """
    delay = filters.shape[1] // 2
    filtered = convolve(jnp.pad(signals, ((0, 0), (0, delay))), filters)[:, delay:]
    return jnp.where(jnp.arange(signals.shape[1]) < lengths[:, None], filtered, 0)


def augment(
    augmentation: Augmentation,
    clean: jax.Array,
    noisy: jax.Array,
    lengths: jax.Array,
    keys: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns the augmented clean and noisy sides, int16 [B, T] each.

    A row for which nothing is drawn stays as it is. A level at which a sample would exceed full
    scale is lowered until none does. Padding changes a sample by at most the rounding to int16.

    Args:
        augmentation: what may be drawn.
        clean: int16 [B, T], zero after the end of each utterance.
        noisy: like `clean`.
        lengths: int32 [B], samples.
        keys: PRNG keys [B].
    """
    chances: Chances = jax.vmap(lambda key: draw_chances(augmentation, key))(keys)
    target = clean.astype(jnp.float32)
    mixture = noisy.astype(jnp.float32)
    if augmentation.reverb_share:
        early, wet = reverberate(target, chances.responses, lengths)
        changed = chances.reverberates[:, None]
        mixture = jnp.where(changed, wet + (mixture - target), mixture)
        target = jnp.where(changed, early, target)
    if augmentation.band_share:
        filters = jnp.asarray(augmentation.filters)[chances.limit]
        changed = chances.limited[:, None]
        target, mixture = (
            jnp.where(changed, limit_band(side, filters, lengths), side)
            for side in (target, mixture)
        )
    peak = jnp.maximum(jnp.max(jnp.abs(target), 1), jnp.max(jnp.abs(mixture), 1))
    gain = jnp.minimum(10 ** (chances.gain / 20), (FULL_SCALE - 1) / jnp.maximum(peak, 1))
    # A file may hold the lowest int16, whose magnitude is one more than the highest.
    gain = jnp.where((chances.gain == 0) & (peak <= FULL_SCALE), 1, gain)[:, None]
    made = (
        jnp.clip(jnp.round(gain * side), -FULL_SCALE, FULL_SCALE - 1) for side in (target, mixture)
    )
    target, mixture = (side.astype(jnp.int16) for side in made)
    return target, mixture


class Augmenter:
    """Augments the batches of each round on the devices.

    Args:
        augmentation: what may be drawn.
        seed: the seed of the run.
        mesh: the devices.
    """

    def __init__(self, augmentation: Augmentation, seed: int, mesh: Mesh) -> None:
        self._augmentation = augmentation
        self._seed = seed
        self._mesh = mesh
        self._program = Program(self._augment, mesh, out_shardings=devices.sharded(mesh))

    def __call__(self, batches: Sequence[Batch], number: int) -> list[Batch]:
        """Returns the batches of a round, augmented; their `gain` stays that of the corpus.

        Args:
            batches: the batches of the round, in the order of the loader.
            number: the number of the round.
        """
        if self._augmentation.changes_nothing:
            return list(batches)
        places = [np.array([number, place], np.int32) for place in range(len(batches))]
        placed = devices.put_replicated(places, self._mesh)
        for batch, place in zip(batches, placed, strict=True):
            self._program.prepare(batch, place)
        return [self._program(batch, place) for batch, place in zip(batches, placed, strict=True)]

    def _augment(self, batch: Batch, place: jax.Array) -> Batch:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self._seed), place[0]), place[1])
        rows = jnp.arange(len(batch.lengths))

        # XLA does not divide Fourier transforms over the devices.
        def own(
            of_rows: tuple[jax.Array, ...], shared: tuple[jax.Array]
        ) -> tuple[jax.Array, jax.Array]:
            clean, noisy, lengths, rows = of_rows
            keys = jax.vmap(lambda row: jax.random.fold_in(shared[0], row))(rows)
            return augment(self._augmentation, clean, noisy, lengths, keys)

        of_rows = (batch.clean, batch.noisy, batch.lengths, rows)
        clean, noisy = devices.on_each(own, of_rows, (key,))
        return dataclasses.replace(batch, clean=clean, noisy=noisy)
