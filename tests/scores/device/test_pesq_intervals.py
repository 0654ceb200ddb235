"""Tests bad intervals and their lags against plain loops that follow the definition."""

import jax.numpy as jnp
import numpy as np

from jaxgan.scores.device import pesq_constants, pesq_intervals

TABLES = pesq_constants.tables(8000)


def plain_intervals(disturbance, last):
    bad = {t for t in range(1, last + 1) if disturbance[t] > 30}
    marked = [
        2 <= t < last - 2 and bool(bad & {t - 2, t - 1, t}) and bool(bad & {t, t + 1, t + 2})
        for t in range(len(disturbance))
    ]
    found, start = [], None
    for t, mark in enumerate([*marked, False]):
        if mark and start is None:
            start = t
        if not mark and start is not None:
            if t - start >= 5:
                found.append((start, t))
            start = None
    return found


def spans(intervals, row):
    inside, start = np.asarray(intervals.inside)[row], np.asarray(intervals.start)[row]
    heads = np.flatnonzero(start)
    return [(h, h + int(np.argmin(np.append(inside[h:], False)))) for h in heads]


def test_intervals_equal_a_plain_loop():
    random = np.random.default_rng(0)
    bad_fraction = random.uniform(0.1, 0.9, (60, 1))
    disturbance = np.where(random.uniform(size=(60, 80)) < bad_fraction, 40.0, 20.0)
    last = random.integers(3, 80, 60)
    intervals = pesq_intervals.find(jnp.asarray(disturbance), jnp.asarray(last))
    expected = [plain_intervals(d, t) for d, t in zip(disturbance, last, strict=True)]
    assert [spans(intervals, row) for row in range(60)] == expected
    assert sum(map(len, expected)) > 60


def plain_lag(reference, estimate, start, end, total):
    frame, hop = TABLES.frame, TABLES.hop
    max_lag = 4 * frame
    n = np.arange(start * hop, end * hop + frame)
    r = np.abs(reference[n])
    correlation = [
        np.dot(r, np.abs(estimate[np.clip(n + lag, 0, total - 1)]))
        for lag in range(-max_lag, max_lag)
    ]
    wide = estimate[np.clip(np.arange(n[0] - max_lag, n[-1] + 1 + max_lag), 0, total - 1)]
    best = int(np.argmax(correlation))
    norm = np.sqrt(np.sum(r**2) * np.sum(wide**2))
    return best - max_lag if correlation[best] >= 0.5 * norm else 0


def test_lags_and_shifted_frames_equal_a_plain_loop():
    random = np.random.default_rng(1)
    frames, hop, frame = 90, TABLES.hop, TABLES.frame
    length = frames * hop - TABLES.tail
    signal = random.standard_normal(length) * np.exp(random.standard_normal(length))
    signal = 1000 * signal * np.repeat(random.uniform(0, 1, -(-length // 40)), 40)[:length]
    shifts = [300, -700, 17]
    reference, estimate = np.zeros((2, 3, frames * hop), np.float32)
    reference[:, :length] = signal
    for row, shift in enumerate(shifts):
        estimate[row, :length] = np.roll(signal, shift)
    reference[2, 4000:] = random.standard_normal(frames * hop - 4000)
    disturbance = np.full((3, frames), 10.0)
    disturbance[0, 20:28] = disturbance[0, 40:65] = 40.0
    disturbance[1, 3:30] = disturbance[2, 40:50] = 40.0
    lengths = np.full(3, length)
    intervals = pesq_intervals.find(jnp.asarray(disturbance), jnp.full(3, frames - 1))
    shifted = pesq_intervals.shifted_frames(reference, estimate, lengths, intervals, TABLES)
    lags = pesq_intervals.frame_lags(
        jnp.asarray(reference), jnp.asarray(estimate), lengths, intervals, TABLES
    )
    total = length + TABLES.tail
    seen = set()
    for row in range(3):
        expected = np.zeros(frames, int)
        for start, end in spans(intervals, row):
            lag = plain_lag(reference[row], estimate[row], start, end, total)
            expected[start:end] = lag
            seen.add(lag)
        np.testing.assert_array_equal(lags[row], expected)
        first = np.arange(frames) * hop + expected
        index = np.clip(first[:, None] + np.arange(frame), -1, length + TABLES.guard - 1)
        padded = np.append(estimate[row], 0.0)
        np.testing.assert_array_equal(shifted[row], padded[np.minimum(index, frames * hop)])
    assert {300, -700, 0} <= seen
