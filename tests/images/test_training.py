"""Batches of labelled samples beside those of all data."""

import jax
import numpy as np
import pytest

from configs import improved_gan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import make_run_state
from jaxgan.core.timer import Timer
from jaxgan.images.training import Rows, open_training


def few_labels(labelled=16, size=8, kind="ring"):
    config = configs.get_config("tiny")
    config.data.labelled, config.labelled_batch_size, config.data.kind = labelled, size, kind
    return config


def make(config, count=1, **options):
    training = open_training(config, devices.make_mesh(count))
    nothing = {"init": lambda key: make_run_state(key, {}), "moves": (), "step": None}
    evaluate = {"evaluate": lambda state, number: None}
    return training, training.recipe(**(nothing | evaluate | options))


def test_a_step_receives_rows_of_all_data_and_rows_with_labels():
    def step(state, rows, data):
        assert isinstance(rows, Rows)
        assert (rows.all.shape, rows.labelled.shape) == ((2, 8), (8,))
        labels = data.labels[rows.labelled]
        counts = {f"class_{i}": jax.numpy.sum(labels == i) for i in range(8)}
        unknown = {"unknown": jax.numpy.sum(data.labels[rows.all] < 0)}
        return state, {name: 1.0 * value for name, value in (counts | unknown).items()}

    config = few_labels()
    config.steps_per_round = 4
    _, recipe = make(config, step=step, minibatches=2, labelled=8)
    state = recipe.init(jax.random.key(0))
    _, _, metrics = recipe.round(state, (), 1, Timer())
    # Four batches of 8 are two epochs of 16 labelled points, two of each mode.
    for number in range(8):
        assert float(metrics[f"class_{number}"]) == pytest.approx(2 * 2 / 4)
    assert float(metrics["unknown"]) == pytest.approx(16 * 48 / 64, rel=0.2)


def test_examples_are_scaled_training_samples():
    training, _ = make(few_labels())
    chosen = training.examples(1000)
    order = np.lexsort(chosen.T), np.lexsort(training.train.values.T)
    np.testing.assert_array_equal(chosen[order[0]], training.train.values[order[1]])
    assert training.examples(5).shape == (5, 2)
    glyphs, _ = make(few_labels(20, kind="glyphs"))
    assert glyphs.examples(64).min() == -1
    assert glyphs.examples(64).max() == 1


@pytest.mark.parametrize(
    ("labelled", "size", "count", "message"),
    [
        (8, 9, 1, "config.labelled_batch_size=9: only 8 of the training set have a label"),
        (16, 9, 8, "config.labelled_batch_size=9: must be a multiple of the 8 devices"),
    ],
)
def test_labelled_batches_that_cannot_be_drawn(labelled, size, count, message):
    with pytest.raises(UserError, match=message):
        make(few_labels(labelled, size), count, labelled=size)


def test_data_without_labels(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    config = few_labels(0, 8, "points")
    config.data.root = str(tmp_path / "points.npy")
    with pytest.raises(UserError, match=r"config.data.kind=points: these data have no labels"):
        make(config, labelled=8)
