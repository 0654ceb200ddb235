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
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core import cache
from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, espeak, noises
from jaxgan.speech.data.corpus import Conditions, PairCorpus, random_generator, scaled
from jaxgan.speech.data.demo import EDGE_SECONDS, SPEECH_LEVELS, SPLITS, Split, lines
from jaxgan.speech.data.mix import active_power
from jaxgan.speech.data.videos import FRAME_SAMPLES, Videos
from jaxgan.speech.data.waves import from_flat, join

RULES = "1"
"""Part of the cache key; increased whenever a change to the code changes samples or frames."""
HEIGHT, WIDTH = 24, 32
"""The size of a frame in pixels."""
GRID_SECONDS = 0.01
"""The resolution at which visemes follow each other; a frame is the mean of four steps."""
SMOOTHING_STEPS = 9
"""The length of the Hann window that smooths the movement of the lips: 90 ms, about a phoneme."""
NOISE_KINDS = ("white", "pink", "shaped", "modulated")


class Viseme(NamedTuple):
    """The shape of the lips, each from 0 to 1.

    Attributes:
        opening: the distance between the lips.
        width: the distance between their corners.
        rounding: how far they are rounded and pushed forward.
    """

    opening: float
    width: float
    rounding: float


REST = Viseme(0.02, 0.5, 0.1)
VISEMES = {
    "pbm": Viseme(0.0, 0.5, 0.2),
    "fvʋɱ": Viseme(0.12, 0.55, 0.1),  # noqa: RUF001
    "θð": Viseme(0.2, 0.55, 0.0),
    "tdnlsz": Viseme(0.22, 0.6, 0.0),
    "rɾɹɻʁʀ": Viseme(0.27, 0.45, 0.4),
    "ʃʒɕʑʂʐ": Viseme(0.25, 0.4, 0.7),
    "jɲʎç": Viseme(0.22, 0.65, 0.0),
    "kɡgxŋɣhɦ": Viseme(0.35, 0.5, 0.1),  # noqa: RUF001
    "wɥ": Viseme(0.12, 0.2, 1.0),
    "iɪᵻɨ": Viseme(0.3, 0.85, 0.0),  # noqa: RUF001
    "eɛ": Viseme(0.5, 0.72, 0.0),
    "æa": Viseme(0.85, 0.65, 0.0),
    "ɑɐ": Viseme(0.95, 0.5, 0.1),
    "əʌɜɚɝɘ": Viseme(0.45, 0.5, 0.1),
    "ɔɒ": Viseme(0.7, 0.35, 0.6),
    "oɤ": Viseme(0.5, 0.3, 0.85),
    "uʊɯ": Viseme(0.25, 0.2, 1.0),  # noqa: RUF001
    "yʏ": Viseme(0.25, 0.25, 0.9),  # noqa: RUF001
    "øœɵ": Viseme(0.45, 0.3, 0.8),
}
"""The viseme of each class of phonemes. The classes follow the visemes of MPEG-4 (ISO/IEC 14496-2),
with more vowels; the numbers were chosen by eye."""
OF_SYMBOL = {symbol: viseme for symbols, viseme in VISEMES.items() for symbol in symbols}


class Talk(NamedTuple):
    """A sentence that was spoken, and its video.

    Attributes:
        wave: float64 [640 F] at 16000 Hz, with an active level of 1.
        frames: uint8 [F, HEIGHT, WIDTH].
    """

    wave: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True)
class Face:
    """The geometry and the light of one talker. Lengths are in pixels, light from 0 to 1.

    Attributes:
        half_width: from the mouth's middle to a corner, at width 1 and rounding 0.
        half_height: from the middle to a lip's inner edge, at opening 1.
        lip: the thickness of the lips.
        across: of the mouth's middle from the frame's, to the right.
        down: likewise, downwards.
        skin: the light of the skin.
        lips: of the lips.
        shade: how much lighter the right edge of the frame is than the left.
    """

    half_width: float
    half_height: float
    lip: float
    across: float
    down: float
    skin: float
    lips: float
    shade: float


def draw_face(random: np.random.Generator) -> Face:
    """Draws a talker's geometry and light."""
    skin = random.uniform(0.45, 0.8)
    return Face(
        half_width=random.uniform(9, 12),
        half_height=random.uniform(5, 8),
        lip=random.uniform(1.5, 3),
        across=random.uniform(-2, 2),
        down=random.uniform(-1.5, 1.5),
        skin=skin,
        lips=skin * random.uniform(0.5, 0.8),
        shade=random.uniform(-0.15, 0.15),
    )


def visemes_of(ipa: str) -> list[Viseme]:
    """Returns the visemes that a phoneme passes through: two of a diphthong, `REST` in a pause."""
    plain = unicodedata.normalize("NFD", ipa)
    return [OF_SYMBOL[symbol] for symbol in plain if symbol in OF_SYMBOL] or [REST]


