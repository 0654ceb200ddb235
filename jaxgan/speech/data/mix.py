"""Mixes speech and noise on the fly at given signal-to-noise ratios.

The ratio is defined as for VoiceBank-DEMAND: the active level of the speech (ITU-T P.56, which
ignores pauses) relative to the mean power of the noise that is added to it. A constant offset is
neither speech nor noise: its power is not counted, and that of the noise is not added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
from ml_collections import ConfigDict
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError
from jaxgan.speech.data.audio import FULL_SCALE, SAMPLE_RATE
from jaxgan.speech.data.checks import SHORTEST_SECONDS, reason_silent, reason_unusable
from jaxgan.speech.data.corpus import (
    NO_BUCKETS,
    DrawnPairs,
    PairCorpus,
    random_generator,
    scaled,
    shuffled_passes,
    spread,
)
from jaxgan.speech.data.folders import split, stems
from jaxgan.speech.data.waves import Waves, join

ENVELOPE_SECONDS = 0.03
HANGOVER_SECONDS = 0.2
MARGIN_DB = 15.9
"""Constants of ITU-T P.56, method B: the time constant of the envelope, how long speech stays
active, and its level above the threshold of activity."""
RANGE_DB = 120.0
"""The threshold is searched for in this range below the envelope's peak, in dB."""
BISECTIONS = 16
"""Steps of that search."""
QUIET_SEGMENT = 1e-3
"""A segment with less than this share of its clip's mean power counts as containing no noise."""


