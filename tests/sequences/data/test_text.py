"""Text files: read, learned from, drawn again by the command; mistakes with them."""

import importlib.util
import json
import random
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.sequences.data import corpora as data
from jaxgan.sequences.data import vocabulary
from jaxgan.sequences.data.vocabulary import UNKNOWN, Vocabulary, build

ROOT = Path(__file__).parents[3]


def load_program(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_config(path, **changes):
    text = {
        "data.kind": "text",
        "data.path": str(path),
        "data.length": 0,
        "data.vocabulary": 0,
        "discriminator.widths": (1, 2),
        "discriminator.filters": (3, 4),
    }
    return tiny_config(**{**text, **changes})


def verses(folder, joint):
    """Lines of 2 to 5 tokens, each token the one after the one before."""
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
    told = []
    corpus = data.open_text(text_config(path, **{"data.unit": unit}), told.append)
    assert corpus.train.shape == (54, 6)
    assert corpus.held_out.shape == (6, 6)
    assert corpus.size == 7
    assert corpus.ends
    assert "54 lines and 6 held out, at most 5" in told[0]
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


def test_one_long_line_makes_no_other_longer(tmp_path):
    path, lines = verses(tmp_path, "")
    path.write_text("\n".join([*lines, "春" * 3000]))
    told = []
    assert data.open_text(text_config(path), told.append).train.shape[1] == 6
    assert "1 longer ones left out" in told[0]


def test_a_text_that_has_changed_is_another(tmp_path):
    path, lines = verses(tmp_path, "")
    digests = []
    for text in (lines, lines, [line[::-1] for line in lines]):
        path.write_text("\n".join(text))
        recipe = recipes.make(text_config(path), devices.make_mesh(1))
        digests.append(recipe.keeps["data.json"])
    assert digests[0] == digests[1] != digests[2]


def test_a_text_has_to_be_named():
    with pytest.raises(UserError, match=r"config\.data\.path is not set"):
        data.open_text(text_config(""), lambda _: None)


def test_tokens_that_are_held_out_alone_come_last():
    made = build(["b a b"], "words", 6, 0, ["z a z", "y b"])
    assert made.tokens == ("b", "a", "y", "z")


def test_a_vocabulary_survives_its_file(tmp_path):
    made = Vocabulary(("春", "a b", '"'), "words", 7)
    (tmp_path / vocabulary.FILE).write_bytes(made.to_bytes())
    assert vocabulary.read(tmp_path) == made
    (tmp_path / vocabulary.FILE).write_text("{}")
    with pytest.raises(UserError, match=r"vocabulary\.json cannot be read"):
        vocabulary.read(tmp_path)


def test_longer_lines_are_left_out_and_said_so(tmp_path):
    path, lines = verses(tmp_path, "")
    told = []
    corpus = data.open_text(text_config(path, **{"data.length": 4}), told.append)
    longer = sum(len(line) > 3 for line in lines)
    assert corpus.train.shape[1] == 4
    assert f"{longer} longer ones left out" in told[0]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (None, {}, "cannot be read: give a file"),
        (b"ab\nb\xff\n", {}, r"no UTF-8 text \(byte 4\)"),
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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on characters."""
    folder = tmp_path_factory.mktemp("text")
    path, _ = verses(folder, "")
    config = text_config(path, rounds=4)
    loop.run(recipes.make(config, devices.make_mesh(1)), config, folder / "run")
    return folder / "run"


def test_the_command_draws_lines(run, capsys, tmp_path):
    program = load_program("sample")
    command = [f"--workdir={run}", "--count=12"]
    assert program.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    known = set(json.loads((run / "vocabulary.json").read_text())["tokens"])
    assert set("".join(lines)) <= known
    assert program.main([*command, f"--output={tmp_path / 'new' / 'drawn.txt'}"]) == 0
    assert (tmp_path / "new" / "drawn.txt").read_text().splitlines() == lines
    assert program.main([*command, "--seed=1", "--checkpoint=best"]) == 0
    assert capsys.readouterr().out.splitlines() != lines


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir=nowhere"], "is not the folder of a run"),
        (["--count=0"], "--count=0: must be 1 or more"),
        (["--temperature=0"], "--temperature=0.0: must be above 0"),
        (["--checkpoint=77"], "77"),
    ],
)
def test_mistakes_with_the_command_are_told_in_one_line(run, capsys, flags, message):
    workdir = [] if "--workdir" in flags[0] else [f"--workdir={run}"]
    assert load_program("sample").main([*workdir, *flags]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_commands_for_speech_refuse_the_folder_and_this_one_refuses_speech(run, capsys, tmp_path):
    for name, more in (("eval", []), ("enhance", ["--input=x.wav", "--output=y"])):
        assert load_program(name).main([f"--workdir={run}", *more]) == 2
        assert "holds a run of 'seqgan', which enhances nothing" in capsys.readouterr().err
    config = configs.load(str(ROOT / "configs" / "metricgan.py"))
    configs.write(config, tmp_path)
    assert load_program("sample").main([f"--workdir={tmp_path}"]) == 2
    assert "holds a run of 'metricgan', which draws no sequences" in capsys.readouterr().err


def test_a_text_that_has_changed_does_not_go_on(run, tmp_path):
    config = configs.read(run)
    path = Path(config.data.path)
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(before.replace("春", "夏"), encoding="utf-8")
        config.rounds = 5
        recipe = recipes.make(config, devices.make_mesh(1))
        with pytest.raises(UserError, match=r"vocabulary\.json is not what the data give now"):
            loop.run(recipe, config, run)
    finally:
        path.write_text(before, encoding="utf-8")
