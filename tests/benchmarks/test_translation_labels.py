"""The judge of translated images."""

import numpy as np

from benchmarks.translation_labels import labels_of


def test_the_most_similar_reference_gives_the_label_whatever_the_ground():
    references = np.zeros((3, 4, 4, 3), np.uint8)
    references[0, :2], references[1, 2:], references[2, :, :2] = 255, 255, 255
    images = references[[2, 0, 1, 1]].copy()
    images[..., 0] = np.maximum(images[..., 0], 90)  # a red ground; the digit stays white
    images[0, 0, 0] = 0
    found = labels_of(images, references, np.array([7, 8, 9]))
    np.testing.assert_array_equal(found, [9, 7, 8, 8])
