"""Validation by the true scores: enhance a fixed set, score it, average."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib import colormaps

from jaxgan.core.recipe import Audio, Evaluation, Media
from jaxgan.scores.bridge import submit_shards
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.scorer import Scorer
from jaxgan.speech.data.batching import Batch, Loader
from jaxgan.speech.networks.stft import FrontEnd

log = logging.getLogger(__name__)

SHOWN = 2  # utterances in TensorBoard
ALLOWED_DIFFERENCE = 0.02  # between host and device, in the score's own unit
DYNAMIC_RANGE = 80.0  # dB, of the spectrograms


class Validation:
    """Scores of a fixed set.

    Args:
        loader: of the validation corpus.
        pool: open worker processes that know every score asked for.
        scores: names of those to report; the first decides which checkpoint is best.
        front_end: of the spectrograms.
        fetch: brings arrays on the devices whole to the host.
        on_devices: what computes the first score in training, where that is not the pool: each
            validation compares both on one batch.
    """

    def __init__(
        self,
        loader: Loader,
        pool: ScorePool,
        scores: Sequence[str],
        front_end: FrontEnd,
        fetch: Callable[[Any], Any],
        on_devices: Scorer | None = None,
    ) -> None:
        self._on_devices = on_devices
        self._loader = loader
        self._pool = pool
        self._scores = {name: get(name) for name in scores}
        self._front_end = front_end
        self._fetch = fetch
        self._noisy: dict[str, float] = {}

    def __call__(
        self, enhance: Callable[[Batch], jax.Array], number: int
    ) -> Callable[[], Evaluation]:
        """Enhances the set and sends it to be scored.

        Args:
            enhance: batch -> int16 [B, T].
            number: of the round.

        Returns:
            What waits for the scores.
        """
        batches = list(self._loader.all())
        enhanced = [enhance(batch) for batch in batches]
        noisy = None if self._noisy else self._ask(batches, [batch.noisy for batch in batches])
        asked = self._ask(batches, enhanced)
        place = number % len(batches)
        check = None
        if self._on_devices:
            check = self._on_devices(batches[place].clean, enhanced[place], batches[place].lengths)

        def found() -> Evaluation:
            if noisy:
                means = {name: _mean(values) for name, values in noisy().items()}
                self._noisy = {f"{name}_noisy": mean for name, mean in means.items()}
            scores = asked()
            first = next(iter(self._scores.values()))
            means = {name: _mean(values) for name, values in scores.items()} | self._noisy
            metrics = {name: means[name] for name in (first.name, f"{first.name}_noisy")} | means
            if check:
                metrics[f"{first.name}_device_difference"] = largest_difference(
                    first.name, scores[first.name][place], self._fetch(check())
                )
            every = np.concatenate(scores[first.name])
            metrics["unscorable"] = float(np.count_nonzero(~np.isfinite(every)))
            return Evaluation(
                metrics=metrics,
                objective=metrics[first.name] * (1 if first.higher_is_better else -1),
                media=self._media(batches[-1], enhanced[-1]),
                shown=2,
            )

        return found

    def _ask(
        self, batches: Sequence[Batch], estimates: Sequence[jax.Array]
    ) -> Callable[[], dict[str, list[np.ndarray]]]:
        """What waits for the scores of every batch's utterances: name -> float32 [rows]s.

        They are NaN where there is none.
        """
        pending = [
            submit_shards(self._pool, batch.clean, estimate, batch.lengths, tuple(self._scores))
            for batch, estimate in zip(batches, estimates, strict=True)
        ]

        def collect() -> dict[str, list[np.ndarray]]:
            filled = [lengths > 0 for lengths in self._fetch([batch.lengths for batch in batches])]
            result = {}
            for name, score in self._scores.items():
                raw = self._fetch([scores.collect(name) for scores in pending])
                result[score.name] = [v[rows] for v, rows in zip(raw, filled, strict=True)]
            return result

        return collect

    def _media(self, batch: Batch, enhanced: jax.Array) -> Mapping[str, Media]:
        waves, lengths = self._fetch(((batch.clean, batch.noisy, enhanced), batch.lengths))
        media: dict[str, Media] = {}
        for row in range(min(SHOWN, int(np.count_nonzero(lengths)))):
            sides = [side[row, : lengths[row]] for side in waves]
            media[f"spectrograms/{row}_clean_noisy_enhanced"] = np.concatenate(
                [spectrogram_image(side, self._front_end) for side in sides]
            )
            for name, side in zip(("clean", "noisy", "enhanced"), sides, strict=True):
                media[f"audio/{row}_{name}"] = Audio(side / 32768, self._front_end.sample_rate)
        return media


def spectrogram_image(waveform: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """An image of a spectrogram, low frequencies at the bottom: uint8 [bins, frames, 3].

    Args:
        waveform: int16 [n].
        front_end: window and hop.
    """
    blocks = np.resize(waveform / 32768, (len(waveform) // front_end.hop, front_end.hop))
    frames = np.concatenate([blocks[:-1], blocks[1:]], axis=1) * front_end.weights
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-9)
    top = 20 * np.log10(front_end.weights.sum() / 2)  # a sine of full scale
    place = np.clip((level - top) / DYNAMIC_RANGE + 1, 0, 1)
    image: np.ndarray = colormaps["magma"](place.T[::-1], bytes=True)[..., :3]
    return image


def largest_difference(name: str, host: np.ndarray, device: np.ndarray) -> float:
    """The largest difference of two ways to compute the same scores; warned of past 0.02.

    Args:
        name: of the score.
        host: float32 [rows], NaN where there is no score.
        device: float32 [rows or more]; what lies behind is of rows that only fill.
    """
    device = device[: len(host)]
    if (np.isnan(host) != np.isnan(device)).any():
        log.warning("%s: host and device disagree on which utterances have a score", name)
    difference = np.abs(host - device)
    largest = float(np.nanmax(difference, initial=0.0))
    if largest > ALLOWED_DIFFERENCE:
        row = int(np.nanargmax(difference))
        log.warning(
            "%s: the host gives %.4f where the device gives %.4f; scoring.where=host is the "
            "reference (docs/scores.md says when they differ)",
            name,
            host[row],
            device[row],
        )
    return largest


def _mean(batches: Sequence[np.ndarray]) -> float:
    """Mean of what is a number; NaN where nothing is."""
    values = np.concatenate(batches)
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
