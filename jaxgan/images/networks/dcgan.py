"""The convolutional networks of DCGAN (Radford, Metz and Chintala, ICLR 2016), for any image size.

The guidelines of the paper's section 3: strided convolutions instead of pooling; batch
normalisation everywhere except in the generator's last and the discriminator's first layer; ReLUs
and a tanh in the generator, LeakyReLUs of slope 0.2 in the discriminator; weights drawn from
N(0, 0.02).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nn.convolution import double_images, halve_images

SMALLEST = 4
"""The least side of a feature map, as in the paper (4 x 4 for images of 64 x 64)."""
KERNEL = (5, 5)
INIT = nn.initializers.normal(0.02)
SLOPE = 0.2


def sizes(side: int, smallest: int = SMALLEST) -> list[int]:
    """Returns the sides of the generator's feature maps, from the smallest to the image.

    Each is half of the next one, rounded up: 64 gives 4, 8, 16, 32, 64; 28 gives 4, 7, 14, 28.
    """
    found = [side]
    while found[0] > smallest:
        found.insert(0, -(-found[0] // 2))
    return found


class Doubling(nn.Module):
    """A transposed convolution with stride 2.

    Attributes:
        features: channels of the result.
        use_bias: whether a number is added to each channel.
        dtype: the dtype of the computation.
        kernel_size: the kernel size of the convolution.
    """

    features: int
    use_bias: bool
    dtype: jnp.dtype
    kernel_size: tuple[int, int] = KERNEL

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns [B, 2 H, 2 W, features] for x [B, H, W, C]."""
        kernel = self.param("kernel", INIT, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else 0.0
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return double_images(x, kernel) + bias


def halving(x: jax.Array, kernel: jax.Array, *_: object, **__: object) -> jax.Array:
    """Returns `halve_images`, for a flax.linen.Conv with stride 2; ignores further arguments."""
    return halve_images(x, kernel)


def normalise(kind: str, train: bool, dtype: jnp.dtype) -> Callable[[jax.Array], jax.Array]:
    """Returns a normalisation layer.

    Args:
        kind: "batch", "layer" (over all values of one image) or "none".
        train: batch normalisation uses the batch's own statistics, not the running ones.
        dtype: the dtype of the result.
    """
    if kind == "batch":
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=dtype)
    if kind == "layer":
        return nn.LayerNorm(reduction_axes=(1, 2, 3), dtype=dtype)
    return lambda x: x


class Generator(nn.Module):
    """Maps latent codes to images.

    Attributes:
        shape: (H, W, C) of an image, H equal to W.
        features: channels of the largest hidden map; each smaller map has twice as many. The paper
            has 128.
        normalisation: see `normalise`.
        dtype: the dtype of the convolutions.
        bounded: whether images end in a tanh.
    """

    shape: tuple[int, ...]
    features: int
    normalisation: str = "batch"
    dtype: jnp.dtype = jnp.float32
    bounded: bool = True

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = True) -> jax.Array:
        """Returns float32 [B, H, W, C], from -1 to 1 if bounded, for z [B, ...]."""
        sides = sizes(self.shape[0])
        channels = [self.features * 2**level for level in reversed(range(len(sides) - 1))]
        bias = self.normalisation == "none"
        x = z.reshape(len(z), -1).astype(self.dtype)
        x = nn.Dense(sides[0] ** 2 * channels[0], bias, self.dtype, kernel_init=INIT)(x)
        x = x.reshape(len(z), sides[0], sides[0], channels[0])
        x = nn.relu(normalise(self.normalisation, train, self.dtype)(x))
        widths = [*channels[1:], self.shape[-1]]
        for number, (side, width) in enumerate(zip(sides[1:], widths, strict=True)):
            last, name = side == sides[-1], f"ConvTranspose_{number}"  # as flax.linen calls it
            x = Doubling(width, bias or last, self.dtype, name=name)(x)[:, :side, :side]
            if not last:
                x = nn.relu(normalise(self.normalisation, train, self.dtype)(x))
        x = x.astype(jnp.float32)
        return jnp.tanh(x) if self.bounded else x


def smallest_map(
    x: jax.Array,
    features: int,
    normalisation: str,
    train: bool,
    dtype: jnp.dtype,
    bounded: Callable[[nn.Module], Callable[[jax.Array], jax.Array]] = lambda layer: layer,
) -> jax.Array:
    """Returns the smallest map that convolutions halve images to, [B, h, w, width].

    It makes the layers of the module whose compact method calls it.

    Args:
        x: images [B, H, W, C].
        features: channels of the first layer; each further layer has twice as many.
        normalisation: see `normalise`; the first layer has none.
        train: use the batch's own statistics.
        dtype: the dtype of the convolutions.
        bounded: wraps each convolution.
    """
    x = x.astype(dtype)
    for level in range(len(sizes(x.shape[1])) - 1):
        normal = normalisation if level else "none"
        layer = nn.Conv(
            features * 2**level,
            KERNEL,
            (2, 2),
            use_bias=normal == "none",
            dtype=dtype,
            kernel_init=INIT,
            conv_general_dilated=halving,
        )
        x = nn.leaky_relu(normalise(normal, train, dtype)(bounded(layer)(x)), SLOPE)
    return x


class Discriminator(nn.Module):
    """Maps images to numbers.

    Attributes:
        features: channels of the first layer; each further layer has twice as many. The paper has
            64 for images of 64 x 64.
        normalisation: see `normalise`.
        outputs: the number of outputs of the last layer.
        spectral: divide every kernel by its largest singular value (Miyato et al. 2018).
        dtype: the dtype of the convolutions.
    """

    features: int
    normalisation: str = "batch"
    outputs: int = 1
    spectral: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Returns the raw outputs, float32 [B], or [B, outputs] if there are several.

        Args:
            x: float32 [B, H, W, C].
            train: use the batch's own statistics, and update spectral norms.
        """
        bounded = functools.partial(self._bounded, train=train)
        x = smallest_map(x, self.features, self.normalisation, train, self.dtype, bounded)
        last = nn.Dense(self.outputs, dtype=self.dtype, kernel_init=INIT)
        x = bounded(last)(x.reshape(len(x), -1)).astype(jnp.float32)
        return x[:, 0] if self.outputs == 1 else x

    def _bounded(self, layer: nn.Module, train: bool) -> Callable[[jax.Array], jax.Array]:
        if not self.spectral:
            return layer
        bounded = nn.SpectralNorm(layer)
        return lambda x: bounded(x, update_stats=train)
