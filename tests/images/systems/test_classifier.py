"""The classifier: its loss by hand, its validation, and what it refuses."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import eval as evaluation
import sample
import train
from configs import classifier as classifier_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.state import make_player, make_run_state
from jaxgan.images.data.batches import Resident, to_floats
from jaxgan.images.networks.classifier import PLAYER, make_classifier
from jaxgan.images.systems import classifier
from jaxgan.recipes import make

TINY = "--config=configs/classifier.py:tiny"


def tiny_system(network="mlp", shape=(6, 6, 1), classes=3):
    config = classifier_config.get_config("tiny")
    config.network = network
    made = make_classifier(config, shape, classes)
    system = classifier.System(made, optax.adam(1e-2), average_decay=0.9)
    variables = jax.jit(made.init)(jax.random.key(0), jnp.zeros((1, *shape)))
    player = make_player(variables, system.optimizer, averaged=True)
    return system, make_run_state(jax.random.key(1), {PLAYER: player})


def bars(count):
    """Images with a bright bar in one of three places, which is the class."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 60, (count, 6, 6, 1), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, 2 * label : 2 * label + 2] = 255
    return Resident(jnp.asarray(images), jnp.asarray(labels, jnp.int32))


def test_the_loss_is_the_cross_entropy_of_the_batch():
    system, state = tiny_system()
    data, rows = bars(12), jnp.arange(8)[None]
    apply = jax.jit(system.network.apply)
    logits, _ = apply(state.players[PLAYER].variables, to_floats(data.values[:8]))
    logits, labels = np.asarray(logits, np.float64), np.asarray(data.labels[:8])
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(8), labels])
    step = jax.jit(functools.partial(classifier.step, system=system))
    _, metrics = step(state, rows, data)
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["accuracy"]) == np.mean(logits.argmax(axis=1) == labels)


@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_bars_are_learned(network):
    system, state = tiny_system(network)
    data, rows = bars(30), jnp.arange(24)[None]
    step = jax.jit(lambda state: classifier.step(state, rows, data, system=system))
    for _ in range(60):
        state, _ = step(state)
    logits, features = jax.jit(system.network.apply)(
        {"params": state.players[PLAYER].deployed}, to_floats(data.values[24:])
    )
    assert features.shape == (6, 8)
    assert features.min() >= 0
    assert classifier.accuracy(np.asarray(logits), np.asarray(data.labels[24:])) == 1


def test_the_hidden_layer_alone_decides_the_logits():
    system, state = tiny_system("cnn")
    params = state.players[PLAYER].params
    apply = jax.jit(system.network.apply)
    logits, features = apply({"params": params}, to_floats(bars(4).values))
    last = params["Dense_1"]
    by_hand = np.asarray(features) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(logits, by_hand, rtol=1e-4, atol=1e-5)


def test_images_without_a_label_do_not_count():
    logits = np.eye(3)[[0, 1, 2, 2]]
    assert classifier.accuracy(logits, np.array([0, 2, -1, 2])) == pytest.approx(2 / 3)


def test_only_labelled_images_are_learned_from():
    """Few labels leave most images without one; those must never be in a batch."""
    config = classifier_config.get_config("tiny")
    config.data.labelled = 10
    recipe = make(config, devices.make_mesh(1))
    (resident,) = recipe._shared
    batches = np.concatenate([np.ravel(batch) for batch in recipe._draw(1).batches])
    assert len(batches) == 24
    assert (np.asarray(resident.labels) >= 0).sum() == 10
    assert (np.asarray(resident.labels)[batches] >= 0).all()


def test_a_run_is_evaluated_but_does_not_sample(tmp_path, capsys):
    flags = ["--config.rounds=1", f"--workdir={tmp_path / 'run'}"]
    assert train.main([TINY, *flags]) == 0
    logged = read(tmp_path / "run")[-1]["eval/accuracy"]
    output = tmp_path / "measured"
    assert evaluation.main([f"--workdir={tmp_path / 'run'}", f"--output={output}"]) == 0
    summary = json.loads((output / "summary.json").read_text())
    assert summary == {"count": 32, "accuracy": pytest.approx(logged)}
    assert sample.main([f"--workdir={tmp_path / 'run'}", f"--output={output}"]) == 2
    assert "cannot sample; it can evaluate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "forest"}, "config.network=forest: choose one of cnn, mlp"),
        ({"data.kind": "ring", "network": "cnn"}, "config.network=cnn: the data are points"),
        ({"mlp.widths": ()}, r"config.mlp.widths=\(\): features come from"),
        ({"data.labelled": 10, "batch_size": 16}, "config.batch_size=16: only 10 training images"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = classifier_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))


def test_data_without_labels_are_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    config = classifier_config.get_config("tiny")
    config.data.kind, config.data.root = "points", str(tmp_path / "points.npy")
    with pytest.raises(UserError, match=r"config.data.kind=points: these data have no labels"):
        make(config, devices.make_mesh(1))
