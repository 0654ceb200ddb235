"""Pages of handwriting."""

from xml.etree import ElementTree

import numpy as np

from jaxgan.sequences.evaluation.drawing import MARGIN, WIDTH, page, pixels, strokes, svg

LINE = np.array([[0, 0, 0], [2, 0, 1], [1, 1, 0], [0, 2, 0], [-1, 0, 1]], np.float32)


def test_a_stroke_ends_where_the_pen_is_lifted():
    first, second = strokes(LINE)
    np.testing.assert_array_equal(first, [[0, 0], [2, 0]])
    np.testing.assert_array_equal(second, [[3, 1], [3, 3], [2, 3]])


def test_sequences_are_drawn_one_below_the_other_and_as_wide_as_the_page():
    wide = LINE * [50, 1, 1]
    drawn, (width, height) = page([wide, LINE])
    places = np.concatenate(drawn)
    assert places[:, 0].min() == MARGIN
    assert places[:, 0].max() == WIDTH - MARGIN
    assert width == WIDTH
    assert drawn[2][:, 1].min() > np.concatenate(drawn[:2])[:, 1].max()
    assert places[:, 1].max() < height
    tree = ElementTree.fromstring(svg([wide, LINE]))
    assert len(tree.findall(".//{*}polyline")) == 4
    picture = np.asarray(pixels([wide, LINE]))
    assert picture.shape == (height, WIDTH, 3)
    row, column = int(drawn[0][0, 1]), int(drawn[0].mean(axis=0)[0])
    assert picture[row, column].max() < 128
    assert picture[5, 5].min() == 255


def test_a_single_point_is_a_dot():
    picture = np.asarray(pixels([np.zeros((1, 3), np.float32)]))
    assert picture.min() < 128
    assert picture.shape == (2 * MARGIN, 2 * MARGIN, 3)
