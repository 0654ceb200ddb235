"""Speech and noise, mixed on the fly at given signal-to-noise ratios.

The ratio is the one VoiceBank-DEMAND was made with: the active level of the speech (ITU-T
P.56, pauses do not count) over the mean power of the noise that is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from ml_collections import ConfigDict
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from jaxgan.core.errors import UserError
from jaxgan.speech.data.audio import FULL_SCALE, SAMPLE_RATE
from jaxgan.speech.data.checks import SHORTEST_SECONDS, Problem, fault, silence
from jaxgan.speech.data.corpus import (
    NO_BUCKETS,
    Drawn,
    PairCorpus,
    generator,
    passes,
    scaled,
    spread,
)
from jaxgan.speech.data.folders import split, stems
from jaxgan.speech.data.waves import Waves, join

ENVELOPE_SECONDS = 0.03
HANGOVER_SECONDS = 0.2
MARGIN_DB = 15.9
"""Constants of ITU-T P.56, method B."""
RANGE_DB = 120.0
"""How far under the envelope's peak the threshold is looked for."""
BISECTIONS = 16
QUIET_SEGMENT = 1e-3
"""A stretch of noise with less than this share of its clip's mean power holds no noise."""


def active_power(samples: np.ndarray) -> float:
    """Mean square of the active parts of speech: ITU-T P.56, method B.

    Args:
        samples: int16 or float [n] at 16000 Hz, n > 0, not silent.

    Returns:
        The active speech level as a mean square in the samples' own unit. Samples count as
        active for 0.2 s after the envelope was above a threshold; the threshold is the one
        that lies 15.9 dB under the level which it leads to.
    """
    signal = np.asarray(samples, np.float64)
    energy = float(np.square(signal).sum())
    decay = np.exp(-1 / (ENVELOPE_SECONDS * SAMPLE_RATE))
    smooth = ([1 - decay], [1, -decay])
    envelope = lfilter(*smooth, lfilter(*smooth, np.abs(signal)))
    window = int(HANGOVER_SECONDS * SAMPLE_RATE) + 1
    # The hangover keeps a sample active as long as any of the last 0.2 s was above.
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
    """`length` samples of a clip from `offset` on, looped where the clip is shorter."""
    if len(clip) >= length:
        return clip[offset : offset + length]
    return np.resize(np.roll(clip, -offset), length)


