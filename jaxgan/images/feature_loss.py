"""The spaces in which losses compare images: pixels, or feature maps of a fixed classifier."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.images.evaluation.trained_classifier import TrainedClassifier
from jaxgan.images.networks.classifier import HalvingConv

CHOICES = {"content": ("pixels", "features")}

Maps = Callable[[jax.Array], list[jax.Array]]
"""(images float32 [B, H, W, C] from -1 to 1) -> the images, then any maps, each float32
[B, h, w, c] of a layer that follows the one before; pure."""


def pixels(images: jax.Array) -> list[jax.Array]:
    """Returns the images; see `Maps`."""
    return [images]


def feature_maps(params: PyTree) -> Maps:
    """Returns a function that gives the images and the map after each convolution of a classifier.

    Args:
        params: the parameters of a `networks.classifier.CNN`.
    """

    def maps(images: jax.Array) -> list[jax.Array]:
        found = [images]
        while (name := f"HalvingConv_{len(found) - 1}") in params:
            layer = HalvingConv(params[name]["bias"].shape[0])
            made: Any = layer.apply({"params": params[name]}, found[-1])
            found.append(nn.relu(made))
        return found

    return maps


def make_maps(config: ConfigDict, classifier: TrainedClassifier | None) -> Maps:
    """Returns the function whose results the losses of a config compare.

    Args:
        config: has `content` and `features`.
        classifier: the classifier that `config.features` names, or None.

    Raises:
        UserError: features are asked for, and there is no classifier with convolutions.
    """
    if config.content == "pixels":
        return pixels
    if classifier is None:
        raise UserError(
            "config.content=features: compares the maps of a classifier; name the folder of a run "
            "of configs/classifier.py with config.features, or choose pixels"
        )
    params = jax.device_get(classifier.player.params)
    if "HalvingConv_0" not in params:
        raise UserError(
            f"config.features={config.features}: that classifier has no convolutions, whose maps "
            "config.content=features compares; train one with config.network=cnn"
        )
    return feature_maps(params)
