"""The numeric tables of the perceptual model of PESQ, one set for each sample rate.

The numbers are in constants.json in this folder: band layout, hearing threshold, widths and
corrections of the bands, filter coefficients. Band 0 of P.862 contains the mean of a frame, which
is set to zero and enters no sum, so these tables start at band 1.
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
    """The constants for one sample rate. Sizes are in samples, arrays are float64 NumPy.

    Attributes:
        sample_rate: sample rate in Hz.
        frame: length of a frame (32 ms), twice `hop`.
        hop: distance between the starts of neighbouring frames (16 ms).
        guard: length of the zeros before and after each signal (300 ms).
        tail: length of the zeros after a signal that count in the average for its level (320 ms).
        block: length of a block of the speech detector (4 ms).
        shortest: length of the shortest signal that has a score (250 ms).
        bands: [frame / 2 - 1, bands], matrix from the power of the bins from 1 on to the scaled
            power of the bands from 1 on.
        threshold: [bands], hearing threshold as band power.
        exponent: [bands], exponent of the loudness law.
        loudness: [bands], factor of the loudness law in sone/Bark.
        width: [bands], band widths in Bark.
        detector: [sections, 6], coefficients b0, b1, b2, a0, a1, a2 of the second-order sections of
            the speech detector's filter.
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
    """A frequency response given by gains in dB at some frequencies, interpolated linearly."""

    frequency_hz: np.ndarray
    gain_db: np.ndarray

    def amplitude(self, fft_length: int, sample_rate: int) -> np.ndarray:
        """Returns the amplitude at the bins of a real DFT, relative to 1000 Hz.

        The result is float64 [fft_length / 2 + 1].
        """
        bins = np.arange(fft_length // 2 + 1) * (sample_rate / fft_length)
        gains = np.interp(bins, self.frequency_hz, self.gain_db)
        return 10.0 ** ((gains - np.interp(1000.0, self.frequency_hz, self.gain_db)) / 20.0)


@functools.cache
def tables(sample_rate: int) -> Tables:
    """Returns the tables for a sample rate of 8000 or 16000 Hz; KeyError for any other."""
    facts = _facts()["rates"][str(sample_rate)]
    bark = {name: np.asarray(values) for name, values in facts["bark"].items()}
    centre, threshold = bark["centre_bark"][1:], bark["hearing_threshold_power"][1:]
    # Loudness grows faster in low bands: Zwicker's exponent is raised below 4 Bark.
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
    """Returns the coefficients (b [3], a [3]) of the input filter of P.862.2 at 16 kHz, float64."""
    facts = _facts()["rates"]["16000"]["wideband_input_biquad"]
    return np.asarray(facts["b"]), np.asarray(facts["a"])


def sections_response(sections: np.ndarray, fft_length: int) -> np.ndarray:
    """Returns the response of a cascade of sections [n, 6] at the bins of a real DFT.

    The result is complex128 [fft_length / 2 + 1].
    """
    delay = np.exp(-2j * np.pi * np.arange(fft_length // 2 + 1) / fft_length)
    powers = np.stack([np.ones_like(delay), delay, delay**2])
    return np.prod((sections[:, :3] @ powers) / (sections[:, 3:] @ powers), axis=0)


@functools.cache
def level_band() -> Response:
    """Returns the filter for the power that sets the level, which passes 350 to 3250 Hz."""
    return _response("level_band_filter")


@functools.cache
def receive_filter() -> Response:
    """Returns the telephone receiver's response, the input filter of the narrow-band mode."""
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
