"""Text files: how they are read, and mistakes in them."""

import random

import numpy as np
import pytest
from tiny import tiny_config

from jaxgan.core.errors import UserError
from jaxgan.sequences.data import corpora as data
from jaxgan.sequences.data import vocabulary
from jaxgan.sequences.data.vocabulary import UNKNOWN, Vocabulary, build


def text_config(path, **changes):
    text = {
        "data.kind": "text",
        "data.path": str(path),
        "data.length": 0,
        "data.vocabulary": 0,
    }
    return tiny_config(**{**text, **changes})


def verses(folder, joint):
    """Lines of 2 to 5 consecutive tokens of a cycle."""
    draw = random.Random(0)
    lines = []
    for _ in range(60):
        start, size = draw.randrange(6), draw.randrange(2, 6)
        lines.append(joint.join("春花秋月雪風"[(start + i) % 6] for i in range(size)))
    path = folder / "verses.txt"
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return path, lines


@pytest.mark.parametrize(("unit", "joint"), [("characters", ""), ("words", " ")])
def test_lines_become_sequences_and_lines_again(tmp_path, unit, joint):
    path, lines = verses(tmp_path, joint)
    printed = []
    corpus = data.open_text(text_config(path, **{"data.unit": unit}), printed.append)
    assert corpus.train.shape == (54, 6)
    assert corpus.held_out.shape == (6, 6)
    assert corpus.size == 7
    assert corpus.ends
    assert "54 lines and 6 held out, at most 5" in printed[0]
    decoded = corpus.vocabulary.decode(np.concatenate([corpus.train, corpus.held_out]))
    assert sorted(decoded) == sorted(lines)


def test_rare_tokens_are_one_unknown_token():
    lines = ["aaab", "aabc", "abz"]
    small = build(lines, "characters", 6, 4)
    assert small.tokens == (UNKNOWN, "a", "b")
    assert small.decode(small.encode(["abcz"])) == ["ab" + UNKNOWN * 2]
    whole = build(lines, "characters", 6, 0)
    assert whole.tokens == ("a", "b", "c", "z")
    assert build(lines, "characters", 6, 5) == whole


def test_held_out_lines_stay_as_they_are(tmp_path):
    path = tmp_path / "text.txt"
    lines = [f"the man saw w{number} in the garden" for number in range(80)]
    path.write_text("\n".join(lines))
    for most, known in ((0, set(lines)), (8, {f"the man saw {UNKNOWN} in the garden"})):
        changes = {"data.unit": "words", "data.vocabulary": most}
        corpus = data.open_text(text_config(path, **changes), lambda _: None)
        assert set(corpus.vocabulary.decode(corpus.held_out)) <= known


def test_one_long_line_does_not_lengthen_the_others(tmp_path):
    path, lines = verses(tmp_path, "")
    path.write_text("\n".join([*lines, "春" * 3000]))
    printed = []
    assert data.open_text(text_config(path), printed.append).train.shape[1] == 6
    assert "1 longer ones left out" in printed[0]


def test_a_changed_text_has_another_digest(tmp_path):
    path, lines = verses(tmp_path, "")
    digests = []
    for text in (lines, lines, [line[::-1] for line in lines]):
        path.write_text("\n".join(text))
        corpus = data.open_text(text_config(path), lambda _: None)
        digests.append(corpus.files["data.json"])
    assert digests[0] == digests[1] != digests[2]


def test_a_text_has_to_be_named():
    with pytest.raises(UserError, match=r"config\.data\.path is not set"):
        data.open_text(text_config(""), lambda _: None)


def test_tokens_that_are_only_held_out_come_last():
    made = build(["b a b"], "words", 6, 0, ["z a z", "y b"])
    assert made.tokens == ("b", "a", "y", "z")


def test_a_vocabulary_survives_its_file(tmp_path):
    made = Vocabulary(("春", "a b", '"'), "words", 7)
    (tmp_path / vocabulary.FILE).write_bytes(made.to_bytes())
    assert vocabulary.read(tmp_path) == made
    (tmp_path / vocabulary.FILE).write_text("{}")
    with pytest.raises(UserError, match=r"vocabulary\.json cannot be read"):
        vocabulary.read(tmp_path)


def test_longer_lines_are_left_out_and_counted(tmp_path):
    path, lines = verses(tmp_path, "")
    printed = []
    corpus = data.open_text(text_config(path, **{"data.length": 4}), printed.append)
    longer = sum(len(line) > 3 for line in lines)
    assert corpus.train.shape[1] == 4
    assert f"{longer} longer ones left out" in printed[0]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (None, {}, "cannot be read: give a file"),
        (b"ab\nb\xff\n", {}, r"is not UTF-8 text \(byte 4\)"),
        (b"\n \n", {}, "holds no lines"),
        (b"ab\n" * 9, {}, "has 9 lines shorter than 3 characters; 2 are held out"),
        (b"ab\n" * 99, {"data.unit": "syllables"}, "choose one of characters, words"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, changes, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        data.open_text(text_config(path, **changes), lambda _: None)