def active_power(samples: np.ndarray) -> float:
    """Returns the mean square of the active parts of speech (ITU-T P.56, method B).

    A sample is active if the envelope exceeded a threshold within the last 0.2 s. The threshold is
    15.9 dB below the resulting active level.

    Args:
        samples: int16 or float [n] at 16000 Hz, not constant. Their mean is removed first.

    Returns:
        The active speech level as a mean square, in the squared unit of the samples.
    """
    signal = np.asarray(samples, np.float64)
    signal = signal - signal.mean()
    energy = float(np.square(signal).sum())
    decay = np.exp(-1 / (ENVELOPE_SECONDS * SAMPLE_RATE))
    smooth = ([1 - decay], [1, -decay])
    envelope = lfilter(*smooth, lfilter(*smooth, np.abs(signal)))
    window = int(HANGOVER_SECONDS * SAMPLE_RATE) + 1
    # The shifted window covers each sample and the 0.2 s before it.
    held = maximum_filter1d(envelope, window, mode="constant", origin=(window - 1) // 2)
    high = 20 * np.log10(held.max())
    low = high - RANGE_DB
    for _ in range(BISECTIONS):
        threshold = (low + high) / 2
        level = 10 * np.log10(energy / np.count_nonzero(held >= 10 ** (threshold / 20)))
        if level - threshold > MARGIN_DB:
            low = threshold
        else:
            high = threshold
    return energy / np.count_nonzero(held >= 10 ** (low / 20))


def segment(clip: np.ndarray, length: int, offset: int) -> np.ndarray:
    """Returns `length` samples of a clip [n] from `offset` on; shorter clips are repeated."""
    if len(clip) >= length:
        return clip[offset : offset + length]
    return np.resize(np.roll(clip, -offset), length)


def random_segment(clip: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Returns `length` samples of a clip, int16 [n], from a random offset on.

    If that segment contains next to no noise (a pause between two barks), the segment around the
    clip's loudest sample is returned instead.
    """
    last = len(clip) - length if len(clip) >= length else len(clip) - 1
    drawn = segment(clip, length, int(random.integers(last + 1)))
    if np.var(drawn, dtype=np.float64) >= QUIET_SEGMENT * np.var(clip, dtype=np.float64):
        return drawn
    loudest = int(np.argmax(np.abs(clip - clip.mean(dtype=np.float64))))
    return segment(clip, length, min(max(loudest - length // 2, 0), last))


def centre(noise: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns a noise without its mean, float64 [n], and its mean power."""
    centred = noise - noise.mean(dtype=np.float64)
    # A segment of a step may be constant; it holds no more than the rounding to int16.
    return centred, max(float(np.mean(np.square(centred))), 1 / 12)


def sum_at_one_level(noises: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the sum of noises, int16 [n] each, at the mean power of the first: float64 [n]."""
    centred, powers = zip(*map(centre, noises), strict=True)
    return np.sum(
        [noise * np.sqrt(powers[0] / power) for noise, power in zip(centred, powers, strict=True)],
        axis=0,
    )


def mix(
    speech: np.ndarray, noise: np.ndarray, snr: float, level: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Adds noise to speech.

    Args:
        speech: int16 [n].
        noise: int16 or float64 [n], not constant. Its mean is removed first.
        snr: the ratio of `level` to the mean power of the added noise, in dB.
        level: the mean square of the speech, from `active_power`, in squared int16 units.

    Returns:
        The clean side, int16 [n]; the noisy side, int16 [n]; and the gain of both. The gain is 1
        unless the mixture would exceed full scale; then it is the largest that avoids that.
    """
    centred, power = centre(noise)
    factor = np.sqrt(level / power / 10 ** (snr / 10))
    mixture = speech + factor * centred
    gain = float(np.float32(min(1.0, (FULL_SCALE - 1) / np.abs(mixture).max())))
    noisy = np.clip(np.rint(mixture * gain), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return scaled(speech, gain), noisy, gain


@dataclass(frozen=True, eq=False)
class MixCorpus:
    """Speech that is mixed with different noise in every round.

    Attributes:
        names: the name of each utterance.
        speech: the utterances.
        noise: the noise clips.
        snrs: signal-to-noise ratios in dB; one is drawn for each mixture.
        bucket_lengths: int32 [buckets], ascending padded lengths of batches, in samples.
        kinds: the kind of each noise clip, or () if they are not known.
        noises: the most noise clips in a mixture; how many is drawn for each, from 1 on.
    """

    names: tuple[str, ...]
    speech: Waves
    noise: Waves
    snrs: tuple[float, ...]
    bucket_lengths: np.ndarray = field(default_factory=NO_BUCKETS.copy)
    kinds: tuple[str, ...] = ()
    noises: int = 1
    _levels: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """Returns the number of utterances."""
        return len(self.speech)

    @property
    def lengths(self) -> np.ndarray:
        """The length of each utterance in samples, int32 [n]."""
        return self.speech.lengths

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """Returns the clean side of a mixture of this utterance with this gain, int16 [n]."""
        return scaled(self.speech[index], gain)

    def order(self, seed: int, round_number: int, count: int) -> np.ndarray:
        """Returns the indices of the utterances that `draw` mixes, int64 [count]."""
        return shuffled_passes(len(self), count, random_generator(seed, round_number))

    def draw(self, seed: int, round_number: int, count: int) -> DrawnPairs:
        """Mixes `count` utterances. The result depends only on the arguments.

        Every utterance is drawn once before any is drawn again. Each mixture has its own random
        generator for noise clip, SNR and offset, so the others do not affect it.
        """
        order = self.order(seed, round_number, count)
        return self._mix(order, seed, round_number)[0]

    def _mix(
        self, order: np.ndarray, seed: int, round_number: int, snrs: Sequence[float] | None = None
    ) -> tuple[DrawnPairs, list[int]]:
        """Returns mixtures of the utterances in `order`, and the indices of their noise clips."""
        mixed, clips = [], []
        for position, index in enumerate(order):
            random = random_generator(seed, round_number, position)
            clips.append(int(random.integers(len(self.noise))))
            clip = self.noise[clips[-1]]
            snr = self.snrs[int(random.integers(len(self.snrs)))]
            speech = self.speech[index]
            noise = random_segment(clip, len(speech), random)
            if self.noises > 1:
                noise = self._with_more(noise, random)
            chosen = snrs[position] if snrs else snr
            mixed.append(mix(speech, noise, chosen, self._level(int(index))))
        clean, noisy, gains = zip(*mixed, strict=True)
        return DrawnPairs(order.astype(np.int32), np.array(gains, np.float32), clean, noisy), clips

    def _with_more(self, noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Returns the sum of a noise, int16 [n], and up to `noises` - 1 more: float64 [n]."""
        more = int(random.integers(self.noises))
        clips = [self.noise[int(random.integers(len(self.noise)))] for _ in range(more)]
        return sum_at_one_level(
            [noise, *(random_segment(clip, len(noise), random) for clip in clips)]
        )

    def _level(self, index: int) -> float:
        if index not in self._levels:
            self._levels[index] = active_power(self.speech[index])
        return self._levels[index]

    def fixed(self, seed: int, count: int) -> PairCorpus:
        """Mixes a fixed corpus for validation.

        Each SNR is used for the same number of utterances, to within one.

        Args:
            seed: decides noise clips, offsets and which utterance gets which SNR.
            count: the number of utterances, spread evenly over the corpus; at most all of them.

        Returns:
            The mixtures, without bucket lengths. Their conditions are "snr" and, if the kinds of
            the noise clips are known, "noise".
        """
        order = spread(len(self), count)
        repeated = np.resize(np.asarray(self.snrs, np.float64), len(order))
        snrs = random_generator(seed).permutation(repeated).tolist()
        drawn, clips = self._mix(order, seed, 0, snrs)
        conditions = {"snr": tuple(f"{snr:g}" for snr in snrs)}
        if self.kinds:
            conditions["noise"] = tuple(self.kinds[clip] for clip in clips)
        names = tuple(self.names[index] for index in order)
        return PairCorpus(names, join(drawn.clean), join(drawn.noisy), conditions=conditions)


def open_mix(data: ConfigDict) -> tuple[MixCorpus, PairCorpus, tuple[Problem, ...]]:
    """Opens speech and noise for training, and mixes them for validation.

    `data.speech` and `data.noise` may each contain the folders `train` and `valid`. If they do not,
    the share `data.valid_share` of the files is held out; `data.seed` decides which.

    Returns:
        The training set, the validation set (both without bucket lengths), and the problems.

    Raises:
        UserError: `data.snrs` is empty, a folder does not exist, or a set has no usable file.
    """
    if not data.snrs:
        raise UserError("config.data.snrs is empty: give at least one ratio in dB")
    longest = data.longest_seconds
    speech = split(
        "config.data.speech",
        data.speech,
        lambda wave: reason_unusable(wave, longest),
        data,
        longest,
    )
    noise = split("config.data.noise", data.noise, reason_noise_unusable, data)
    snrs = tuple(float(snr) for snr in data.snrs)
    train, valid = (
        MixCorpus(
            tuple(stems(utterances.files)),
            utterances.waves,
            clips.waves,
            snrs,
            kinds=noise_kinds(clips.files),
        )
        for utterances, clips in zip(speech, noise, strict=True)
    )
    # Runs from before there was a choice have no such key, but are still evaluated.
    train = replace(train, noises=data.get("noises", 1))
    problems = {p: None for part in (*speech, *noise) for p in part.problems}
    fixed = valid.fixed(data.seed, data.valid_utterances or len(valid))
    return train, fixed, tuple(problems)


def noise_kinds(files: Sequence[str]) -> tuple[str, ...]:
    """Returns the name of each noise file's folder, or () if any file is in none."""
    kinds = tuple(PurePosixPath(file).parent.name for file in files)
    return kinds if all(kinds) else ()


def reason_noise_unusable(samples: np.ndarray) -> str:
    """Returns why a noise clip (int16 [n] at 16000 Hz) cannot be used, or "" if it can."""
    if len(samples) < SHORTEST_SECONDS * SAMPLE_RATE:
        return f"{len(samples) / SAMPLE_RATE:.3f} s is too short for noise"
    return reason_silent(samples)
