"""The demo corpus: synthetic speech in synthetic noise, generated in a few seconds on first use.

    python -m jaxgan.speech.data.demo DIR [--split=test]   writes a set to DIR/clean and DIR/noisy

The three sets share no voices and no sentences, and the babble of each set consists of its own
voices. The SNRs are those of VoiceBank-DEMAND: 0, 5, 10 and 15 dB for training, and 2.5, 7.5, 12.5
and 17.5 dB for validation and test.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, espeak, generated, noises
from jaxgan.speech.data.corpus import Conditions, PairCorpus, random_generator, shuffled_passes
from jaxgan.speech.data.mix import active_power, mix
from jaxgan.speech.data.pairs import write_conditions
from jaxgan.speech.data.sentences import SENTENCES
from jaxgan.speech.data.waves import join
from jaxgan.speech.settings import data_settings

RULES = "2"
"""Part of the cache key; increased whenever a change to the code changes the samples."""
SPEECH_LEVELS = (-32.0, -22.0)
"""The range of active speech levels, in dB relative to full scale."""
ROOM_NOISE_LEVELS = (-50.0, -40.0)
"""The range of levels of the faint pink noise in the clean speech, in dB relative to the speech.
Pauses in synthetic speech are digital silence, where PESQ penalises residual noise far more than in
a recording."""
EDGE_SECONDS = 0.1
"""Silence to keep before and after the words."""
TEST_SNRS = (2.5, 7.5, 12.5, 17.5)
NOISE_KINDS = ("white", "pink", "brown", "shaped", "babble", "hum", "modulated", "clicks")


@dataclass(frozen=True)
class Split:
    """How to generate one of the three sets.

    Attributes:
        number: part of the seed.
        voices: eSpeak NG variants.
        snrs: signal-to-noise ratios in dB.
        sentence_slots: the set uses the sentences whose index modulo 6 is among these.
    """

    number: int
    voices: tuple[str, ...]
    snrs: tuple[float, ...]
    sentence_slots: range


SPLITS = {
    "train": Split(
        0,
        (
            *("m1", "m2", "m3", "m4", "m6", "m8", "f1", "f2", "f3", "f5", "Alex", "caleb"),
            *("linda", "max", "paul", "quincy", "shelby", "steph"),
        ),
        (0.0, 5.0, 10.0, 15.0),
        range(4),
    ),
    "valid": Split(1, ("m7", "f4", "victor", "aunty"), TEST_SNRS, range(4, 5)),
    "test": Split(2, ("m5", "Annie", "david", "zac"), TEST_SNRS, range(5, 6)),
}


def sentences(split: Split) -> list[tuple[str, str]]:
    """Returns a pair (language, sentence) for every sentence of a set."""
    return [
        (language, text)
        for language, texts in SENTENCES.items()
        for index, text in enumerate(texts)
        if index % 6 in split.sentence_slots
    ]


def lines(split: Split, count: int, seed: int) -> list[espeak.Line]:
    """Draws the lines of a set; all its sentences, and all its voices, occur equally often.

    "Equally" means to within one where `count` is not a multiple of their number.
    """
    random = random_generator(seed, split.number)
    said = sentences(split)
    texts = shuffled_passes(len(said), count, random)
    voices = shuffled_passes(len(split.voices), count, random)
    return [
        espeak.Line(
            text=said[text][1],
            language=said[text][0],
            variant=split.voices[voice],
            rate=int(random.integers(160, 220)),
            pitch=int(random.integers(35, 65)),
            pitch_range=int(random.integers(35, 70)),
        )
        for text, voice in zip(texts, voices, strict=True)
    ]


def make(name: str, count: int, seed: int) -> PairCorpus:
    """Generates one set. It depends only on the arguments and the synthesiser's version.

    Args:
        name: "train", "valid" or "test".
        count: the number of utterances; each takes about 2 to 5 seconds.
        seed: decides the voices, sentences, ways of speaking, noises and levels.
    """
    split = SPLITS[name]
    script = lines(split, count, seed)
    spoken, rate = espeak.synthesise(script)
    with ThreadPoolExecutor() as threads:
        speech = list(threads.map(lambda wave: _trimmed(wave, rate), spoken))
        spectrum = noises.speech_spectrum(speech)
        pairs = threads.map(
            lambda number: _pair(split, number, speech, spectrum, seed), range(len(speech))
        )
        clean, noisy, kinds = zip(*pairs, strict=True)
    names = tuple(
        f"{number:04d}_{line.variant}_{line.language}_{kind}"
        for number, (line, kind) in enumerate(zip(script, kinds, strict=True))
    )
    return PairCorpus(names, join(clean), join(noisy), conditions=conditions(split, count))


def noise_condition(number: int, kinds: Sequence[str], snrs: Sequence[float]) -> tuple[str, float]:
    """Returns the noise kind and the SNR of an utterance; all combinations occur in turn."""
    return kinds[number % len(kinds)], snrs[(number + number // len(kinds)) % len(snrs)]


def conditions(split: Split, count: int) -> Conditions:
    """Returns the conditions "snr" and "noise" of a set's first `count` utterances."""
    pairs = (noise_condition(number, NOISE_KINDS, split.snrs) for number in range(count))
    kinds, snrs = zip(*pairs, strict=True)
    return {"snr": tuple(f"{snr:g}" for snr in snrs), "noise": kinds}