def stretch(clip: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """`length` samples from a random offset on, holding some of the clip's noise.

    Where what was drawn is next to nothing (a pause between two barks), it is replaced by the
    surroundings of the clip's loudest sample.
    """
    last = len(clip) - length if len(clip) >= length else len(clip) - 1
    drawn = segment(clip, length, int(random.integers(last + 1)))
    power = np.mean(np.square(clip, dtype=np.float64))
    if np.mean(np.square(drawn, dtype=np.float64)) >= QUIET_SEGMENT * power:
        return drawn
    loudest = int(np.argmax(np.abs(clip.astype(np.int32))))
    return segment(clip, length, min(max(loudest - length // 2, 0), last))


def mix(
    speech: np.ndarray, noise: np.ndarray, snr: float, level: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Adds noise to speech.

    Args:
        speech: int16 [n].
        noise: int16 [n], not all zero.
        snr: dB between `level` and the mean power of the noise as it is added.
        level: mean square of the speech, in int16 units.

    Returns:
        (clean int16 [n], noisy int16 [n], gain). The gain is 1 unless the mixture would go
        beyond full scale; then both are multiplied by the gain that just avoids it.
    """
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    factor = np.sqrt(level / power / 10 ** (snr / 10))
    mixture = speech + factor * noise.astype(np.float64)
    gain = float(np.float32(min(1.0, (FULL_SCALE - 1) / np.abs(mixture).max())))
    noisy = np.clip(np.rint(mixture * gain), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return scaled(speech, gain), noisy, gain


@dataclass(frozen=True, eq=False)
class MixCorpus:
    """Speech that gets other noise in every round.

    Attributes:
        names: one name an utterance.
        speech: the utterances.
        noise: the clips.
        snrs: dB; one of them is drawn for each mixture.
        bucket_lengths: int32 [buckets], rising; the lengths batches have.
        kinds: of the clips; none where they are not known.
    """

    names: tuple[str, ...]
    speech: Waves
    noise: Waves
    snrs: tuple[float, ...]
    bucket_lengths: np.ndarray = field(default_factory=NO_BUCKETS.copy)
    kinds: tuple[str, ...] = ()
    _levels: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.speech)

    @property
    def lengths(self) -> np.ndarray:
        """int32 [n], samples of each utterance."""
        return self.speech.lengths

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """int16 [n]: the clean side that a mixture of this utterance and gain has."""
        return scaled(self.speech[index], gain)

    def order(self, seed: int, round_number: int, count: int) -> np.ndarray:
        """int64 [count]: the numbers of the utterances that `draw` mixes."""
        return passes(len(self), count, generator(seed, round_number))

    def draw(self, seed: int, round_number: int, count: int) -> Drawn:
        """Mixes `count` utterances; a function of its arguments alone.

        Every utterance is used once before any is used again. Noise clip, offset and SNR of
        a mixture come from a generator of its own.
        """
        order = self.order(seed, round_number, count)
        return self._mix(order, seed, round_number)[0]

    def _mix(
        self, order: np.ndarray, seed: int, round_number: int, snrs: Sequence[float] | None = None
    ) -> tuple[Drawn, list[int]]:
        """What is drawn, and the number of each mixture's clip."""
        mixed, clips = [], []
        for position, index in enumerate(order):
            random = generator(seed, round_number, position)
            clips.append(int(random.integers(len(self.noise))))
            clip = self.noise[clips[-1]]
            snr = self.snrs[int(random.integers(len(self.snrs)))]
            speech = self.speech[index]
            noise = stretch(clip, len(speech), random)
            chosen = snrs[position] if snrs else snr
            mixed.append(mix(speech, noise, chosen, self._level(int(index))))
        clean, noisy, gains = zip(*mixed, strict=True)
        return Drawn(order.astype(np.int32), np.array(gains, np.float32), clean, noisy), clips

    def _level(self, index: int) -> float:
        if index not in self._levels:
            self._levels[index] = active_power(self.speech[index])
        return self._levels[index]

    def fixed(self, seed: int, count: int) -> PairCorpus:
        """`count` utterances mixed once and for all, as validation needs them.

        Args:
            seed: decides noise, offset and the order in which the SNRs are dealt out, each SNR
                to as many utterances as any other (give or take one).
            count: how many utterances, spread evenly over the corpus; at most all of them.
        """
        order = spread(len(self), count)
        dealt = np.resize(np.asarray(self.snrs, np.float64), len(order))
        snrs = generator(seed).permutation(dealt).tolist()
        drawn, clips = self._mix(order, seed, 0, snrs)
        conditions = {"snr": tuple(f"{snr:g}" for snr in snrs)}
        if self.kinds:
            conditions["noise"] = tuple(self.kinds[clip] for clip in clips)
        names = tuple(self.names[index] for index in order)
        return PairCorpus(names, join(drawn.clean), join(drawn.noisy), conditions=conditions)


def open_mix(data: ConfigDict) -> tuple[MixCorpus, PairCorpus, tuple[Problem, ...]]:
    """Speech and noise for training, and fixed validation mixtures.

    `data.speech` and `data.noise` may each hold `train/` and `valid/`; where they do not, a
    share of the files, `data.valid_share`, is held out: which ones, `data.seed` decides.
    """
    if not data.snrs:
        raise UserError("config.data.snrs is empty: give at least one ratio in dB")
    longest = data.longest_seconds
    speech = split("config.data.speech", data.speech, lambda wave: fault(wave, longest), data)
    noise = split("config.data.noise", data.noise, noise_fault, data)
    snrs = tuple(float(snr) for snr in data.snrs)
    train, valid = (
        MixCorpus(
            tuple(stems(words.files)),
            words.waves,
            sounds.waves,
            snrs,
            kinds=kinds_of(sounds.files),
        )
        for words, sounds in zip(speech, noise, strict=True)
    )
    problems = {p: None for part in (*speech, *noise) for p in part.problems}
    fixed = valid.fixed(data.seed, data.valid_utterances or len(valid))
    return train, fixed, tuple(problems)


def kinds_of(files: Sequence[str]) -> tuple[str, ...]:
    """The folder that each noise file lies in; nothing where any lies in none."""
    kinds = tuple(PurePosixPath(file).parent.name for file in files)
    return kinds if all(kinds) else ()


def noise_fault(samples: np.ndarray) -> str:
    """Why a noise clip (int16 [n]) is of no use, or ""."""
    if len(samples) < SHORTEST_SECONDS * SAMPLE_RATE:
        return f"{len(samples) / SAMPLE_RATE:.3f} s is too short for noise"
    return silence(samples)