def movement(phonemes: Sequence[tuple[float, str]], frames: int) -> np.ndarray:
    """Returns the lips' opening, width and rounding in each frame: float64 [frames, 3].

    Args:
        phonemes: the start of each in seconds, ascending, and its IPA symbols; see
            `espeak.Phoneme`. Before the first, the mouth is at rest.
        frames: how many frames to return; frame n shows the time from n / 25 s on.
    """
    steps = round(FRAME_SAMPLES / audio.SAMPLE_RATE / GRID_SECONDS)
    times, shapes = [-np.inf], [REST]
    for number, (start, ipa) in enumerate(phonemes):
        passed = visemes_of(ipa)
        end = phonemes[number + 1][0] if number + 1 < len(phonemes) else start
        for part, shape in enumerate(passed):
            times.append(start + (end - start) * part / len(passed))
            shapes.append(shape)
    half = SMOOTHING_STEPS // 2
    grid = (np.arange(-half, frames * steps + half) + 0.5) * GRID_SECONDS
    shown = np.array(shapes)[np.searchsorted(times, grid, side="right") - 1]
    window = np.hanning(SMOOTHING_STEPS + 2)[1:-1]
    smooth = [np.convolve(track, window / window.sum(), "valid") for track in shown.T]
    return np.stack(smooth, -1).reshape(frames, steps, 3).mean(1)


def draw(shape: np.ndarray, face: Face, random: np.random.Generator) -> np.ndarray:
    """Draws a video of a mouth.

    The head moves by up to about two pixels, the light flickers, and the camera adds noise.

    Args:
        shape: float64 [F, 3], from `movement`.
        face: the talker.
        random: draws the jitter, the flicker and the noise.

    Returns:
        uint8 [F, HEIGHT, WIDTH].
    """
    count = len(shape)
    opening, width, rounding = (track[:, None, None] for track in shape.T)
    jitter = _wander(count, 2, random)[:, None, None]
    rows = np.arange(HEIGHT)[:, None] - (HEIGHT - 1) / 2 - face.down - jitter[..., 0]
    columns = np.arange(WIDTH)[None] - (WIDTH - 1) / 2 - face.across - jitter[..., 1]
    half_width = face.half_width * (0.5 + 0.5 * width) * (1 - 0.3 * rounding)
    half_height = face.half_height * opening
    lip = face.lip * (1 + 0.4 * rounding)
    outer = _inside(columns / (half_width + lip / 2), rows / (half_height + lip), lip)
    inner = _inside(columns / half_width, rows / np.maximum(half_height, 0.1), half_height)
    # The upper teeth show at the top of an open mouth.
    teeth = inner * _edge(-rows - 0.35 * half_height) * np.clip(4 * opening, 0, 1)
    light = face.skin + face.shade * columns / WIDTH
    light = light + outer * (face.lips - light)
    light = light + inner * (0.08 - light)
    light = light + 0.8 * teeth * (0.75 - light)
    flicker = 1 + 0.12 * _wander(count, 1, random)[:, None]
    # Now and then a lamp blinks for one to three frames.
    blinks = random.uniform(size=count) < 0.02
    blinks |= np.roll(blinks, 1) & (random.uniform(size=count) < 0.6)
    flicker = flicker * np.where(blinks, random.uniform(0.6, 1.3), 1.0)[:, None, None]
    noise = 0.012 * random.standard_normal((count, HEIGHT, WIDTH))
    return np.clip(np.rint(255 * (light * flicker + noise)), 0, 255).astype(np.uint8)


def _edge(distance: np.ndarray) -> np.ndarray:
    """Returns 1 well inside and 0 well outside of an edge, at a signed distance in pixels."""
    return np.clip(distance + 0.5, 0, 1)


