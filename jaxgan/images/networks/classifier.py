"""Classifiers of images and points, whose last hidden layer gives the features that metrics use."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.images.networks.mlp import MLP
from jaxgan.nn.convolution import halve_images

PLAYER = "classifier"
"""The name of the player in the run of a classifier."""
SMALLEST = 7
"""The greatest side of the last feature map: 28 gives 14 and 7, 32 gives 16, 8 and 4."""
KERNEL = (5, 5)


class HalvingConv(nn.Module):
    """A convolution with stride 2.

    Attributes:
        features: channels of the result.
        dtype: the dtype of the computation.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns [B, ceil(H / 2), ceil(W / 2), features] for x [B, H, W, C]."""
        shape = (*KERNEL, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return halve_images(x, kernel) + bias


class CNN(nn.Module):
    """Strided convolutions with ReLUs, a hidden layer, and a linear layer.

    Attributes:
        features: channels of the first convolution; each further one has twice as many.
        hidden: units of the hidden layer.
        classes: the number of classes.
        dtype: the dtype of the convolutions and matrix products; parameters are float32.
    """

    features: int
    hidden: int
    classes: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns logits, float32 [B, classes], and the hidden layer, float32 [B, hidden].

        Args:
            x: float32 [B, H, W, C], from -1 to 1.
        """
        width = self.features
        while max(x.shape[1:3]) > SMALLEST:
            x = nn.relu(HalvingConv(width, self.dtype)(x))
            width *= 2
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x.reshape(len(x), -1)))
        logits = nn.Dense(self.classes, dtype=self.dtype)(x)
        return logits.astype(jnp.float32), x.astype(jnp.float32)


class MLPClassifier(nn.Module):
    """Fully connected layers with ReLUs, for points and small images.

    Attributes:
        widths: the widths of the hidden layers.
        classes: the number of classes.
        dtype: the dtype of the matrix products.
    """

    widths: Sequence[int]
    classes: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns logits, float32 [B, classes], and the last hidden layer, for x [B, ...]."""
        *before, last = self.widths
        hidden = nn.relu(MLP(before, last, dtype=self.dtype)(x))
        return nn.Dense(self.classes, dtype=self.dtype)(hidden).astype(jnp.float32), hidden


NETWORKS = ("cnn", "mlp")


def make_classifier(config: ConfigDict, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Returns the network of a config: (x [B, *shape]) -> logits [B, classes], features [B, d].

    Args:
        config: has `network`, one of `NETWORKS`, and the settings of each network.
        shape: the shape of an image or a point.
        classes: the number of classes.

    Raises:
        UserError: convolutions are asked for, but the data are points; or there is no layer.
    """
    dtype = jnp.dtype(config.dtype)
    if config.network == "mlp":
        if not config.mlp.widths:
            raise UserError("config.mlp.widths=(): features come from a hidden layer; give a width")
        return MLPClassifier(config.mlp.widths, classes, dtype)
    if len(shape) != 3:
        raise UserError(
            f"config.network={config.network}: the data are points, and convolutional networks "
            "need images; choose mlp, or other data"
        )
    return CNN(config.cnn.features, config.cnn.hidden, classes, dtype)


def classifier_of(params: PyTree) -> nn.Module:
    """Returns the network in float32 that parameters of a `CNN` or an `MLPClassifier` belong to."""

    def width(layer: PyTree) -> int:
        return int(layer["bias"].shape[0])

    if "HalvingConv_0" in params:
        names = "HalvingConv_0", "Dense_0", "Dense_1"
        features, hidden_units, classes = (width(params[name]) for name in names)
        return CNN(features, hidden_units, classes)
    hidden = params["MLP_0"]
    widths = [width(hidden[f"Dense_{number}"]) for number in range(len(hidden))]
    return MLPClassifier(widths, width(params["Dense_0"]))


CHOICES = {"network": NETWORKS}
RANGES = {"cnn.features": (1, math.inf), "cnn.hidden": (1, math.inf)}