def _trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Returns a wave at 16000 Hz without the silence at both ends, except for EDGE_SECONDS."""
    resampled = audio.resample(audio.to_float(wave), rate)
    first, end = speech_bounds(resampled)
    return resampled[first:end]


def speech_bounds(wave: np.ndarray) -> tuple[int, int]:
    """Returns where the words begin and end, in samples, with EDGE_SECONDS before and after."""
    edge = int(EDGE_SECONDS * audio.SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    return max(int(loud[0]) - edge, 0), min(int(loud[-1]) + edge, len(wave))


def _pair(
    split: Split, number: int, speech: list[np.ndarray], spectrum: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    random = random_generator(seed, split.number, number)
    wave = speech[number]
    size = len(wave)
    kind, snr = noise_condition(number, NOISE_KINDS, split.snrs)
    others = speech[:number] + speech[number + 1 :] or [wave]
    noise = noises.make(kind, size, random, spectrum, others)
    level = 10 ** (random.uniform(*SPEECH_LEVELS) / 20)
    room = 10 ** (random.uniform(*ROOM_NOISE_LEVELS) / 20) * noises.pink(size, random)
    recorded = audio.to_int16((wave / np.sqrt(active_power(wave)) + room) * level)
    clean, noisy, _ = mix(recorded, noise, snr, (level * audio.FULL_SCALE) ** 2)
    return clean, noisy, kind


def open_set(name: str, count: int, seed: int) -> PairCorpus:
    """Returns one set, from the user's cache folder if it has been generated before.

    Args:
        name: "train", "valid" or "test".
        count: the number of utterances.
        seed: see `make`.

    Raises:
        UserError: `count` is below 1, or eSpeak NG does not run on this machine.
    """
    if count < 1:
        raise UserError(f"config.data.demo.{name}={count}: give at least 1")
    label = f"{name}-{count}-{seed}-{RULES}-{espeak.version()}"
    corpus = generated.read_or_make(f"demo/{label}", lambda: make(name, count, seed))
    return replace(corpus, conditions=conditions(SPLITS[name], count))


def open_demo(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Returns the training and the validation set of the demo corpus, which never has problems."""
    train, valid = (open_set(name, data.demo[name], data.seed) for name in ("train", "valid"))
    return train, valid, ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes one set as wav files for `eval.py --data=DIR` or `enhance.py --input=DIR/noisy`."""
    defaults = data_settings()
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan.speech.data.demo", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--split", choices=tuple(SPLITS), default="test")
    parser.add_argument("--count", type=int, help="utterances (default: as in the configs)")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args(arguments)
    count = options.count or defaults.demo[options.split]
    corpus = open_set(options.split, count, options.seed)
    for side in ("clean", "noisy"):
        (options.folder / side).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(corpus.names):
        audio.write(options.folder / "clean" / f"{name}.wav", corpus.clean(number))
        audio.write(options.folder / "noisy" / f"{name}.wav", corpus.noisy(number))
    write_conditions(corpus, options.folder)
    print(f"{len(corpus)} pairs in {options.folder}/clean and {options.folder}/noisy")


if __name__ == "__main__":
    main()
