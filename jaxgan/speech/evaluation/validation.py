"""Validation by true scores: enhance a fixed set, score it, average."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib import colormaps

from jaxgan.core.compiling import Program
from jaxgan.core.recipe import Evaluation, Media
from jaxgan.core.state import PyTree
from jaxgan.reporting import media
from jaxgan.scores.background import submit_shards
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.training_scores import DeviceScore
from jaxgan.speech.data.batching import Batch, Loader, Rows
from jaxgan.speech.networks.stft import FrontEnd

log = logging.getLogger(__name__)

SHOWN = 2
"""How many utterances TensorBoard shows."""
NOISY_REQUESTS = 2
"""How often scores of the same noisy speech are requested. The second request is for those that
are missing after the first, because a worker failed or because there are none."""
ALLOWED_DIFFERENCE = 0.02
"""The largest difference between host and device scores without a warning, in the score's unit."""
DYNAMIC_RANGE = 80.0
"""The range of levels that spectrograms show, in dB."""
COLOUR_MAP = "magma"
"""Matplotlib's name for the colours of spectrograms."""


class Validation:
    """Validates an enhancer by the mean scores of a fixed set.

    Args:
        loader: the loader of the validation corpus.
        pool: open worker processes that know the scores.
        scores: names of those to report; the first decides which checkpoint is best.
        front_end: for the spectrograms.
        fetch: copies arrays on the devices to the host.
        device_score: computes the first score in training, if the host does not. Every validation
            then compares the two on one batch.
    """

    def __init__(
        self,
        loader: Loader,
        pool: ScorePool,
        scores: Sequence[str],
        front_end: FrontEnd,
        fetch: Callable[[Any], Any],
        device_score: DeviceScore | None = None,
    ) -> None:
        self._loader = loader
        self._pool = pool
        self._scores = {name: get(name) for name in scores}
        self._front_end = front_end
        self._fetch = fetch
        self._device_score = jax.jit(device_score) if device_score else None
        self._noisy: dict[str, list[np.ndarray]] = {}
        self._noisy_requests = 0

    def __call__(self, enhance: Program, params: PyTree, number: int) -> Callable[[], Evaluation]:
        """Enhances the set and sends it to be scored.

        Args:
            enhance: (params, batch) -> int16 [B, T].
            params: the parameters of the generator.
            number: the number of the round.

        Returns:
            A function that waits for the scores.
        """
        batches, rows = zip(*self._loader.all(), strict=True)
        for batch in batches:
            enhance.prepare(params, batch)
        enhanced = [enhance(params, batch) for batch in batches]
        noisy = None
        if self._noisy_requests < NOISY_REQUESTS and _incomplete(self._noisy):
            self._noisy_requests += 1
            noisy = self._submit(batches, rows, [batch.noisy for batch in batches])
        requested = self._submit(batches, rows, enhanced)
        place = number % len(batches)
        on_device = None
        if self._device_score:
            batch = batches[place]
            on_device = self._device_score(batch.clean, enhanced[place], batch.lengths)

        def wait() -> Evaluation:
            if noisy:
                self._noisy = _completed(self._noisy, noisy())
            scores = requested()
            first = next(iter(self._scores.values()))
            means = {name: _mean(values) for name, values in scores.items()}
            means |= {f"{name}_noisy": _mean(values) for name, values in self._noisy.items()}
            metrics = {name: means[name] for name in (first.name, f"{first.name}_noisy")} | means
            if on_device is not None:
                metrics[f"{first.name}_device_difference"] = largest_difference(
                    first.name, scores[first.name][place], self._fetch(on_device)
                )
            sides = [np.concatenate(side[first.name]) for side in (scores, self._noisy)]
            metrics["unscorable"] = float(np.count_nonzero(~np.isfinite(sides).all(0)))
            return Evaluation(
                metrics=metrics,
                objective=metrics[first.name] * (1 if first.higher_is_better else -1),
                media=self._media(batches[-1], rows[-1], enhanced[-1]),
                shown=2,
            )

        return wait

    def _submit(
        self, batches: Sequence[Batch], rows: Sequence[Rows], estimates: Sequence[jax.Array]
    ) -> Callable[[], dict[str, list[np.ndarray]]]:
        """Starts to score batches.

        Returns:
            A function that waits for name -> float32 [utterances] of every batch, NaN for an
            utterance without a score.
        """
        pending = [
            submit_shards(self._pool, batch.clean, estimate, batch.lengths, tuple(self._scores))
            for batch, estimate in zip(batches, estimates, strict=True)
        ]

        def collect() -> dict[str, list[np.ndarray]]:
            raw = self._fetch([scores.collect() for scores in pending])
            filled = [values[row.lengths > 0] for values, row in zip(raw, rows, strict=True)]
            return {
                score.name: [values[:, column] for values in filled]
                for column, score in enumerate(self._scores.values())
            }

        return collect

    def _media(self, batch: Batch, rows: Rows, enhanced: jax.Array) -> Mapping[str, Media]:
        waves = self._fetch((batch.clean, batch.noisy, enhanced))
        shown: dict[str, Media] = {}
        for row in range(min(SHOWN, int(np.count_nonzero(rows.lengths)))):
            sides = [side[row, : rows.lengths[row]] for side in waves]
            shown[f"spectrograms/{row}_clean_noisy_enhanced"] = media.image(
                np.concatenate([spectrogram_image(side, self._front_end) for side in sides])
            )
            for name, side in zip(("clean", "noisy", "enhanced"), sides, strict=True):
                shown[f"audio/{row}_{name}"] = media.audio(
                    side / 32768, self._front_end.sample_rate
                )
            for name, score in self._scores.items():
                if text := score.description(sides[-1], self._front_end.sample_rate):
                    shown[f"{name}/{row}_enhanced"] = media.text(text)
        return shown


