"""The precision by hand, distortions, and a task whose best encoder is known."""

import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.data import glyphs
from jaxgan.images.data.dataset import Images, without_labels
from jaxgan.images.evaluation import retrieval


def test_the_precision_by_hand():
    queries = np.array([[1.0, 0.0], [0.0, 2.0]])
    gallery = np.array([[5.0, 1.0], [3.0, 0.0], [0.1, 1.0], [0.0, 0.1], [-1.0, 0.0]])
    labels, gallery_labels = np.array([0, 1]), np.array([0, 1, 1, 1, 0])
    found = [
        retrieval.precision(queries, gallery, labels, gallery_labels, nearest)
        for nearest in (1, 2, 5)
    ]
    assert found == [(0 + 1) / 2, (0.5 + 1) / 2, (0.4 + 0.6) / 2]
    longer = retrieval.precision(7 * queries, gallery / 3, labels, gallery_labels, 2)
    assert longer == found[1]


def test_distortions_move_turn_and_resize():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 6] = 255  # two pixels to the right of the centre
    places = {
        ("shift", 1): (4, 7),
        ("rotation", 90): (2, 6 - 2),
        ("scale", 1.5): (4, 7),
        ("scale", 0.5): (4, 5),
    }
    for (kind, amount), place in places.items():
        found = retrieval.distorted(image, kind, amount)[0, :, :, 0]
        assert np.unravel_index(found.argmax(), found.shape) == place, kind
        assert found.max() > 100
    whole = glyphs.make("valid", 3, 0).values
    for kind, amount in {"shift": 0, "rotation": 0, "scale": 1}.items():
        np.testing.assert_array_equal(retrieval.distorted(whole, kind, amount), whole)


def test_sketches_and_the_gallery_are_different_images():
    images = glyphs.make("valid", 100, 0)
    task = retrieval.make_task(images, devices.make_mesh(1))
    assert (len(task.sketches), len(task.photos), len(task.edges)) == (20, 80, 80)
    np.testing.assert_array_equal(task.photos, images.values[20:])
    np.testing.assert_array_equal(task.labels, images.labels[:20])
    assert set(np.unique(task.edges)) == {0, 255}


def test_an_encoder_that_knows_the_class_is_perfect_and_noise_is_at_chance():
    images = glyphs.make("valid", 300, 0)
    task = retrieval.make_task(images, devices.make_mesh(1))
    one_hot = np.eye(10)
    known = one_hot[task.gallery_labels]
    found = retrieval.measure_retrieval(task, one_hot[task.labels], known, known)
    assert found == {"p10": 1, "p10_edges": 1}
    random = np.random.default_rng(0)
    noise = random.standard_normal((len(task.photos), 8))
    queries = random.standard_normal((len(task.labels), 8))
    found = retrieval.measure_retrieval(task, queries, noise, known @ random.random((10, 8)))
    # 600 decisions of probability 0.1
    assert found["p10"] == pytest.approx(0.1, abs=0.05)


def test_pixels_suffer_from_a_shift():
    task = retrieval.make_task(glyphs.make("valid", 500, 0), devices.make_mesh(1))
    pixels = retrieval.pixels
    whole = retrieval.measure_retrieval(
        task, pixels(task.sketches), pixels(task.photos), pixels(task.edges)
    )
    curves = retrieval.invariance(pixels, task)
    assert len(curves) == sum(map(len, retrieval.DISTORTIONS.values()))
    assert whole["p10_edges"] > 0.3
    assert whole["p10_edges"] > curves["p10_edges_shift_4"] + 0.1


def test_principal_components_keep_the_largest_spread():
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (400, 9, 9, 1)).astype(np.uint8)
    values[:, 0, 0] = random.choice([0, 255], (400, 1))
    encoded = retrieval.principal_components(values)(values)
    assert encoded.shape == (400, retrieval.COMPONENTS)
    spread = encoded.var(axis=0)
    assert (np.diff(spread) >= -1e-9).all()
    first = np.corrcoef(encoded[:, -1], values[:, 0, 0, 0])[0, 1]
    assert abs(first) > 0.9


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (without_labels(np.zeros((50, 2), np.float32)), "these data are points"),
        (without_labels(np.zeros((50, 4, 4, 1), np.uint8)), "use labelled images"),
        (Images(np.zeros((9, 4, 4, 1), np.uint8), np.zeros(9, np.int32)), "9 are too few"),
    ],
)
def test_data_that_cannot_be_retrieved(images, message):
    with pytest.raises(UserError, match=message):
        retrieval.make_task(images, devices.make_mesh(1))
