"""The tables of the perceptual model behind PESQ, one set for each sample rate.

The facts are in constants.json beside this file: band layout, hearing threshold, widths and
corrections of the bands, filter coefficients. Band 0 of P.862 holds the mean of a frame, which is
set to zero and never counts in any sum, so the tables here begin at band 1.
"""

import dataclasses
import functools
import importlib.resources
import json
from typing import Any

import numpy as np

_FILE = "constants.json"
_LOUDNESS_EXPONENT = 0.23


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """What depends on the sample rate. Sizes are in samples, arrays are float64 NumPy.

    Attributes:
        sample_rate: Hz.
        frame: length of a frame (32 ms), twice `hop`.
        hop: frames begin this far apart.
        guard: zeros that the method sees before and after each signal (300 ms).
        tail: zeros that the level is also averaged over (320 ms).
        block: length of a block of the speech detector (4 ms).
        shortest: what is shorter has no score (250 ms).
        bands: [frame / 2 - 1, bands], power of the bins 1.. to scaled power of the bands 1.. .
        threshold: [bands], hearing threshold as band power.
        exponent: [bands], of the loudness law.
        loudness: [bands], sone/Bark that the loudness law is multiplied by.
        width: [bands], Bark.
        detector: [sections, 6], b0, b1, b2, a0, a1, a2 of the speech detector's cascade.
    """

    sample_rate: int
    frame: int
    hop: int
    guard: int
    tail: int
    block: int
    shortest: int
    bands: np.ndarray
    threshold: np.ndarray
    exponent: np.ndarray
    loudness: np.ndarray
    width: np.ndarray
    detector: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Response:
    """A gain over frequency, linear in dB between its points."""

    frequency_hz: np.ndarray
    gain_db: np.ndarray

    def amplitude(self, fft_length: int, sample_rate: int) -> np.ndarray:
        """float64 [fft_length / 2 + 1]: factors on the bins of a real DFT, 1 at 1000 Hz."""
        bins = np.arange(fft_length // 2 + 1) * (sample_rate / fft_length)
        gains = np.interp(bins, self.frequency_hz, self.gain_db)
        return 10.0 ** ((gains - np.interp(1000.0, self.frequency_hz, self.gain_db)) / 20.0)


@functools.cache
def tables(sample_rate: int) -> Tables:
    """The tables for 8000 or 16000 Hz."""
    facts = _facts()["rates"][str(sample_rate)]
    bark = {name: np.asarray(values) for name, values in facts["bark"].items()}
    centre, threshold = bark["centre_bark"][1:], bark["hearing_threshold_power"][1:]
    # Low bands grow faster: Zwicker's exponent is raised below 4 Bark.
    raised = np.minimum(2.0, 6.0 / (centre + 2.0)) ** 0.15
    exponent = _LOUDNESS_EXPONENT * np.where(centre < 4.0, raised, 1.0)
    return Tables(
        sample_rate=sample_rate,
        frame=facts["frame_samples"],
        hop=facts["hop_samples"],
        guard=facts["guard_samples"],
        tail=facts["tail_samples"],
        block=facts["block_samples"],
        shortest=facts["shortest_input_samples"],
        bands=_band_matrix(bark["fft_bins_per_band"], bark["power_correction"])
        * facts["power_scale"],
        threshold=threshold,
        exponent=exponent,
        loudness=facts["loudness_scale"] * (threshold / 0.5) ** exponent,
        width=bark["width_bark"][1:],
        detector=np.insert(facts["speech_detector_biquads_b0_b1_b2_a1_a2"], 3, 1.0, axis=1),
    )


@functools.cache
def biquad() -> tuple[np.ndarray, np.ndarray]:
    """(b [3], a [3]) of the input filter of P.862.2, 16 kHz."""
    facts = _facts()["rates"]["16000"]["wideband_input_biquad"]
    return np.asarray(facts["b"]), np.asarray(facts["a"])


def sections_response(sections: np.ndarray, fft_length: int) -> np.ndarray:
    """complex [fft_length / 2 + 1]: the response of sections [n, 6] in a row, on a DFT's bins."""
    delay = np.exp(-2j * np.pi * np.arange(fft_length // 2 + 1) / fft_length)
    powers = np.stack([np.ones_like(delay), delay, delay**2])
    return np.prod((sections[:, :3] @ powers) / (sections[:, 3:] @ powers), axis=0)


@functools.cache
def level_band() -> Response:
    """The band whose power sets the level: 350 to 3250 Hz."""
    return _response("level_band_filter")


@functools.cache
def receive_filter() -> Response:
    """The telephone receiver that the narrow-band mode listens through."""
    return _response("narrowband_receive_filter")


def _band_matrix(bins_per_band: np.ndarray, correction: np.ndarray) -> np.ndarray:
    band_of_bin = np.repeat(np.arange(len(bins_per_band)), bins_per_band)
    matrix = (band_of_bin[:, None] == np.arange(len(bins_per_band))) * correction
    return matrix[1:, 1:]


def _response(name: str) -> Response:
    facts = _facts()[name]
    return Response(np.asarray(facts["frequency_hz"]), np.asarray(facts["gain_db"]))


@functools.cache
def _facts() -> dict[str, Any]:
    return json.loads(importlib.resources.files(__package__).joinpath(_FILE).read_text("utf-8"))
