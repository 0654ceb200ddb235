"""Texts and handwriting as long sequences, and mistakes in their files."""

import json

import numpy as np
import pytest

from configs import graves_rnn
from jaxgan.core.errors import UserError
from jaxgan.sequences.data.handwriting import read_strokes
from jaxgan.sequences.data.pen import LETTERS, make_lines
from jaxgan.sequences.data.stream_corpora import open_streams, read_unit


def config_of(kind, root="", **changes):
    config = graves_rnn.get_config("tiny")
    config.update_from_flattened_dict({"data.kind": kind, "data.root": str(root), **changes})
    return config


def lines(count=6, random=None):
    """Arrays of a file of strokes, without a split."""
    random = random or np.random.default_rng(0)
    points = np.concatenate(
        [random.integers(-9, 9, (4 * count, 2)), np.tile([0, 0, 0, 1], count)[:, None]], axis=1
    )
    text = np.array([f"{number}a".encode() for number in range(count)])
    return {"points": points, "offsets": np.arange(0, 4 * count + 1, 4), "text": text}


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_the_last_share_of_a_text_is_held_out_and_an_epoch_reads_the_rest_in_a_circle(tmp_path):
    path = tmp_path / "text.txt"
    text = "".join(chr(97 + number % 7) for number in range(200)) + "z" * 40
    path.write_text(text)
    corpus = open_streams(config_of("text", path, **{"data.held_out_share": 0.25}))
    assert "".join(corpus.vocabulary.tokens) == "abcdefgz"
    assert sum(len(item.values) - 1 for item in corpus.valid) == 60
    held = [corpus.vocabulary.tokens[i] for item in corpus.valid for i in item.values[1:]]
    assert "".join(held) == text[-60:]
    starts = set()
    for number in range(3):
        items = corpus.epochs(number)
        assert len(items) == 8
        read = np.concatenate([items[0].values[:1], *(item.values[1:] for item in items)])
        steps = np.diff(np.concatenate([read, read[:1]])) % 7
        assert len(read) == 180
        assert np.count_nonzero(steps != 1) <= 1  # where the circle closes
        starts.add(int(read[0]))
    assert len(starts) > 1
    assert corpus.files.keys() == {"vocabulary.json", "data.json"}


def test_handwriting_is_scaled_by_what_is_learned_from(tmp_path):
    random = np.random.default_rng(1)
    arrays = lines(40, random)
    split = np.repeat([0, 1, 2], [30, 5, 5])
    arrays["points"][120:, :2] *= 50  # not what is learned from
    path = save(tmp_path / "strokes.npz", split=split, **arrays)
    corpus = open_streams(config_of("strokes", path))
    train = corpus.epochs(0)
    assert (len(train), len(corpus.valid), len(corpus.test)) == (30, 5, 5)
    offsets = np.concatenate([item.values[1:, :2] for item in train])
    assert np.sqrt(np.var(offsets, axis=0).mean()) == pytest.approx(1, rel=1e-5)
    for item in (*train, *corpus.valid, *corpus.test):
        np.testing.assert_array_equal(item.values[0], 0)
        assert item.values[-1, 2] == 1
    (tmp_path / "data.json").write_bytes(corpus.files["data.json"])
    assert read_unit(tmp_path) == corpus.unit
    # Noise of one unit's width, and nothing else, is added to whole numbers.
    where = {tuple(item.text.tolist()): item for item in train}
    [first] = [item for item in train if item is where[tuple(train[0].text.tolist())]]
    name = "".join(corpus.vocabulary.tokens[number - 1] for number in first.text)
    number = int(name[:-1])
    difference = first.values[1:, :2] * corpus.unit - arrays["points"][4 * number + 1 :][:3, :2]
    assert 0 < np.abs(difference).max() <= 0.5


