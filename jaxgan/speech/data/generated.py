"""Keeps generated corpora in the user's cache folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.core import cache
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.videos import make_videos
from jaxgan.speech.data.waves import from_flat


def read_or_make(label: str, make: Callable[[], PairCorpus]) -> PairCorpus:
    """Returns a generated corpus from the cache, or makes it and stores it there.

    Its conditions and bucket lengths are not stored.

    Args:
        label: the path of the entry in the cache folder; it changes with everything that the corpus
            depends on.
        make: generates the corpus.
    """
    entry = cache.folder() / label
    again = f"generating the corpus {label.split('/')[0]} again"
    cached = cache.read(entry, lambda folder: _read(folder / "corpus.npz"), again)
    if cached is not None:
        return cached
    corpus = make()
    cache.put(entry, lambda folder: _save(folder / "corpus.npz", corpus))
    return corpus


def _save(path: Path, corpus: PairCorpus) -> None:
    arrays: dict[str, Any] = {
        "names": np.array(corpus.names),
        "lengths": corpus.lengths,
        "clean": corpus.clean_waves.samples,
        "noisy": corpus.noisy_waves.samples,
    }
    if corpus.videos is not None:
        arrays["frames"] = corpus.videos.frames
    np.savez(path, **arrays)


def _read(path: Path) -> PairCorpus:
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    lengths = arrays["lengths"]
    videos = None
    if "frames" in arrays:
        videos = make_videos(arrays["frames"], lengths)
    return PairCorpus(
        tuple(arrays["names"].tolist()),
        from_flat(arrays["clean"], lengths),
        from_flat(arrays["noisy"], lengths),
        videos=videos,
    )
