"""PESQ in JAX: P.862 and P.862.2 for batches of time-aligned pairs.

This is an independent implementation, written from a mathematical description of the method. It
omits the time alignment: the estimate must be aligned with the reference, as the output of an
enhancement network is. docs/device_scores.md describes its origin and how closely it agrees with
the package `pesq`.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.core.errors import UserError
from jaxgan.scores.device import (
    pesq_constants,
    pesq_filters,
    pesq_intervals,
    pesq_model,
    pesq_speech,
)
from jaxgan.scores.device.batches import score_batch
from jaxgan.scores.device.pesq_constants import Tables

_MAPPING = {"wb": (1.3669, 3.8224), "nb": (1.4945, 4.6607)}


@dataclasses.dataclass(frozen=True)
class _Options:
    mode: str
    bad_intervals: bool
    unfused: bool
    refuse_speechless: bool


@functools.partial(
    jax.jit,
    static_argnames=("sample_rate", "bad_intervals", "unfused", "refuse_speechless", "group"),
)
def pesq_wb(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    sample_rate: int = 16000,
    *,
    bad_intervals: bool = True,
    unfused: bool = True,
    refuse_speechless: bool = True,
    group: int | None = None,
) -> jax.Array:
    """Returns the wide-band PESQ (P.862.2), 1.01 to 4.64, higher is better.

    The score is differentiable. The gradient treats the silent frames, the ends of the speech, the
    bad intervals and their lags as constants. Minus the mean over the pairs that are not NaN is a
    loss.

    Args:
        reference: clean speech, floating [B, T] with full scale 1, or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, in the same formats.
        lengths: integers [B], samples; samples past them are not read.
        sample_rate: sample rate in Hz, which must be 16000.
        bad_intervals: whether large disturbances are computed again after a realignment, as in
            P.862. Without it, scores are off by up to 0.04 for noisy and 0.2 for enhanced speech.
        unfused: whether the input filter rounds like that of published scores. Without it, scores
            of ordinary recordings are the same, and those of references with empty upper bands are
            off by up to 0.03.
        refuse_speechless: whether references without 0.2 s of speech are NaN. Without it, only
            silent, short and non-finite pairs are.
        group: pairs to process at a time; None for 4 on a CPU and the whole batch elsewhere.

    Returns:
        MOS-LQO, float32 [B], or float64 [B] if both signals are float64. A pair is NaN if a sample
        is not finite, a signal is silent or shorter than 0.25 s, or the reference contains no
        speech.

    Raises:
        UserError: the sample rate is not 16000 Hz.
        ValueError: the shapes do not fit.
    """
    if sample_rate != 16000:
        raise UserError(f"pesq_wb takes 16000 Hz, not {sample_rate}; resample, or use pesq_nb")
    options = _Options("wb", bad_intervals, unfused, refuse_speechless)
    return _pesq(reference, estimate, lengths, sample_rate, options, group)


@functools.partial(
    jax.jit, static_argnames=("sample_rate", "bad_intervals", "refuse_speechless", "group")
)
def pesq_nb(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    sample_rate: int = 16000,
    *,
    bad_intervals: bool = True,
    refuse_speechless: bool = True,
    group: int | None = None,
) -> jax.Array:
    """Returns the narrow-band PESQ (P.862, mapped by P.862.1), 1.00 to 4.55, higher is better.

    Arguments, results and gradients are as for `pesq_wb`, except that `sample_rate` is 8000 or
    16000 Hz. Without `bad_intervals` 1 score in 200 is off by more than 0.005, by up to 0.04.

    Raises:
        UserError: the sample rate is neither 8000 nor 16000 Hz.
        ValueError: the shapes do not fit.
    """
    if sample_rate not in (8000, 16000):
        raise UserError(f"pesq_nb takes 8000 or 16000 Hz, not {sample_rate}; resample first")
    options = _Options("nb", bad_intervals, False, refuse_speechless)
    return _pesq(reference, estimate, lengths, sample_rate, options, group)


def _pesq(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    sample_rate: int,
    options: _Options,
    group: int | None,
) -> jax.Array:
    score = functools.partial(_score, tables=pesq_constants.tables(sample_rate), options=options)
    return score_batch(score, reference, estimate, lengths, group)


def _score(
    pairs: jax.Array, lengths: jax.Array, peaks: jax.Array, *, tables: Tables, options: _Options
) -> jax.Array:
    """Returns the MOS-LQO [B] of pairs [2, B, T], which it scales to a common peak of 1."""
    to_whole_hops = -pairs.shape[-1] % tables.hop
    peak = jnp.max(peaks, 0)
    pairs = pairs / jnp.where(peak > 0, peak, 1.0)[:, None]
    pairs = jnp.pad(pairs, ((0, 0), (0, 0), (0, to_whole_hops)))
    score = functools.partial(_score_scaled, lengths=lengths, tables=tables, options=options)
    return _score_where((peak > 0) & (lengths >= tables.shortest), score, pairs)


def _score_scaled(
    pairs: jax.Array, lengths: jax.Array, tables: Tables, options: _Options
) -> jax.Array:
    """Returns the MOS-LQO [B] of pairs [2, B, S] whose largest sample is 1."""
    samples = pairs.shape[-1]
    spectra = pesq_filters.transform(pairs, options.mode, tables)
    gain = pesq_filters.level_gains(spectra, lengths, tables)
    valid = jnp.all(jnp.isfinite(gain), 0)
    gain = jnp.where(jnp.isfinite(gain), gain, 0.0)[..., None]
    if options.refuse_speechless:
        # The detector only compares powers with each other, so it needs no level alignment.
        reference = lax.stop_gradient(spectra[0])
        power = pesq_filters.block_powers(reference, samples, options.mode, tables)
        valid &= pesq_speech.has_utterance(power, lengths, tables)
    compare = functools.partial(_score_filtered, lengths=lengths, tables=tables, options=options)
    if options.mode == "nb":
        signals = gain * pesq_filters.narrowband(spectra, lengths, samples, tables)
        return _score_where(valid, compare, signals)

    def filter_and_compare(faded: jax.Array) -> jax.Array:
        signals = pesq_filters.wideband(faded, lengths, options.unfused)
        return _score_where(valid, compare, signals)

    return _score_where(lengths > 0, filter_and_compare, pesq_filters.fade(gain * pairs, lengths))


def _score_where(
    valid: jax.Array, score: Callable[[jax.Array], jax.Array], signals: jax.Array
) -> jax.Array:
    """Returns the scores of the valid pairs and NaN for the others; skips groups of padding.

    The conditional is also a boundary to XLA's fusion, which matters as much: on a CPU `signals`
    are computed once before it instead of again in every loop that reads them.
    """
    no_scores = jnp.full_like(valid, jnp.nan, signals.dtype)
    scores = lax.cond(jnp.any(valid), score, lambda _: no_scores, signals)
    return jnp.where(valid, scores, jnp.nan)


def _score_filtered(
    signals: jax.Array, lengths: jax.Array, tables: Tables, options: _Options
) -> jax.Array:
    """Returns the MOS-LQO [B] of filtered signals [2, B, S]; NaN if the reference has no speech."""
    excerpt = pesq_model.find_excerpt(lax.stop_gradient(signals[0]), lengths, tables)
    frames = pesq_model.split_frames(signals, tables.hop)
    reference_power, estimate_power = pesq_model.band_powers(frames, tables)
    equalised = pesq_model.equalise(reference_power, estimate_power, lengths, excerpt, tables)
    disturbances = pesq_model.disturbances(equalised, estimate_power, None, tables)
    if options.bad_intervals:
        disturbances = realign_bad_intervals(signals, lengths, equalised, disturbances, tables)
    weighted = (pesq_model.weight_by_energy(d, equalised.energy) for d in disturbances)
    symmetric, asymmetric = (
        pesq_model.average_over_time(d, lengths, excerpt, tables.hop) for d in weighted
    )
    raw = 4.5 - 0.1 * symmetric - 0.0309 * asymmetric
    slope, shift = _MAPPING[options.mode]
    score = 0.999 + 4.0 * jax.nn.sigmoid(slope * raw - shift)
    return jnp.where(excerpt[1] >= excerpt[0], score, jnp.nan)


def realign_bad_intervals(
    signals: jax.Array,
    lengths: jax.Array,
    equalised: pesq_model.Reference,
    disturbances: tuple[jax.Array, jax.Array],
    tables: Tables,
) -> tuple[jax.Array, jax.Array]:
    """Returns disturbances that are, in bad intervals, the minimum without and with realignment.

    Args:
        signals: [2, B, S] after the input filter.
        lengths: int32 [B], samples.
        equalised: the reference, from `pesq_model.equalise`.
        disturbances: (symmetric, asymmetric), [B, frames] each, without realignment.
        tables: the tables of the sample rate.
    """
    intervals = pesq_intervals.find(disturbances[0], equalised.excerpt[1])

    def realign() -> tuple[jax.Array, jax.Array]:
        padded = jnp.pad(signals, ((0, 0), (0, 0), (0, tables.hop)))
        frames = pesq_intervals.shifted_frames(padded[0], padded[1], lengths, intervals, tables)
        power = pesq_model.band_powers(frames, tables)
        realigned = pesq_model.disturbances(equalised, power, intervals.start, tables)
        symmetric, asymmetric = (
            jnp.where(intervals.inside, jnp.minimum(new, old), old)
            for new, old in zip(realigned, disturbances, strict=True)
        )
        return symmetric, asymmetric

    return lax.cond(jnp.any(intervals.inside), realign, lambda: disturbances)
