"""What a recurrent network's outputs say about the next value: a character, or a point of a pen."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from jaxgan.sequences.networks.sampling import draw

LOG_TWO_PI = math.log(2 * math.pi)


@dataclasses.dataclass(frozen=True)
class Characters:
    """A softmax over the characters of a text (Graves 2013, section 2.2). Values are int32.

    Attributes:
        size: V, different characters.
        measure: the name of -log p in metrics.
        scale: how many units of the measure a nat is.
    """

    size: int
    measure: ClassVar[str] = "bits_per_character"
    scale: ClassVar[float] = 1 / math.log(2)

    @property
    def outputs(self) -> int:
        """The size of an output of the network."""
        return self.size

    @property
    def reads(self) -> int:
        """The size of an input of the network."""
        return self.size

    def inputs(self, values: jax.Array) -> jax.Array:
        """Returns what the network reads, float32 [..., V], for characters int32 [...]."""
        return jax.nn.one_hot(values, self.size)

    def nll(self, outputs: jax.Array, values: jax.Array) -> jax.Array:
        """Returns -log p in nats, float32 [...], of characters int32 [...].

        Args:
            outputs: float32 [..., V], of the network that has read what precedes them.
            values: the characters.
        """
        return optax.softmax_cross_entropy_with_integer_labels(outputs, values)

    def draw(self, key: jax.Array, outputs: jax.Array, temperature: jax.Array) -> jax.Array:
        """Returns one character for each output [..., V]; the temperature divides the logits."""
        return draw(outputs / temperature, jax.random.uniform(key, outputs.shape[:-1]))


@dataclasses.dataclass(frozen=True)
class PenPoints:
    """A mixture of bivariate Gaussians and a Bernoulli (Graves 2013, section 4.1).

    Values are float32 [..., 3]: the offset (x, y) from the point before, and 1 where the pen is
    lifted after the point. An output holds, in this order: M logits of the weights; M means of x
    and M of y; M logarithms of the deviations of x and M of y; M numbers whose tanh is the
    correlation; and the logit of lifting the pen.

    Attributes:
        components: M.
        measure: the name of -log p in metrics.
        scale: how many units of the measure a nat is.
    """

    components: int
    measure: ClassVar[str] = "nll"
    scale: ClassVar[float] = 1.0

    @property
    def outputs(self) -> int:
        """The size of an output of the network."""
        return 6 * self.components + 1

    @property
    def reads(self) -> int:
        """The size of an input of the network."""
        return 3

    def inputs(self, values: jax.Array) -> jax.Array:
        """Returns what the network reads: the values."""
        return values

    def nll(self, outputs: jax.Array, values: jax.Array) -> jax.Array:
        """Returns -log p of values [..., 3], in nats, float32 [...].

        Args:
            outputs: float32 [..., 6 M + 1], of the network that has read what precedes them.
            values: the points.
        """
        logits, pen = outputs[..., :-1], outputs[..., -1]
        log_pen = optax.sigmoid_binary_cross_entropy(pen, values[..., 2])
        return log_pen - log_density(logits, values[..., :2])

    def draw(self, key: jax.Array, outputs: jax.Array, bias: jax.Array) -> jax.Array:
        """Returns one point [..., 3] for each output [..., 6 M + 1].

        Args:
            key: the PRNG key of the draw.
            outputs: the outputs of the network.
            bias: 0 draws from the mixture. Above 0 likely points are preferred: the bias is
                subtracted from the logarithms of the deviations, and the logits of the weights are
                multiplied by 1 plus the bias (section 5.4).
        """
        component_key, normal_key, pen_key = jax.random.split(key, 3)
        weights, *parameters = jnp.split(outputs[..., :-1], 6, axis=-1)
        shape = outputs.shape[:-1]
        chosen = draw(weights * (1 + bias), jax.random.uniform(component_key, shape))
        mean_x, mean_y, log_x, log_y, angle = (
            jnp.take_along_axis(each, chosen[..., None], axis=-1)[..., 0] for each in parameters
        )
        normal = jax.random.normal(normal_key, (2, *shape))
        correlation = jnp.tanh(angle)
        y = correlation * normal[0] + jnp.sqrt(1 - correlation**2) * normal[1]
        pen = jax.random.uniform(pen_key, shape) < jax.nn.sigmoid(outputs[..., -1])
        x = mean_x + jnp.exp(log_x - bias) * normal[0]
        y = mean_y + jnp.exp(log_y - bias) * y
        return jnp.stack([x, y, pen.astype(x.dtype)], axis=-1)


Head = Characters | PenPoints
"""What the outputs of a network say."""


def log_density(mixture: jax.Array, offsets: jax.Array) -> jax.Array:
    """Returns the log density of a mixture of bivariate Gaussians [...] (equations 23 to 25).

    Args:
        mixture: [..., 6 M]: as in `PenPoints`, without the pen.
        offsets: [..., 2].
    """
    weights, mean_x, mean_y, log_x, log_y, angle = jnp.split(mixture, 6, axis=-1)
    x = (offsets[..., :1] - mean_x) * jnp.exp(-log_x)
    y = (offsets[..., 1:] - mean_y) * jnp.exp(-log_y)
    # log(1 - tanh(a)^2), without the rounding of 1 - tanh(a)^2 near zero.
    log_rest = 2 * (math.log(2) - angle - jax.nn.softplus(-2 * angle))
    squares = (x**2 + y**2 - 2 * jnp.tanh(angle) * x * y) * jnp.exp(-log_rest)
    components = -LOG_TWO_PI - log_x - log_y - log_rest / 2 - squares / 2
    found: jax.Array = jax.nn.logsumexp(jax.nn.log_softmax(weights) + components, axis=-1)
    return found
