"""From a config to checked corpora: the one place that knows every kind of data."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.speech.data import demo, mix, pairs, voicebank
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.checks import Problem, Report, refuse
from jaxgan.speech.data.corpus import PairCorpus, choose_buckets, spread
from jaxgan.speech.data.mix import MixCorpus

Corpus = PairCorpus | MixCorpus


@dataclass(frozen=True, eq=False)
class Corpora:
    """What a run trains on and is validated on."""

    train: Corpus
    valid: PairCorpus
    report: Report

    def digests(self) -> bytes:
        """What tells these data from others, as a JSON file: names and lengths in their order.

        A history names utterances by their places, so a run can go on with the same ones alone.
        """
        sets = {"train": self.train, "valid": self.valid}
        plain = {name: {"utterances": len(s), "sha256": _digest(s)} for name, s in sets.items()}
        return (json.dumps(plain, indent=1) + "\n").encode()


Opened = tuple[Corpus, PairCorpus, tuple[Problem, ...]]
KINDS: dict[str, Callable[[ConfigDict], Opened]] = {
    "demo": demo.open_demo,
    "pairs": pairs.open_pairs,
    "voicebank": voicebank.open_voicebank,
    "mix": mix.open_mix,
}
"""A kind of data: (config.data) -> (train, valid, problems), bucket lengths not yet chosen."""


def open_corpora(config: ConfigDict, tell: Callable[[str], None] = print) -> Corpora:
    """Reads and checks all data of a run before anything is computed.

    Args:
        config: `config.data` as `settings.data_settings` describes it.
        tell: gets the report, once.

    Raises:
        UserError: a folder that is missing, nothing usable in a set, a setting that makes no
            sense, or, with `config.data.strict`, any file that cannot be used as it is.
    """
    data = config.data
    if data.kind not in KINDS:
        raise UserError(f"config.data.kind={data.kind!r}: choose one of {', '.join(KINDS)}")
    if data.buckets < 1:
        raise UserError(f"config.data.buckets={data.buckets}: give at least 1")
    train, valid, problems = KINDS[data.kind](data)
    if data.valid_utterances:
        valid = valid.select(spread(len(valid), data.valid_utterances))
    report = Report(
        (f"train: {describe(train)}", f"valid: {describe(valid)}"),
        problems,
    )
    tell(str(report))
    if data.strict:
        refuse(problems)
    # One choice for both sets, so that a network compiled for one serves the other.
    buckets = choose_buckets(np.concatenate([train.lengths, valid.lengths]), data.buckets)
    return Corpora(
        replace(train, bucket_lengths=buckets), replace(valid, bucket_lengths=buckets), report
    )


def _digest(corpus: Corpus) -> str:
    noise = corpus.noise.lengths.tolist() if isinstance(corpus, MixCorpus) else []
    plain = [list(corpus.names), corpus.lengths.tolist(), noise]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def describe(corpus: Corpus) -> str:
    """One line: how many utterances, how long together, and what is mixed in."""
    minutes = corpus.lengths.sum(dtype=np.int64) / SAMPLE_RATE / 60
    line = f"{len(corpus)} utterances, {minutes:.1f} minutes"
    if isinstance(corpus, MixCorpus):
        noise = corpus.noise.lengths.sum(dtype=np.int64) / SAMPLE_RATE / 60
        snrs = ", ".join(f"{snr:g}" for snr in corpus.snrs)
        line += f"; {len(corpus.noise)} noise clips, {noise:.1f} minutes; SNR {snrs} dB"
    return line
