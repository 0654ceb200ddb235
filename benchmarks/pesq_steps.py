"""Compares the intermediate values of PESQ on the device with those of another implementation.

The pairs are p287_001 and p287_002 of the training set of VoiceBank-DEMAND. The other
implementation is plain NumPy, in float64 except for the input filter, and agrees with the package
`pesq`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.scores.device import (
    pesq,
    pesq_constants,
    pesq_filters,
    pesq_intervals,
    pesq_model,
)

Pair = tuple[np.ndarray, np.ndarray]
SAMPLE_RATE = 16000
FRAME = 100
"""Index of the frame whose disturbances are compared."""
COLUMNS = (
    "reference gain",
    "estimate gain",
    "first frame",
    "last frame",
    f"symmetric({FRAME})",
    f"asymmetric({FRAME})",
    "symmetric",
    "asymmetric",
    "raw",
)
KNOWN: Mapping[tuple[str, str], tuple[tuple[float, ...], str]] = {
    ("p287_001", "wb"): (
        (33513.80, 32640.69, 0, 121, 8.781, 51.564, 15.3212, 39.7521, 1.73954),
        "",
    ),
    ("p287_001", "nb"): (
        (33513.80, 32640.69, 0, 121, 4.765, 21.386, 7.3977, 32.4745, 2.75677),
        "",
    ),
    ("p287_002", "wb"): (
        (35227.86, 32701.68, 0, 202, 21.545, 25.758, 21.6863, 41.1537, 1.05972),
        "90-96:0 106-117:-1503 154-167:0",
    ),
}
"""For each pair and mode the values of `COLUMNS`, and the intervals as in `format_intervals`."""


def compare(sets: Mapping[str, Mapping[str, Pair]]) -> Iterator[dict[str, Any]]:
    """Yields two rows for each known pair in the sets: the known values and the device's."""
    for (name, mode), (known, intervals) in KNOWN.items():
        for pairs in sets.values():
            if name in pairs:
                computed = compute_steps(*pairs[name], mode)
                for source, (values, lags) in (("known", (known, intervals)), ("device", computed)):
                    cells = {column: f"{v:.7g}" for column, v in zip(COLUMNS, values, strict=True)}
                    yield {"pair": name, "mode": mode, "by": source} | cells | {"lags": lags}
                break


def compute_steps(
    reference: np.ndarray, estimate: np.ndarray, mode: str
) -> tuple[list[float], str]:
    """Returns the values of `COLUMNS` for one pair, and its bad intervals with their lags."""
    tables = pesq_constants.tables(SAMPLE_RATE)
    lengths = jnp.array([len(reference)])
    pairs = jnp.stack([reference, estimate])[:, None]
    pairs = pairs / jnp.max(jnp.abs(pairs))
    pairs = jnp.pad(pairs, ((0, 0), (0, 0), (0, -pairs.shape[-1] % tables.hop)))
    spectra = pesq_filters.transform(pairs, mode, tables)
    gain = pesq_filters.level_gains(spectra, lengths, tables)
    if mode == "nb":
        filtered = pesq_filters.narrowband(spectra, lengths, pairs.shape[-1], tables)
        signals = gain[..., None] * filtered
    else:
        faded = pesq_filters.fade(gain[..., None] * pairs, lengths)
        signals = pesq_filters.wideband(faded, lengths, True)
    excerpt = pesq_model.find_excerpt(signals[0], lengths, tables)
    powers = pesq_model.band_powers(pesq_model.split_frames(signals, tables.hop), tables)
    equalised = pesq_model.equalise(powers[0], powers[1], lengths, excerpt, tables)
    first = pesq_model.disturbances(equalised, powers[1], None, tables)
    intervals = pesq_intervals.find(first[0], excerpt[1])
    lags = pesq_intervals.frame_lags(signals[0], signals[1], lengths, intervals, tables)
    final = pesq.realign_bad_intervals(signals, lengths, equalised, first, tables)
    weighted = [pesq_model.weight_by_energy(d, equalised.energy) for d in final]
    overall = [pesq_model.average_over_time(d, lengths, excerpt, tables.hop) for d in weighted]
    values = [*gain, *excerpt, *(d[:, FRAME] for d in first), *overall]
    values.append(4.5 - 0.1 * overall[0] - 0.0309 * overall[1])
    return [float(value[0]) for value in values], format_intervals(intervals, lags)


def format_intervals(intervals: pesq_intervals.Intervals, lags: jax.Array) -> str:
    """Returns the intervals of one pair as first-stop:lag, in frames and samples."""
    inside, start = (np.append(np.asarray(field)[0], False) for field in intervals)
    return " ".join(
        f"{head}-{head + int(np.argmin(inside[head:]))}:{int(lags[0, head])}"
        for head in np.flatnonzero(start)
    )
