"""DTN: its losses by hand, what a step moves, its total variation, and the classifier it keeps."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dtn as dtn_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images import translation
from jaxgan.images.networks.classifier import CNN, MLPClassifier, classifier_of
from jaxgan.images.systems import dtn
from jaxgan.recipes import make

SHAPE = (8, 8, 1)
PLAYERS = ("features", "generator", "discriminator")


def tiny_system(**values):
    config = dtn_config.get_config("tiny")
    config.update(values)
    system = dtn.make_system(config, SHAPE)
    classifier = MLPClassifier((6, 5), 3).init(jax.random.key(3), jnp.zeros((1, *SHAPE)))
    settings = {"system": system, "shape": SHAPE, "classifier": classifier["params"]}
    return system, jax.jit(functools.partial(dtn.initial, **settings))(jax.random.key(0))


def noise(seed):
    return jnp.tanh(jax.random.normal(jax.random.key(seed), (4, *SHAPE)))


def same(one, other, name):
    leaves = zip(*(jax.tree.leaves(each.players[name]) for each in (one, other)), strict=True)
    return all(np.array_equal(*pair) for pair in leaves)


def variation(images):
    """The mean length of the slope at a pixel that has a neighbour below and one to the right."""
    images = np.asarray(images, np.float64)
    found = [
        np.hypot(image[i + 1, j] - image[i, j], image[i, j + 1] - image[i, j])
        for image in images[..., 0]
        for i in range(7)
        for j in range(7)
    ]
    return np.mean(found)


def test_the_losses_of_both_steps_by_hand_and_what_they_move():
    weights = {"feature_weight": 7.0, "identity_weight": 3.0, "variation_weight": 0.5}
    system, state = tiny_system(direction="b_to_a", **weights)
    x, y = noise(1), noise(2)

    @jax.jit
    def outputs(state):
        f, g, d = (state.players[name].variables for name in PLAYERS)

        def encode(images):
            return MLPClassifier((6, 5), 3).apply(f, images)[1]

        def generate(images):
            return system.generator.apply(g, encode(images), mutable=["batch_stats"])[0]

        of_x, of_y = generate(x), generate(y)
        judged = [
            jax.nn.softmax(system.discriminator.apply(d, each, mutable=["batch_stats"])[0])
            for each in (of_x, of_y, y)
        ]
        return of_x, of_y, encode(x), encode(of_x), judged

    *_, judged = outputs(state)
    step = jax.jit(functools.partial(dtn.discriminator_step, system=system))
    moved, metrics = step(state, x, y)
    expected = -sum(np.log(judged[kind][:, kind]).mean() for kind in range(3))
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert [same(state, moved, name) for name in PLAYERS] == [True, True, False]

    of_x, of_y, code_x, code_of_x, judged = outputs(moved)
    step = jax.jit(functools.partial(dtn.generator_step, system=system))
    after, metrics = step(moved, x, y)
    kept = float(np.square(code_x - code_of_x).mean())
    identity = float(np.square(y - of_y).mean())
    assert float(metrics["features"]) == pytest.approx(kept, rel=1e-4)
    assert float(metrics["identity"]) == pytest.approx(identity, rel=1e-4)
    expected = -sum(np.log(each[:, 2]).mean() for each in judged[:2])
    expected += 7 * kept + 3 * identity + 0.5 * variation(of_x)
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)
    assert [same(moved, after, name) for name in PLAYERS] == [True, False, True]


def test_total_variation_is_in_the_paper_and_left_out_for_digits_only():
    images = noise(5)
    assert float(dtn.total_variation(images)) == pytest.approx(variation(images), rel=1e-4)
    # Also where an image is flat, its gradient is a number.
    assert np.isfinite(jax.grad(dtn.total_variation)(jnp.zeros((1, *SHAPE)))).all()
    assert dtn_config.get_config().variation_weight == 0


@pytest.mark.parametrize("network", [CNN(2, 3, 4), MLPClassifier((5, 6), 4)])
def test_a_classifier_is_known_by_its_parameters(network):
    x = noise(6)
    variables = jax.jit(network.init)(jax.random.key(0), x)
    found = classifier_of(variables["params"])
    for one, other in zip(network.apply(variables, x), found.apply(variables, x), strict=True):
        np.testing.assert_array_equal(one, other)


def test_f_is_the_classifier_of_the_config(monkeypatch):
    trained = CNN(2, 3, 4).init(jax.random.key(1), jnp.zeros((1, 28, 28, 1)))["params"]
    asked = []

    def features_classifier(config, shape, mesh):
        asked.append((config.features, shape))
        return SimpleNamespace(player=SimpleNamespace(params=trained), files={})

    monkeypatch.setattr(translation, "features_classifier", features_classifier)
    config = dtn_config.get_config("tiny")
    config.update({"features": "classifier", "untrained": False})
    state = make(config, devices.make_mesh(1)).init(jax.random.key(0))
    assert asked == [("classifier", (28, 28, 1))]
    found = state.players["features"].params
    for one, other in zip(*map(jax.tree.leaves, (trained, found)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_classifiers_that_cannot_be_used_are_refused(tmp_path):
    config = dtn_config.get_config("tiny")
    config.features = str(tmp_path)
    with pytest.raises(UserError, match=r"config.features='.*': f is a trained classifier"):
        make(config, devices.make_mesh(1))
    config.untrained = False
    config.features = ""
    with pytest.raises(UserError, match=r"config.features='': f is a trained classifier; name the"):
        make(config, devices.make_mesh(1))
    config.features = str(tmp_path)
    with pytest.raises(UserError, match=rf"config.features={tmp_path}: .*"):
        make(config, devices.make_mesh(1))
