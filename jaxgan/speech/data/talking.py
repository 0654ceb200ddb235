"""Two talkers and their mouths: synthetic speech with drawn videos, generated on first use.

Everything is synthetic. eSpeak NG speaks the sentences of the demo corpus and says when each
phoneme starts; the phoneme's viseme (how far the lips are open, how wide and how round they are)
shapes a mouth that is drawn from ellipses. The purpose is that audio-visual systems run and can be
tested without downloads, and that vision carries information: at 0 dB, only the video tells which
of two talkers is the target. Scores on these data say nothing about real faces.

An utterance is the target talker and one other talker, with another voice, who repeats another
sentence of the same set. `config.data.snrs` are the ratios of their active speech levels (ITU-T
P.56), and `config.data.talking.noise_snrs` those of the target's level to the power of additional
noise, if there is any. The sets share no voices and no sentences. Every spoken sentence gets a face
that is drawn at random, so a face does not reveal the voice.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, espeak, generated, noises
from jaxgan.speech.data.corpus import Conditions, PairCorpus, random_generator, scaled
from jaxgan.speech.data.demo import (
    SPEECH_LEVELS,
    SPLITS,
    Split,
    lines,
    noise_condition,
    speech_bounds,
)
from jaxgan.speech.data.mix import active_power
from jaxgan.speech.data.mouths import draw_face, draw_video, lip_shapes
from jaxgan.speech.data.videos import FRAME_SAMPLES, make_videos
from jaxgan.speech.data.waves import join

RULES = "2"
"""Part of the cache key; increased whenever a change to this file or to `mouths` changes samples or
frames, or how they are stored."""
NOISE_KINDS = ("white", "pink", "shaped", "modulated")


class Talk(NamedTuple):
    """A sentence that was spoken, and its video.

    Attributes:
        wave: float64 [640 F] at 16000 Hz, with an active level of 1.
        frames: uint8 [F, HEIGHT, WIDTH].
    """

    wave: np.ndarray
    frames: np.ndarray


def make_talk(
    spoken: np.ndarray, phonemes: Sequence[espeak.Phoneme], rate: int, random: np.random.Generator
) -> Talk:
    """Returns a sentence at 16000 Hz, cut to whole frames around the words, and its video.

    Args:
        spoken: int16 [n], from the synthesiser.
        phonemes: the phonemes of the sentence.
        rate: the sample rate in Hz.
        random: draws the face and what moves besides the lips.
    """
    wave = audio.resample(audio.to_float(spoken), rate).astype(np.float64)
    first, end = speech_bounds(wave)
    count = (end - first) // FRAME_SAMPLES
    wave = wave[first : first + count * FRAME_SAMPLES]
    begin = first / audio.SAMPLE_RATE
    times = [(phoneme.start / rate - begin, phoneme.ipa) for phoneme in phonemes]
    frames = draw_video(lip_shapes(times, count), draw_face(random), random)
    return Talk(wave / np.sqrt(active_power(wave)), frames)


def make(
    name: str,
    count: int,
    seed: int,
    snrs: Sequence[float] = (0.0,),
    noise_snrs: Sequence[float] = (),
) -> PairCorpus:
    """Generates one set. It depends only on the arguments and the synthesiser's version.

    Args:
        name: "train", "valid" or "test".
        count: the number of utterances, at least 2; each takes about 2 to 5 seconds.
        seed: decides the voices, sentences, faces, noises and levels.
        snrs: ratios of the target's level to the other talker's, in dB; all occur in turn.
        noise_snrs: ratios of the target's level to the noise's, in dB; (): there is no noise.
    """
    split = SPLITS[name]
    script = lines(split, count, seed)
    spoken, phonemes, rate = espeak.synthesise_phonemes(script)
    with ThreadPoolExecutor() as threads:
        talks = list(
            threads.map(
                lambda number: make_talk(
                    spoken[number],
                    phonemes[number],
                    rate,
                    random_generator(seed, split.number, number, 0),
                ),
                range(count),
            )
        )
    spectrum = noises.speech_spectrum([talk.wave for talk in talks])
    clean, noisy, videos, names = [], [], [], []
    for number, talk in enumerate(talks):
        random = random_generator(seed, split.number, number, 1)
        voice = script[number].variant
        others = [place for place, line in enumerate(script) if line.variant != voice]
        place = others[int(random.integers(len(others)))]
        other = repeated(talks[place], len(talk.frames), random)
        disturbance = other.wave * 10 ** (-snrs[number % len(snrs)] / 20)
        if noise_snrs:
            kind, ratio = noise_condition(number, NOISE_KINDS, noise_snrs)
            noise = noises.make(kind, len(talk.wave), random, spectrum)
            disturbance += noise * 10 ** (-ratio / 20)
        level = 10 ** (random.uniform(*SPEECH_LEVELS) / 20)
        target = audio.to_int16(talk.wave * level)
        mixture = target + disturbance * level * audio.FULL_SCALE
        gain = min(1.0, (audio.FULL_SCALE - 1) / np.abs(mixture).max())
        clean.append(scaled(target, gain))
        noisy.append(np.rint(mixture * gain).astype(np.int16))
        videos.append((talk.frames, other.frames))
        names.append(f"{number:04d}_{voice}_{script[number].language}_{script[place].variant}")
    frames = np.concatenate([video for side in zip(*videos, strict=True) for video in side])
    return PairCorpus(
        tuple(names),
        join(clean),
        join(noisy),
        conditions=conditions(split, count, snrs, noise_snrs),
        videos=make_videos(frames, np.array([len(wave) for wave in clean])),
    )


def repeated(talk: Talk, frames: int, random: np.random.Generator) -> Talk:
    """Returns a talk from a random frame on, again and again, for a number of frames."""
    start = int(random.integers(len(talk.frames)))
    turned = np.roll(talk.frames, -start, axis=0)
    wave = np.roll(talk.wave, -start * FRAME_SAMPLES)
    shown = np.resize(turned, (frames, *turned.shape[1:]))
    return Talk(np.resize(wave, frames * FRAME_SAMPLES), shown)


def conditions(
    split: Split, count: int, snrs: Sequence[float], noise_snrs: Sequence[float]
) -> Conditions:
    """Returns the conditions "snr", of the other talker, and "noise" of the utterances of a set."""
    found = {"snr": tuple(f"{snrs[number % len(snrs)]:g}" for number in range(count))}
    if noise_snrs:
        found["noise"] = tuple(
            noise_condition(number, NOISE_KINDS, noise_snrs)[0] for number in range(count)
        )
    return found


def open_set(
    name: str, count: int, seed: int, snrs: Sequence[float], noise_snrs: Sequence[float]
) -> PairCorpus:
    """Returns one set, from the user's cache folder if it has been generated before.

    Args:
        name: "train", "valid" or "test".
        count: the number of utterances.
        seed: see `make`, also for the others.
        snrs: ratios of the target to the other talker in dB.
        noise_snrs: ratios of the target to the noise in dB.

    Raises:
        UserError: `count` is below 2, or eSpeak NG does not run on this machine.
    """
    if count < 2:
        raise UserError(f"config.data.talking.{name}={count}: give at least 2, for two voices")
    ratios = hashlib.sha256(json.dumps([list(snrs), list(noise_snrs)]).encode()).hexdigest()[:12]
    label = f"{name}-{count}-{seed}-{ratios}-{RULES}-{espeak.version()}"
    corpus = generated.read_or_make(
        f"talking/{label}", lambda: make(name, count, seed, snrs, noise_snrs)
    )
    return replace(corpus, conditions=conditions(SPLITS[name], count, snrs, noise_snrs))


def open_talking(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Returns the training and the validation set, which never have problems.

    Raises:
        UserError: `data.snrs` is empty, or see `open_set`.
    """
    if not data.snrs:
        raise UserError("config.data.snrs is empty: give at least one ratio in dB")
    train, valid = (
        open_set(name, data.talking[name], data.seed, data.snrs, data.talking.noise_snrs)
        for name in ("train", "valid")
    )
    return train, valid, ()
