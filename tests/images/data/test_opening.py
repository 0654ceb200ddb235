import json
from pathlib import Path

import jax
import numpy as np
import pytest
from image_configs import config

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images import settings
from jaxgan.images.data import dataset, opening
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.labelled import keep_labels


def opened(**data):
    reports = []
    checked = opening.open_data(config(**data), reports.append)
    return checked.train, checked.valid, reports


def test_without_settings_the_data_are_glyphs():
    train, valid, reports = opened()
    assert (train.shape, len(train), len(valid)) == ((28, 28, 1), 40, 20)
    assert reports == [
        "train: 40 images of 28x28x1, 10 classes\nvalid: 20 images of 28x28x1, 10 classes"
    ]


def test_points_are_reported_as_points(tmp_path):
    assert opened(kind="ring")[2] == ["train: 40 points, 8 classes\nvalid: 20 points, 8 classes"]
    np.save(tmp_path / "p.npy", np.zeros((2, 2)))
    reports = opened(kind="points", root=str(tmp_path / "p.npy"))[2]
    assert reports == ["train: 1 point, no classes\nvalid: 1 point, no classes"]


def test_an_unknown_kind_lists_the_kinds():
    with pytest.raises(
        UserError, match=r"config\.data\.kind='cats': choose one of glyphs, overlays"
    ):
        opened(kind="cats")


def test_a_batch_larger_than_the_data_is_refused():
    opening.open_data(config(batch_size=40), print)
    with pytest.raises(UserError, match=r"config\.batch_size=41: the training set has only 40 im"):
        opening.open_data(config(batch_size=41), print)


def test_a_few_labels_are_kept_equally_many_of_a_class():
    whole, *_ = opened()
    train, valid, reports = opened(labelled=20)
    assert np.bincount(train.labels + 1).tolist() == [20] + [2] * 10
    kept = train.labels >= 0
    np.testing.assert_array_equal(train.labels[kept], whole.labels[kept])
    np.testing.assert_array_equal(train.values, whole.values)
    assert (valid.labels >= 0).all()
    assert reports[0].startswith("train: 40 images of 28x28x1, 20 labelled, 10 classes\n")


def test_the_labels_kept_depend_only_on_the_seed():
    whole, *_ = opened()
    one, same, other = (keep_labels(whole, 20, seed).labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_impossible_numbers_of_labels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"labelled=15: must be a multiple of the 10 classes"):
        opened(labelled=15)
    with pytest.raises(UserError, match=r"labelled=50 needs 5 images of every class, and '0' has"):
        opened(labelled=50)
    np.save(tmp_path / "p.npy", np.zeros((9, 2)))
    with pytest.raises(UserError, match=r"labelled=2: these data have no labels; set it to 0"):
        opened(kind="points", root=str(tmp_path / "p.npy"), labelled=2)


def test_digests_identify_the_data():
    train, valid, _ = opened()
    plain = json.loads(dataset.digests(train, valid))
    assert plain["train"]["count"] == 40
    assert plain["valid"]["shape"] == [28, 28, 1]
    assert dataset.digests(train, valid) == dataset.digests(train, valid)
    values, labels = train.values.copy(), train.labels.copy()
    values[3, 2, 1] ^= 1
    labels[0] ^= 1
    changes = [
        Images(values, train.labels, train.classes),
        Images(train.values, labels, train.classes),
        Images(train.values, train.labels, train.classes[::-1]),
    ]
    found = [dataset.digests(images, valid) for images in (train, *changes)]
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.channels", 2),
        ("data.train", 0),
        ("data.size", 0),
        ("data.valid_share", 1.0),
        ("data.seed", -1),
        ("data.ring.radius", 0.0),
        ("data.grid25.sd", -0.1),
        ("batch_size", 12),
    ],
)
def test_values_that_are_not_allowed_are_refused_by_name(key, value):
    mesh = devices.make_mesh()
    assert len(jax.devices()) == 8
    made = config(batch_size=16)
    settings.check(made, mesh)
    made.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=rf"^config\.{key}={value}: "):
        settings.check(made, mesh)


def test_the_settings_name_every_kind():
    text = Path(settings.__file__).read_text()
    assert f"# {' | '.join(opening.KINDS)}\n" in text
