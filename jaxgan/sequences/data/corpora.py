"""Corpora of sequences: what an oracle draws, a text file's lines, or lines made by rule."""

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
from jaxgan.core.state import PyTree
from jaxgan.scores.registry import import_path
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.oracle import draw_oracle, read_oracle
from jaxgan.sequences.data.vocabulary import UNITS, Vocabulary
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel

LONGEST = 256
"""Lines of as many tokens are left out, if the config does not say which are too long."""
FEWEST_HELD_OUT = 2
HELD_OUT_STREAM = 1
DATA = "jaxgan.sequences.data"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sequences to learn from and to compare with.

    Attributes:
        train: int32 [N, T].
        held_out: int32 [M, T], of the same law, never learned from.
        size: V, the tokens' numbers are below.
        ends: whether token 0 ends sequences.
        vocabulary: the tokens as text; None for an oracle's.
        oracle: the model that drew them and its parameters; None for text.
    """

    train: np.ndarray
    held_out: np.ndarray
    size: int
    ends: bool
    vocabulary: Vocabulary | None = None
    oracle: tuple[LanguageModel, PyTree] | None = None

    def digest(self) -> bytes:
        """What tells these sequences from others, as a JSON file."""
        tokens = hashlib.sha256(self.train.tobytes() + self.held_out.tobytes()).hexdigest()
        return (json.dumps({"sha256": tokens}) + "\n").encode()


def open_oracle(config: ConfigDict, mesh: Mesh) -> Corpus:
    """Sequences from an oracle: `config.data.oracle` (a file), or one of a fixed key.

    Raises:
        UserError: the file cannot be used.
    """
    data = config.data
    if data.oracle:
        params = read_oracle(data.oracle)
        size, embedding = params["embedding"].shape
        model = LanguageModel(size, embedding, len(params["recurrent_kernel"]), 1.0)
    else:
        # The oracle is as large as the generator of the paper, whatever the generator is here.
        model = LanguageModel(data.vocabulary, data.oracle_width, data.oracle_width, 1.0)
        params = draw_oracle(model, data.oracle_seed)
    params = devices.put_replicated(params, mesh)
    oracle = Inference(model, data.length, False, mesh)
    key = jax.random.key(data.seed)
    train = oracle.draw(params, key, data.count)
    held_out = oracle.draw(params, jax.random.fold_in(key, HELD_OUT_STREAM), data.held_out)
    return Corpus(train, held_out, model.vocabulary, False, oracle=(model, params))


def open_text(config: ConfigDict, tell: Callable[[str], None]) -> Corpus:
    """The lines of a text file, one sequence each; empty lines do not count.

    Raises:
        UserError: the file is missing or no UTF-8 text, or too little of it can be used.
    """
    if not config.data.path:
        raise UserError("config.data.path is not set: give a file with a sequence on every line")
    path = epath.Path(config.data.path).expanduser()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"config.data.path={config.data.path!r} cannot be read: give a file "
            f"with a sequence on every line ({error})"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text (byte {error.start}); convert it") from error
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines:
        raise UserError(f"{path} holds no lines: give a file with a sequence on every line")
    return from_lines(lines, config, tell, str(path))


def open_made(path: str, config: ConfigDict, tell: Callable[[str], None]) -> Corpus:
    """`config.data.count` lines that a function at an import path makes of a count and a seed.

    Raises:
        UserError: it cannot make so many, or lacks a package.
    """
    made = import_path(path)(config.data.count, config.data.seed)
    return from_lines(made, config, tell, f"config.data.kind={config.data.kind}")


def from_lines(
    lines: Sequence[str], config: ConfigDict, tell: Callable[[str], None], name: str
) -> Corpus:
    """Lines of text as sequences, a random share of them held out.

    Args:
        lines: not empty.
        config: of the run.
        tell: gets one line about the data.
        name: of the data, in messages.

    Raises:
        UserError: a setting cannot be, or too few lines can be used.
    """
    data = config.data
    if data.unit not in UNITS:
        raise UserError(f"config.data.unit={data.unit!r}: choose one of {', '.join(UNITS)}")
    lengths = [len(vocabularies.split(line, data.unit)) for line in lines]
    # Behind the longest line stands the end, too.
    usual = [count for count in lengths if count < LONGEST]
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
    tell(
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
    """The data of a config.

    Raises:
        UserError: they cannot be used; the message says why.
    """
    tell = print if jax.process_index() == 0 else lambda _: None
    kinds: dict[str, Callable[[], Corpus]] = {
        "oracle": lambda: open_oracle(config, mesh),
        "text": lambda: open_text(config, tell),
        "tunes": lambda: open_made(f"{DATA}.music:make_tunes", config, tell),
        "molecules": lambda: open_made(
            "jaxgan.sequences.data.molecules:make_molecules", config, tell
        ),
    }
    if config.data.kind not in kinds:
        known = ", ".join(kinds)
        raise UserError(f"config.data.kind={config.data.kind!r}: choose one of {known}")
    return kinds[config.data.kind]()
