"""Small corpora and files for the tests of this folder."""

from pathlib import Path

import numpy as np
import soundfile
from ml_collections import ConfigDict

from jaxgan.speech.data.corpus import PairCorpus, choose_buckets
from jaxgan.speech.data.mix import MixCorpus
from jaxgan.speech.data.waves import join
from jaxgan.speech.settings import data_settings


def tone(seconds: float, rate: int = 16000, hertz: float = 440.0, size: float = 0.3) -> np.ndarray:
    """A sine, float64 [n]."""
    return size * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def save(path: Path, samples: np.ndarray, rate: int = 16000, **options: str) -> Path:
    """Writes a file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def speech_like(random: np.random.Generator, n: int) -> np.ndarray:
    """Bursts of noise with pauses between them, int16 [n]."""
    bursts = np.repeat(random.uniform(size=-(-n // 1600)) > 0.4, 1600)[:n]
    bursts[: n // 4] = True
    return (3000 * random.standard_normal(n) * bursts).clip(-32768, 32767).astype(np.int16)


def pair_corpus(lengths: list[int], buckets: int = 3) -> PairCorpus:
    random = np.random.default_rng(0)
    clean = [random.integers(-9000, 9000, n, np.int16) for n in lengths]
    noisy = [random.integers(-9000, 9000, n, np.int16) for n in lengths]
    names = tuple(f"p{number}" for number in range(len(lengths)))
    return PairCorpus(names, join(clean), join(noisy), choose_buckets(lengths, buckets))


def mix_corpus(lengths: list[int], noise_lengths: list[int]) -> MixCorpus:
    random = np.random.default_rng(1)
    speech = [speech_like(random, n) for n in lengths]
    noise = [(2000 * random.standard_normal(n)).astype(np.int16) for n in noise_lengths]
    names = tuple(f"s{number}" for number in range(len(lengths)))
    snrs = (0.0, 5.0, 10.0, 15.0)
    return MixCorpus(names, join(speech), join(noise), snrs, choose_buckets(lengths, 3))


def config(**settings: object) -> ConfigDict:
    """A config with nothing but its data section."""
    chosen = ConfigDict({"data": data_settings()})
    chosen.data.update(settings)
    return chosen
