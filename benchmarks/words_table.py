"""Compares the score `words` with PESQ and DNSMOS on speech that was degraded in known ways.

    python benchmarks/words_table.py --speech=DIR --noise=DIR [--count=24] [--json=FILE]

The folders are searched for recordings, of which `--count` are drawn from a fixed seed. Each is
degraded by noise, clipping, a band limit and musical noise (spectral subtraction from a noisy
version), at several strengths. The table has Spearman's rank correlation between the ratings and
PESQ over all versions, and within each kind, with 95 % bootstrap intervals over recordings; and the
same for DNSMOS where it is installed. Without folders, it takes the demo corpus and white noise.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import signal, stats

from jaxgan.reporting.tables import Cell, Table, show
from jaxgan.scores import get
from jaxgan.scores.registry import installed
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.demo import open_set

STRENGTHS: dict[str, tuple[float, ...]] = {
    "noise": (-5, 0, 5, 10, 15, 20, 30),  # SNR in dB
    "clipping": (0.005, 0.02, 0.05, 0.1, 0.2),  # share of the samples
    "band": (600, 1000, 1500, 2500, 3500, 5000),  # cutoff in Hz
    "musical": (-5, 0, 5, 10, 15, 20),  # SNR in dB before the subtraction
}
RESAMPLES = 1000


def add_noise(speech: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Returns speech with noise at an SNR in dB over the whole recording."""
    noise = np.resize(noise - noise.mean(), len(speech))
    gain = np.sqrt(np.mean(speech**2) / max(np.mean(noise**2), 1e-12)) * 10 ** (-snr / 20)
    return speech + gain * noise


def clip(speech: np.ndarray, share: float) -> np.ndarray:
    """Returns speech of which a share of the samples is clipped."""
    limit = np.quantile(np.abs(speech), 1 - share)
    return np.clip(speech, -limit, limit)


def limit_band(speech: np.ndarray, cutoff: float) -> np.ndarray:
    """Returns speech below a cutoff in Hz, through a Butterworth filter of order 8."""
    return signal.sosfilt(signal.butter(8, cutoff, fs=SAMPLE_RATE, output="sos"), speech)


def subtract_spectrum(noisy: np.ndarray) -> np.ndarray:
    """Returns noisy speech minus more than its noise, which leaves isolated tones.

    The noise of a frequency is its 20th percentile over time; 2.4 times that is subtracted.
    """
    transform = signal.ShortTimeFFT.from_window(
        "hann", SAMPLE_RATE, nperseg=512, noverlap=256, mfft=512
    )
    spectrum = transform.stft(noisy)
    magnitude = np.abs(spectrum)
    noise = 2.4 * np.quantile(magnitude, 0.2, axis=1, keepdims=True)
    gain = np.maximum(magnitude - noise, 0) / np.maximum(magnitude, 1e-9)
    return np.asarray(transform.istft(spectrum * gain, k1=len(noisy)))


def versions(
    speech: np.ndarray, draw: Callable[[], np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the kind and the samples of each version of a recording, the recording first.

    Args:
        speech: float64 [n].
        draw: returns a recording of noise.
    """
    degrade: dict[str, Callable[[float], np.ndarray]] = {
        "noise": lambda snr: add_noise(speech, draw(), snr),
        "clipping": lambda share: clip(speech, share),
        "band": lambda cutoff: limit_band(speech, cutoff),
        "musical": lambda snr: subtract_spectrum(add_noise(speech, draw(), snr)),
    }
    yield "none", speech
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            samples = degrade[kind](strength)
            yield kind, samples / max(1.0, np.abs(samples).max())


def correlation(first: np.ndarray, second: np.ndarray, recordings: np.ndarray) -> list[float]:
    """Returns Spearman's correlation and its 95 % bootstrap interval over recordings."""
    random = np.random.default_rng(0)
    rows = [np.flatnonzero(recordings == number) for number in np.unique(recordings)]

    def over(chosen: np.ndarray) -> float:
        return float(stats.spearmanr(first[chosen], second[chosen]).statistic)

    found = [
        over(np.concatenate([rows[place] for place in random.integers(len(rows), size=len(rows))]))
        for _ in range(RESAMPLES)
    ]
    return [over(np.concatenate(rows)), *np.percentile(found, [2.5, 97.5])]


def open_recordings(options: argparse.Namespace) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns recordings of speech and of noise, float64 [n] each."""
    random = np.random.default_rng(options.seed)
    if not options.speech:
        corpus = open_set("valid", options.count, options.seed)
        speech = [audio.to_float(corpus.clean(number)) for number in range(len(corpus))]
        return speech, [random.normal(size=SAMPLE_RATE)]
    found = []
    for folder, count in ((options.speech, options.count), (options.noise, None)):
        names = audio.find(folder)
        chosen = random.permutation(len(names))[:count]
        found.append([audio.to_float(audio.read(folder / names[place])[0]) for place in chosen])
    return found[0], found[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and writes the JSON. Returns the status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if (options.speech is None) != (options.noise is None):
        parser.error("give both --speech and --noise, or neither")
    speech, noises = open_recordings(options)
    random = np.random.default_rng(options.seed)
    names = [name for name in ("words", "pesq_wb", "dnsmos_ovr") if name in installed()]
    scores = [get(name) for name in names]
    kinds, recordings, values = [], [], []
    for number, recording in enumerate(speech):
        for kind, samples in versions(recording, lambda: noises[random.integers(len(noises))]):
            kinds.append(kind)
            recordings.append(number)
            values.append([score(recording, samples, SAMPLE_RATE) for score in scores])
    table = np.array(values)
    scored = np.isfinite(table).all(axis=1)
    kind_of, recording_of = np.array(kinds), np.array(recordings)
    rows, results = [], {}
    for kind in ("all", *STRENGTHS):
        used = scored & ((kind_of == kind) | (kind == "all"))
        others = table[used, 1:].T
        cells = [correlation(table[used, 0], other, recording_of[used]) for other in others]
        results[kind] = dict(zip(names[1:], cells, strict=True))
        texts = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for middle, low, high in cells]
        rows.append([kind, str(used.sum()), *texts])
    headings = ["degraded by", "versions", *(f"words and {name}" for name in names[1:])]
    show(Table(headings, [list(map(Cell, row)) for row in rows], "rank correlation"))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
