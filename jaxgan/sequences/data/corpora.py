"""Corpora of sequences: an oracle's draws, the lines of a text file, or lines made by a rule."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path
from jaxgan.core.state import PyTree
from jaxgan.core.text_files import read_text
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.oracle import draw_oracle, read_oracle
from jaxgan.sequences.data.vocabulary import UNITS, Vocabulary, until_end
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel, SequenceModel

LONGEST = 256
"""Lines of this many tokens are left out if the config sets no limit."""
FEWEST_HELD_OUT = 2
HELD_OUT_STREAM = 1
DIGEST_FILE = "data.json"
MUSIC, MOLECULES = "jaxgan.sequences.data.music", "jaxgan.sequences.data.molecules"
"""Import paths; molecules need a package that others do not."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sequences to learn from and to compare with.

    Attributes:
        train: int32 [N, T].
        held_out: int32 [M, T], from the same distribution, never learned from.
        size: V, the number of tokens; they are 0 to V - 1.
        ends: whether token 0 ends a sequence.
        vocabulary: the tokens as text; None for an oracle's.
        oracle: the network that drew the sequences and its parameters; None for text.
    """

    train: np.ndarray
    held_out: np.ndarray
    size: int
    ends: bool
    vocabulary: Vocabulary | None = None
    oracle: tuple[LanguageModel, PyTree] | None = None

    @property
    def length(self) -> int:
        """T, the number of tokens of a sequence, padding included."""
        return self.train.shape[1]

    @property
    def files(self) -> dict[str, bytes]:
        """For `Recipe.files`: the vocabulary of a text, and a digest that identifies it."""
        if not self.vocabulary:
            return {}
        digest = hashlib.sha256(self.train.tobytes() + self.held_out.tobytes()).hexdigest()
        digest_file = (json.dumps({"sha256": digest}) + "\n").encode()
        return {vocabularies.FILE: self.vocabulary.to_bytes(), DIGEST_FILE: digest_file}

    def lists(self, sequences: np.ndarray) -> list[list[int]]:
        """Returns sequences, int32 [n, T], as lists of tokens without end and padding."""
        return [until_end(row) if self.ends else row.tolist() for row in sequences]

    def text_lines(self, sequences: np.ndarray) -> list[str]:
        """Returns sequences, int32 [n, T], as text.

        Raises:
            ValueError: the corpus has no vocabulary.
        """
        if self.vocabulary is None:
            raise ValueError("the tokens of an oracle have no text")
        return self.vocabulary.decode(sequences)


def open_oracle(config: ConfigDict, mesh: Mesh) -> Corpus:
    """Returns sequences of an oracle: of the file `config.data.oracle`, or one drawn from a seed.

    Raises:
        UserError: the file cannot be used.
    """
    data = config.data
    if data.oracle:
        params = read_oracle(data.oracle)
        size, embedding = params["embedding"].shape
        model = LanguageModel(size, embedding, len(params["recurrent_kernel"]), 1.0)
    else:
        model = LanguageModel(data.vocabulary, data.oracle_width, data.oracle_width, 1.0)
        params = draw_oracle(model, data.oracle_seed)
    params = devices.put_replicated(params, mesh)
    oracle = Inference(SequenceModel(model, data.length, ends=False), mesh)
    key = jax.random.key(data.seed)
    train = oracle.draw(params, key, data.count)
    held_out = oracle.draw(params, jax.random.fold_in(key, HELD_OUT_STREAM), data.held_out)
    return Corpus(train, held_out, model.vocabulary, False, oracle=(model, params))


def open_text(config: ConfigDict, say: Callable[[str], None]) -> Corpus:
    """Returns the lines of a text file, one sequence each; empty lines do not count.

    Raises:
        UserError: the file is missing, is not UTF-8 text, or has too few lines that can be used.
    """
    if not config.data.path:
        raise UserError("config.data.path is not set: give a file with a sequence on every line")
    path = epath.Path(config.data.path).expanduser()
    text = read_text(path, "config.data.path=", "a file with a sequence on every line")
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines:
        raise UserError(f"{path} holds no lines: give a file with a sequence on every line")
    return from_lines(lines, config, say, str(path))


def open_made(path: str, config: ConfigDict, say: Callable[[str], None]) -> Corpus:
    """Returns `config.data.count` lines that a function makes from a count and a seed.

    Raises:
        UserError: the function, at an import path, cannot make that many or lacks a package.
    """
    made = import_path(path)(config.data.count, config.data.seed)
    return from_lines(made, config, say, f"config.data.kind={config.data.kind}")


def from_lines(
    lines: Sequence[str], config: ConfigDict, say: Callable[[str], None], name: str
) -> Corpus:
    """Returns lines of text as sequences, with a random share of them held out.

    Args:
        lines: not empty.
        config: the config of the run.
        say: receives one line about the data.
        name: the name of the data, for messages.

    Raises:
        UserError: a setting has an unknown value, or too few lines can be used.
    """
    data = config.data
    if data.unit not in UNITS:
        raise UserError(f"config.data.unit={data.unit!r}: choose one of {', '.join(UNITS)}")
    lengths = [len(vocabularies.split(line, data.unit)) for line in lines]
    usual = [count for count in lengths if count < LONGEST]
    # The end of the longest line takes one more token.
    length = data.length or max(usual, default=1) + 1
    kept = [line for line, tokens in zip(lines, lengths, strict=True) if tokens < length]
    count = max(round(data.held_out_share * len(kept)), FEWEST_HELD_OUT)
    if len(kept) - count < config.batch_size:
        raise UserError(
            f"{name} has {len(kept)} lines shorter than {length} {data.unit}; {count} are held out "
            f"and a batch needs {config.batch_size}: give more lines, a larger config.data.length "
            "or a smaller config.batch_size"
        )
    order = np.random.default_rng(data.seed).permutation(len(kept))
    shuffled = [kept[place] for place in order]
    vocabulary = vocabularies.build(
        shuffled[count:], data.unit, length, data.vocabulary, shuffled[:count]
    )
    left_out = f", {len(lines) - len(kept)} longer ones left out" if len(kept) < len(lines) else ""
    say(
        f"{name}: {len(kept) - count} lines and {count} held out, at most {length - 1} "
        f"{data.unit}{left_out}; {len(vocabulary.tokens)} different {data.unit}"
    )
    return Corpus(
        train=vocabulary.encode(shuffled[count:]),
        held_out=vocabulary.encode(shuffled[:count]),
        size=vocabulary.size,
        ends=True,
        vocabulary=vocabulary,
    )


def open_corpus(config: ConfigDict, mesh: Mesh) -> Corpus:
    """Returns the data of a config, and prints a line about a text.

    Raises:
        UserError: the data cannot be used; the message says why.
    """
    say = print if jax.process_index() == 0 else lambda _: None
    kinds: dict[str, Callable[[], Corpus]] = {
        "oracle": lambda: open_oracle(config, mesh),
        "text": lambda: open_text(config, say),
        "tunes": lambda: open_made(f"{MUSIC}:make_tunes", config, say),
        "molecules": lambda: open_made(f"{MOLECULES}:make_molecules", config, say),
    }
    if config.data.kind not in kinds:
        known = ", ".join(kinds)
        raise UserError(f"config.data.kind={config.data.kind!r}: choose one of {known}")
    return kinds[config.data.kind]()
