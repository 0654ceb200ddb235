"""What content losses compare images in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.trained_classifier import TrainedClassifier
from jaxgan.images.feature_loss import feature_maps, make_maps, pixels
from jaxgan.images.networks.classifier import CNN, HalvingConv, MLPClassifier

IMAGES = jnp.tanh(jax.random.normal(jax.random.key(0), (2, 12, 12, 1)))


def classifier(network):
    variables = jax.jit(network.init)(jax.random.key(1), IMAGES)
    player = jax.tree.map(np.asarray, variables["params"])

    class Player:
        params = player

    return TrainedClassifier(None, Player, (12, 12, 1), ("a", "b"), 4, "x_cnn", "0")


def settings(**values):
    return ConfigDict({"content": "features", "features": "runs/x", **values})


def test_the_maps_are_those_of_the_classifier_after_its_relus():
    network = CNN(features=3, hidden=4, classes=2)
    trained = classifier(network)
    maps = make_maps(settings(), trained)(IMAGES)
    _, kept = network.apply(
        {"params": trained.player.params},
        IMAGES,
        capture_intermediates=lambda module, _: isinstance(module, HalvingConv),
        mutable=["intermediates"],
    )
    np.testing.assert_array_equal(maps[0], IMAGES)
    [inside] = kept["intermediates"]["HalvingConv_0"]["__call__"]
    assert len(maps) == 2
    np.testing.assert_allclose(maps[1], np.maximum(inside, 0), rtol=1e-5, atol=1e-6)
    assert maps[1].shape == (2, 6, 6, 3)


def test_pixels_need_no_classifier():
    assert make_maps(settings(content="pixels", features=""), None) is pixels
    [same] = pixels(IMAGES)
    assert same is IMAGES


def test_a_classifier_with_convolutions_is_needed():
    with pytest.raises(UserError, match=r"content=features: .* name the folder of a run of"):
        make_maps(settings(features=""), None)
    trained = classifier(MLPClassifier((4,), 2))
    with pytest.raises(UserError, match=r"features=runs/x: that classifier has no convolutions"):
        make_maps(settings(), trained)
    assert feature_maps({})(IMAGES)[0] is IMAGES
