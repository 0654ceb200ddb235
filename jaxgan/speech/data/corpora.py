"""Opens and checks the corpora that a config asks for."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem, refuse
from jaxgan.core.errors import UserError
from jaxgan.speech.data import avsec, demo, mix, pairs, talking, voicebank
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.checks import DataReport
from jaxgan.speech.data.corpus import PairCorpus, choose_buckets, spread
from jaxgan.speech.data.mix import MixCorpus

Corpus = PairCorpus | MixCorpus


@dataclass(frozen=True, eq=False)
class Corpora:
    """The checked data of a run.

    Attributes:
        train: the training set.
        valid: the validation set.
        report: the result of checking both.
    """

    train: Corpus
    valid: PairCorpus
    report: DataReport

    def digests(self) -> bytes:
        """Returns a JSON file with a digest of the utterances' names and lengths, in their order.

        A run's history refers to utterances by index, so a run may only continue with the same
        data. The digest also covers the lengths of the noise clips that are mixed in, and those of
        the videos.
        """
        sets = {"train": self.train, "valid": self.valid}
        plain = {name: {"utterances": len(s), "sha256": _digest(s)} for name, s in sets.items()}
        return (json.dumps(plain, indent=1) + "\n").encode()


Opened = tuple[Corpus, PairCorpus, tuple[Problem, ...]]


def of_data(open_data: Callable[[ConfigDict], Opened]) -> Callable[[ConfigDict], Opened]:
    """Returns a function of a config that only uses its section `data`."""
    return lambda config: open_data(config.data)


KINDS: dict[str, Callable[[ConfigDict], Opened]] = {
    "demo": of_data(demo.open_demo),
    "pairs": of_data(pairs.open_pairs),
    "voicebank": of_data(voicebank.open_voicebank),
    "mix": of_data(mix.open_mix),
    "talking": of_data(talking.open_talking),
    "avsec": avsec.open_avsec,
}
"""For each `config.data.kind`, a function of the config that returns the training set, the
validation set (both without bucket lengths) and the problems."""


BUCKETS, BUCKETS_ON_CPU = 2, 4
"""The number of padded lengths where the config leaves it open. Each is compiled once, which takes
accelerators longer, whereas a CPU computes padding more slowly."""


def open_corpora(config: ConfigDict, print_report: Callable[[str], None] = print) -> Corpora:
    """Reads and checks all data of a run.

    Args:
        config: a config whose `data` section has the keys of `settings.data_settings`.
        print_report: called once with the text of the report.

    Raises:
        UserError: a folder is missing, a set has no usable file, a setting is invalid, or, with
            `config.data.strict`, a file cannot be used as it is.
    """
    data = config.data
    if data.kind not in KINDS:
        raise UserError(f"config.data.kind={data.kind!r}: choose one of {', '.join(KINDS)}")
    if data.buckets < 0:
        raise UserError(f"config.data.buckets={data.buckets}: give at least 1, or 0 to choose")
    train, valid, problems = KINDS[data.kind](config)
    if data.valid_utterances:
        valid = valid.select(spread(len(valid), data.valid_utterances))
    report = DataReport(
        (f"train: {describe(train)}", f"valid: {describe(valid)}"),
        problems,
    )
    print_report(str(report))
    if data.strict:
        refuse(problems)
    # Both sets share the buckets, so that a network compiled for one also serves the other.
    count = data.buckets or (BUCKETS_ON_CPU if jax.default_backend() == "cpu" else BUCKETS)
    buckets = choose_buckets(np.concatenate([train.lengths, valid.lengths]), count)
    return Corpora(
        replace(train, bucket_lengths=buckets), replace(valid, bucket_lengths=buckets), report
    )


def _digest(corpus: Corpus) -> str:
    noise = corpus.noise.lengths.tolist() if isinstance(corpus, MixCorpus) else []
    plain = [list(corpus.names), corpus.lengths.tolist(), noise]
    if isinstance(corpus, PairCorpus) and corpus.videos:
        plain.append(corpus.videos.counts.tolist())
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def describe(corpus: Corpus) -> str:
    """Returns one line: the number of utterances, their total duration, and the noise mixed in."""
    minutes = corpus.lengths.sum(dtype=np.int64) / SAMPLE_RATE / 60
    line = f"{len(corpus)} utterances, {minutes:.1f} minutes"
    if isinstance(corpus, MixCorpus):
        noise = corpus.noise.lengths.sum(dtype=np.int64) / SAMPLE_RATE / 60
        snrs = ", ".join(f"{snr:g}" for snr in corpus.snrs)
        line += f"; {len(corpus.noise)} noise clips, {noise:.1f} minutes; SNR {snrs} dB"
    return line