def _inside(across: np.ndarray, down: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Returns how much of each pixel is within the unit circle of scaled coordinates."""
    radius = np.sqrt(np.square(across) + np.square(down))
    # Near the circle, the distance in pixels is about the difference of radii times the size.
    return _edge((1 - radius) * np.maximum(thickness, 1.0) * 2)


def _wander(count: int, tracks: int, random: np.random.Generator) -> np.ndarray:
    """Returns slow random movements of a standard deviation of about 1: float64 [count, tracks]."""
    window = np.hanning(27)[1:-1]  # a second
    window /= np.sqrt(np.square(window).sum())
    steps = random.standard_normal((tracks, count + len(window) - 1))
    return np.stack([np.convolve(track, window, "valid") for track in steps], -1)


def make_talk(
    spoken: np.ndarray, phonemes: Sequence[espeak.Phoneme], rate: int, random: np.random.Generator
) -> Talk:
    """Returns a sentence at 16000 Hz, cut to whole frames around the words, and its video.

    Args:
        spoken: int16 [n], from the synthesiser.
        phonemes: of it.
        rate: of the samples.
        random: draws the face and what moves besides the lips.
    """
    wave = audio.resample(audio.to_float(spoken), rate).astype(np.float64)
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    edge = int(EDGE_SECONDS * audio.SAMPLE_RATE)
    first = max(int(loud[0]) - edge, 0)
    count = (min(int(loud[-1]) + edge, len(wave)) - first) // FRAME_SAMPLES
    wave = wave[first : first + count * FRAME_SAMPLES]
    begin = first / audio.SAMPLE_RATE
    times = [(phoneme.start / rate - begin, phoneme.ipa) for phoneme in phonemes]
    frames = draw(movement(times, count), draw_face(random), random)
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
            kind, ratio = noise_condition(number, noise_snrs)
            disturbance += _noise(kind, len(talk.wave), random, spectrum) * 10 ** (-ratio / 20)
        level = 10 ** (random.uniform(*SPEECH_LEVELS) / 20)
        target = audio.to_int16(talk.wave * level)
        mixture = target + disturbance * level * audio.FULL_SCALE
        gain = min(1.0, (audio.FULL_SCALE - 1) / np.abs(mixture).max())
        clean.append(scaled(target, gain))
        noisy.append(np.rint(mixture * gain).astype(np.int16))
        videos.append((talk.frames, other.frames))
        names.append(f"{number:04d}_{voice}_{script[number].language}_{script[place].variant}")
    faces, others_faces = (np.concatenate(side) for side in zip(*videos, strict=True))
    return PairCorpus(
        tuple(names),
        join(clean),
        join(noisy),
        conditions=conditions(split, count, snrs, noise_snrs),
        videos=_videos(faces, others_faces, np.array([len(wave) for wave in clean])),
    )


def repeated(talk: Talk, frames: int, random: np.random.Generator) -> Talk:
    """Returns a talk from a random frame on, again and again, for a number of frames."""
    start = int(random.integers(len(talk.frames)))
    turned = np.roll(talk.frames, -start, axis=0)
    wave = np.roll(talk.wave, -start * FRAME_SAMPLES)
    shown = np.resize(turned, (frames, *turned.shape[1:]))
    return Talk(np.resize(wave, frames * FRAME_SAMPLES), shown)


def noise_condition(number: int, noise_snrs: Sequence[float]) -> tuple[str, float]:
    """Returns the noise kind and its ratio of an utterance; all combinations occur in turn."""
    kind = NOISE_KINDS[number % len(NOISE_KINDS)]
    return kind, noise_snrs[(number + number // len(NOISE_KINDS)) % len(noise_snrs)]


def conditions(
    split: Split, count: int, snrs: Sequence[float], noise_snrs: Sequence[float]
) -> Conditions:
    """Returns the conditions "snr", of the other talker, and "noise" of the utterances of a set."""
    found = {"snr": tuple(f"{snrs[number % len(snrs)]:g}" for number in range(count))}
    if noise_snrs:
        found["noise"] = tuple(noise_condition(number, noise_snrs)[0] for number in range(count))
    return found


def _noise(kind: str, size: int, random: np.random.Generator, spectrum: np.ndarray) -> np.ndarray:
    if kind in ("white", "pink"):
        return getattr(noises, kind)(size, random)
    shape = noises.speech_shaped if kind == "shaped" else noises.modulated
    return shape(size, random, spectrum)


def _videos(target: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> Videos:
    counts = (lengths // FRAME_SAMPLES).astype(np.int32)
    return Videos(target, other, np.cumsum(counts, dtype=np.int64) - counts, counts)


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
    entry = cache.folder() / "talking" / label
    cached = cache.read(
        entry, lambda folder: _read_entry(folder / "corpus.npz"), "generating the talkers again"
    )
    if cached is not None:
        return replace(cached, conditions=conditions(SPLITS[name], len(cached), snrs, noise_snrs))
    corpus = make(name, count, seed, snrs, noise_snrs)
    cache.put(entry, lambda folder: _save(folder / "corpus.npz", corpus))
    return corpus


def _save(path: Path, corpus: PairCorpus) -> None:
    assert corpus.videos is not None
    np.savez(
        path,
        names=np.array(corpus.names),
        lengths=corpus.lengths,
        clean=corpus.clean_waves.samples,
        noisy=corpus.noisy_waves.samples,
        target=corpus.videos.target,
        other=corpus.videos.other,
    )


def _read_entry(path: Path) -> PairCorpus:
    with np.load(path, allow_pickle=False) as file:
        lengths = file["lengths"]
        return PairCorpus(
            tuple(file["names"].tolist()),
            from_flat(file["clean"], lengths),
            from_flat(file["noisy"], lengths),
            videos=_videos(file["target"], file["other"], lengths),
        )


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
