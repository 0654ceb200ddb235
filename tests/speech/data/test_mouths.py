"""Drawn mouths: visemes, how the lips move, what a frame shows."""

# ruff: noqa: RUF001 - the International Phonetic Alphabet

import numpy as np
import pytest

from jaxgan.speech.data import mouths


@pytest.mark.parametrize(
    ("ipa", "symbols"), [("ˈaɪ", "ai"), ("ˌɔːɹ", "ɔr"), ("b", "b"), ("tʃ", "tʃ"), ("", "")]
)
def test_a_phoneme_passes_through_the_visemes_of_its_symbols(ipa, symbols):
    expected = [mouths.VISEME_OF_SYMBOL[symbol] for symbol in symbols] or [mouths.REST]
    assert mouths.visemes_of(ipa) == expected


def test_lips_move_when_the_phonemes_are_said():
    # /m/ for 0.2 s from 0.2 s on, then /ɑ/ for 0.4 s; the mouth is at rest before and after.
    shape = mouths.lip_shapes([(0.2, "m"), (0.4, "ɑː"), (0.8, "")], 30)
    assert shape.shape == (30, 3)
    np.testing.assert_allclose(shape[:3], [mouths.REST] * 3)
    np.testing.assert_allclose(shape[7], mouths.VISEME_OF_SYMBOL["m"], atol=1e-9)
    np.testing.assert_allclose(shape[12:18], [mouths.VISEME_OF_SYMBOL["ɑ"]] * 6)
    np.testing.assert_allclose(shape[22:], [mouths.REST] * 8, atol=1e-9)
    assert shape[9, 0] < shape[10, 0] < shape[11, 0]  # the edge is between frames 9 and 10
    two = mouths.lip_shapes([(0.0, "aʊ"), (1.0, "")], 25)  # a diphthong: half the time each
    np.testing.assert_allclose(two[5], mouths.VISEME_OF_SYMBOL["a"])
    np.testing.assert_allclose(two[19], mouths.VISEME_OF_SYMBOL["ʊ"])


def test_an_open_mouth_is_darker_and_a_round_one_is_narrower():
    face = mouths.Face(10, 6, 2, 0, 0, 0.7, 0.45, 0)

    def video(shape):
        shapes = np.array([shape] * 20)
        return mouths.draw_video(shapes, face, np.random.default_rng(1)).astype(float)

    shut, wide, round_ = (video(shape) for shape in ((0, 0.5, 0), (0.9, 0.5, 0), (0.9, 0.2, 1)))
    assert shut.shape == (20, mouths.HEIGHT, mouths.WIDTH)
    middle = (slice(None), slice(13, 16), slice(14, 18))
    assert wide[middle].mean() < 60 < 90 < shut[middle].mean()
    columns = [(video_.mean(0) < 60).any(0).sum() for video_ in (wide, round_)]
    assert columns[1] < 0.8 * columns[0]