def spectrogram_image(waveform: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Returns an image of a spectrogram, low frequencies at the bottom: uint8 [bins, frames, 3].

    Args:
        waveform: int16 [n].
        front_end: window and hop.
    """
    blocks = np.resize(waveform / 32768, (len(waveform) // front_end.hop, front_end.hop))
    frames = np.concatenate([blocks[:-1], blocks[1:]], axis=1) * front_end.weights
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-9)
    top = 20 * np.log10(front_end.weights.sum() / 2)  # a sine of full scale
    place = np.clip((level - top) / DYNAMIC_RANGE + 1, 0, 1)
    image: np.ndarray = colormaps[COLOUR_MAP](place.T[::-1], bytes=True)[..., :3]
    return image


def largest_difference(name: str, host: np.ndarray, device: np.ndarray) -> float:
    """Returns the largest difference between host and device scores; warns if it exceeds 0.02.

    Args:
        name: the name of the score.
        host: float32 [rows], NaN for an utterance without a score.
        device: float32 [rows or more]; further rows are padding.
    """
    device = device[: len(host)]
    if (np.isnan(host) != np.isnan(device)).any():
        log.warning("%s: host and device disagree on which utterances have a score", name)
    difference = np.abs(host - device)
    largest = float(np.nanmax(difference, initial=0.0))
    if largest > ALLOWED_DIFFERENCE:
        row = int(np.nanargmax(difference))
        log.warning(
            "%s: the host computes %.4f and the device %.4f; scoring.where=host is the reference "
            "(docs/device_scores.md says when they differ)",
            name,
            host[row],
            device[row],
        )
    return largest


def _incomplete(scores: Mapping[str, Sequence[np.ndarray]]) -> bool:
    """Returns whether a score is missing; there are none before the first request."""
    return not scores or not all(np.isfinite(b).all() for bs in scores.values() for b in bs)


def _completed(
    known: Mapping[str, Sequence[np.ndarray]], new: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, list[np.ndarray]]:
    """Returns the known scores, with new ones where there are none."""
    return {
        name: [
            np.where(np.isfinite(old), old, values)
            for old, values in zip(known.get(name, batches), batches, strict=True)
        ]
        for name, batches in new.items()
    }


def _mean(batches: Sequence[np.ndarray]) -> float:
    """Returns the mean of the finite values; NaN if there are none."""
    values = np.concatenate(batches)
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