def test_a_file_without_a_split_is_split_at_random_and_floats_are_kept(tmp_path):
    arrays = lines(20)
    arrays["points"] = arrays["points"] + np.array([0.25, 0.5, 0])
    path = save(tmp_path / "strokes.npz", **arrays)
    corpus = open_streams(config_of("strokes", path))
    sizes = [len(part) for part in (corpus.epochs(0), corpus.valid, corpus.test)]
    assert sizes == [16, 2, 2]
    texts = {tuple(item.text) for item in (*corpus.epochs(0), *corpus.valid, *corpus.test)}
    assert len(texts) == 20
    remainder = np.concatenate([item.values[1:, 0] for item in corpus.valid]) * corpus.unit % 1
    np.testing.assert_allclose(remainder, 0.25, atol=1e-4)
    orders = [[tuple(item.text) for item in corpus.epochs(number)] for number in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds nothing: give a text of two different characters"),
        (b"aaaa", "holds only the character 'a'"),
        (b"ab" * 9, "both parts need 16"),
        (b"\xff\xfe\xfa", "is not UTF-8"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        open_streams(config_of("text", path))
    assert message in str(error.value).replace("cannot be read: it is", "is")
    assert "\n" not in str(error.value)


def broken(**changes):
    arrays = {**lines(), **changes}
    return {name: array for name, array in arrays.items() if array is not None}


NAN = lines()["points"].astype(float)
NAN[5, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (broken(points=None), "has no array points"),
        (broken(offsets=None), "has no array offsets"),
        (broken(points=np.zeros((24, 2))), "points are float64[24, 2]"),
        (broken(points=NAN), "points[5] is not finite"),
        (broken(points=lines()["points"] + 1), "points[:, 2] has values other than 0 and 1"),
        (broken(offsets=np.array([0, 9])), "offsets do not rise from 0 to the number of points"),
        (broken(offsets=np.array([0, 9, 4, 24])), "offsets do not rise"),
        (broken(offsets=np.arange(25), text=None), "holds no sequence of two points or more"),
        (broken(text=np.array(["a"])), "text is <U1[1] for 6 sequences"),
        (broken(split=np.full(6, 3)), "split has values other than 0"),
        (broken(split=np.zeros(6, int)), "has no sequences to validate"),
        (broken(points=lines()["points"] * [0, 0, 1.0]), "all its offsets are equal"),
        (broken(points=np.array([None] * 3)), "cannot be read"),  # needs pickle
    ],
)
def test_strokes_that_cannot_be_used_are_refused_in_one_line(tmp_path, arrays, message):
    path = save(tmp_path / "strokes.npz", **arrays)
    with pytest.raises(UserError) as error:
        open_streams(config_of("strokes", path))
    assert str(error.value).startswith(f"config.data.root={path}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"some text"])
def test_a_file_that_is_no_npz_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "strokes.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read") as error:
        read_strokes(path, "--prime=")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is a folder"):
        read_strokes(tmp_path, "--prime=")
    with pytest.raises(UserError, match="cannot be read"):
        read_strokes(tmp_path / "nothing.npz", "--prime=")


@pytest.mark.parametrize("kind", ["text", "strokes"])
def test_a_kind_with_a_file_needs_one(kind):
    with pytest.raises(UserError, match=r"config\.data\.root is not set"):
        open_streams(config_of(kind))


def test_generated_handwriting_writes_its_text():
    made = make_lines(40, 0)
    assert all(3 <= len(text) <= 6 and set(text) <= set(LETTERS) for _, text in made)
    for points, text in made:
        strokes = sum(len(LETTERS[letter][1]) for letter in text)
        assert points[:, 2].sum() == strokes
        assert points[-1, 2] == 1
        assert np.isfinite(points).all()
        np.testing.assert_array_equal(points[0], 0)
    assert json.dumps([text for _, text in make_lines(40, 0)]) == json.dumps([t for _, t in made])
    corpus = open_streams(config_of("pen"))
    assert corpus.characters == max(len(text) for _, text in make_lines(30, 0))
