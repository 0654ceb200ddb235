"""What `jaxgan.load` returns for a generator of images, with a stand-in for the generator."""

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.arrays import ArraySampler, choose_labels


def drawn(labels, seed):
    return np.stack([labels, np.full_like(labels, seed)], axis=1)


def test_samples_have_all_classes_in_turn_or_one():
    sampler = ArraySampler(drawn, ["cat", "7"])
    assert sampler.classes == ("cat", "7")
    assert sampler(5).tolist() == [[0, 0], [1, 0], [0, 0], [1, 0], [0, 0]]
    assert sampler(2, 3, "cat").tolist() == [[0, 3], [0, 3]]
    assert sampler(2, label=7).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count=0: give a whole number, 1 or more"),
        ({"count": 2.5}, r"count=2\.5: give a whole number, 1 or more"),
        ({"count": 1, "seed": -1}, "seed=-1: give a whole number, 0 or more"),
        ({"count": 1, "label": "dog"}, "label=dog: choose one of cat, 7"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        ArraySampler(drawn, ["cat", "7"])(**arguments)


def test_a_generator_without_classes_refuses_a_label():
    with pytest.raises(UserError, match=r"^--label=cat: this system's generator has no classes$"):
        choose_labels(1, (), "cat", "--label")
