"""PESQ on the accelerator: P.862 and P.862.2 for batches of time-aligned pairs, in JAX.

An independent implementation from a mathematical description of the method, without its time
alignment: the estimate must be aligned with the reference, as an enhancement network's output is.
docs/scores.md says how far it agrees with the package `pesq`, and on what it stands.
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
    """Wide-band PESQ (P.862.2), 1.01 to 4.64, higher is better.

    Differentiable: silence, the ends of the speech, bad intervals and their lags are constants to
    the gradient. Minus the mean over items that are not NaN is a loss.

    Args:
        reference: clean speech, floating [B, T] or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, likewise.
        lengths: integers [B], samples; what lies past them is not read.
        sample_rate: 16000 Hz.
        bad_intervals: whether loud disturbances are looked at once more. Without: up to 0.04 off
            on noisy speech, 0.2 on enhanced.
        unfused: whether the input filter rounds as published scores do. Without: the same on
            ordinary recordings, up to 0.03 off where the reference has empty upper bands.
        refuse_speechless: whether references without 0.2 s of speech are NaN. Without: only
            silent, short and non-finite items are.
        group: pairs worked on at a time; None for 4 on a CPU and all of them elsewhere.

    Returns:
        MOS-LQO, float32 [B] (float64 where both sides are). NaN for items with a sample that is
        not finite, a silent side, less than 0.25 s, or no speech in the reference.

    Raises:
        UserError: another sample rate.
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
    """Narrow-band PESQ (P.862 with the mapping of P.862.1), 1.00 to 4.55, higher is better.

    Args, results and gradients as of `pesq_wb`; `sample_rate` is 8000 or 16000 Hz. Without
    `bad_intervals` 1 score in 200 is off by more than 0.005, by up to 0.04.

    Raises:
        UserError: another sample rate.
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
    """MOS-LQO [B] of pairs [2, B, T]."""
    whole_hops = -pairs.shape[-1] % tables.hop
    peak = jnp.max(peaks, 0)
    pairs = pairs / jnp.where(peak > 0, peak, 1.0)[:, None]
    pairs = jnp.pad(pairs, ((0, 0), (0, 0), (0, whole_hops)))
    score = functools.partial(_score_level, lengths=lengths, tables=tables, options=options)
    return _if_any((peak > 0) & (lengths >= tables.shortest), score, pairs)


def _score_level(
    pairs: jax.Array, lengths: jax.Array, tables: Tables, options: _Options
) -> jax.Array:
    """MOS-LQO [B] of pairs [2, B, S] whose largest sample is 1."""
    samples = pairs.shape[-1]
    spectra = pesq_filters.transform(pairs, options.mode, tables)
    gain = pesq_filters.level_gains(spectra, lengths, tables)
    valid = jnp.all(jnp.isfinite(gain), 0)
    gain = jnp.where(jnp.isfinite(gain), gain, 0.0)[..., None]
    if options.refuse_speechless:
        # Not levelled: the detector compares powers with each other only.
        reference = lax.stop_gradient(spectra[0])
        power = pesq_filters.block_powers(reference, samples, options.mode, tables)
        valid &= pesq_speech.has_utterance(power, lengths, tables)
    compare = functools.partial(_compare, lengths=lengths, tables=tables, options=options)
    if options.mode == "nb":
        signals = gain * pesq_filters.narrowband(spectra, lengths, samples, tables)
        return _if_any(valid, compare, signals)

    def filter_and_compare(faded: jax.Array) -> jax.Array:
        signals = pesq_filters.wideband(faded, lengths, options.unfused)
        return _if_any(valid, compare, signals)

    return _if_any(lengths > 0, filter_and_compare, pesq_filters.fade(gain * pairs, lengths))


def _if_any(
    wanted: jax.Array, score: Callable[[jax.Array], jax.Array], signals: jax.Array
) -> jax.Array:
    """Scores of those wanted, NaN for the others; nothing is computed where none is wanted.

    What is skipped are groups of padding. As much is gained by the border that this draws: XLA on
    a CPU computes `signals` once before it, not again in every loop that reads them.
    """
    nothing = jnp.full_like(wanted, jnp.nan, signals.dtype)
    scores = lax.cond(jnp.any(wanted), score, lambda _: nothing, signals)
    return jnp.where(wanted, scores, jnp.nan)


def _compare(
    signals: jax.Array, lengths: jax.Array, tables: Tables, options: _Options
) -> jax.Array:
    """MOS-LQO [B] of signals [2, B, S] behind the input filter; NaN where nothing is loud."""
    excerpt = pesq_model.find_excerpt(lax.stop_gradient(signals[0]), lengths, tables)
    frames = pesq_model.split_frames(signals, tables.hop)
    reference_power, estimate_power = pesq_model.band_powers(frames, tables)
    heard = pesq_model.equalise(reference_power, estimate_power, lengths, excerpt, tables)
    found = pesq_model.disturbances(heard, estimate_power, None, tables)
    if options.bad_intervals:
        found = look_again(signals, lengths, heard, found, tables)
    symmetric, asymmetric = (
        pesq_model.over_time(pesq_model.by_energy(q, heard.energy), lengths, excerpt, tables.hop)
        for q in found
    )
    raw = 4.5 - 0.1 * symmetric - 0.0309 * asymmetric
    slope, shift = _MAPPING[options.mode]
    score = 0.999 + 4.0 * jax.nn.sigmoid(slope * raw - shift)
    return jnp.where(excerpt[1] >= excerpt[0], score, jnp.nan)


def look_again(
    signals: jax.Array,
    lengths: jax.Array,
    heard: pesq_model.Reference,
    found: tuple[jax.Array, jax.Array],
    tables: Tables,
) -> tuple[jax.Array, jax.Array]:
    """The disturbances, with the smaller of two looks in bad intervals."""
    intervals = pesq_intervals.find(found[0], heard.excerpt[1])

    def again() -> tuple[jax.Array, jax.Array]:
        ended = jnp.pad(signals, ((0, 0), (0, 0), (0, tables.hop)))
        frames = pesq_intervals.shifted_frames(ended[0], ended[1], lengths, intervals, tables)
        power = pesq_model.band_powers(frames, tables)
        other = pesq_model.disturbances(heard, power, intervals.start, tables)
        symmetric, asymmetric = (
            jnp.where(intervals.inside, jnp.minimum(new, old), old)
            for new, old in zip(other, found, strict=True)
        )
        return symmetric, asymmetric

    return lax.cond(jnp.any(intervals.inside), again, lambda: found)
