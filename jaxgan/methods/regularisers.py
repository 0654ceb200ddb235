"""Terms that GANs add to their losses, and changes to a discriminator's inputs and features."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree


def slopes_between(
    critic: Callable[[jax.Array], jax.Array], real: jax.Array, fake: jax.Array, key: jax.Array
) -> jax.Array:
    """Returns the norms [B] of a critic's gradient at random points between pairs of samples.

    Each point is e x + (1 - e) G(z) with its own e from U[0, 1] (Gulrajani et al. 2017, algorithm
    1). `adversarial.gradient_penalty` makes the penalty of them.

    Args:
        critic: float [B, ...] -> float [B]. An output must depend on its own sample only, so the
            critic has no batch normalisation.
        real: float [B, ...].
        fake: float [B, ...].
        key: the PRNG key of this batch.
    """
    share = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1), real.dtype)
    between = share * real + (1 - share) * fake
    gradient = jax.grad(lambda x: jnp.sum(critic(x)))(between)
    return norms(gradient)


def clip_weights(params: PyTree, limit: float) -> PyTree:
    """Returns parameters with every value clipped to -limit..limit (Arjovsky et al. 2017)."""
    return jax.tree.map(lambda x: jnp.clip(x, -limit, limit), params)


def instance_noise(samples: jax.Array, sd: jax.Array | float, key: jax.Array) -> jax.Array:
    """Returns samples [...] plus Gaussian noise of standard deviation sd.

    Arjovsky and Bottou 2017, section 3, and Sønderby et al. 2017. Real and generated samples both
    get it, with different keys.
    """
    return samples + sd * jax.random.normal(key, samples.shape, samples.dtype)


def annealed(start: float, step: jax.Array | int, steps: int) -> jax.Array:
    """Returns a value [] that falls linearly from `start` at step 0 to 0 at `steps` and later."""
    return start * (jnp.maximum(steps - step, 0) / steps)


def pull_away(codes: jax.Array) -> jax.Array:
    """Returns the mean [] of the squared cosine over the pairs of different rows.

    It is 0 for orthogonal codes and 1 for codes of one direction, whatever their lengths (Zhao,
    Mathieu and LeCun 2017, section 2.4). A code of zeros is orthogonal to all others.

    Args:
        codes: float [B, C]; B is at least 2.
    """
    lengths = norms(codes)[:, None]
    unit = codes / jnp.where(lengths > 0, lengths, 1)
    cosines = jnp.matmul(unit, unit.T, precision="highest")
    count = len(codes)
    different = ~jnp.eye(count, dtype=bool)
    return jnp.sum(jnp.where(different, cosines**2, 0)) / (count * (count - 1))


def feature_matching(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Returns the squared distance [] between the mean features of two batches.

    Salimans et al. 2016, section 3.1.

    Args:
        real: float [B, ...], features of real samples from inside the discriminator.
        fake: float [B', ...], of generated ones.
    """
    return jnp.sum((jnp.mean(real, axis=0) - jnp.mean(fake, axis=0)) ** 2)


def minibatch_discrimination(projected: jax.Array) -> jax.Array:
    """Returns how close each sample is to all others of its batch, float [N, B].

    o[n, b] is the sum of exp(-|M[n, b] - M[i, b]|_1) over i other than n, as in the code of the
    authors of Salimans et al. 2016 (section 3.2). N equal samples give N - 1.

    Args:
        projected: float [N, B, C], the features of each sample times a learned tensor.
    """
    distance = jnp.sum(jnp.abs(projected[:, None] - projected[None]), axis=-1)
    other = ~jnp.eye(len(projected), dtype=bool)[..., None]
    return jnp.sum(jnp.where(other, jnp.exp(-distance), 0), axis=1)


def running_mean(mean: PyTree, params: PyTree, count: jax.Array | int) -> PyTree:
    """Returns the mean of `count` parameters, the last of which are `params`.

    Args:
        mean: the mean of the first count - 1 parameters; any finite values if count is 1.
        params: the parameters at this step, of the same structure.
        count: at least 1.
    """
    share = 1 / count
    return jax.tree.map(lambda old, new: (1 - share) * old + share * new, mean, params)


def historical_averaging(params: PyTree, mean: PyTree) -> jax.Array:
    """Returns the squared distance [] of parameters from their mean over the steps so far.

    Salimans et al. 2016, section 3.3. The mean, which `running_mean` keeps, is a constant under
    differentiation.
    """
    squares = jax.tree.map(lambda x, y: jnp.sum((x - jax.lax.stop_gradient(y)) ** 2), params, mean)
    return jax.tree.reduce(jnp.add, squares)


def average_historically(
    weight: float, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Returns the optimizer of a loss plus `weight` times `historical_averaging`.

    Its state holds the mean of all parameters so far.

    Args:
        weight: 0 or more; with 0 the optimizer is returned as it is.
        optimizer: the optimizer of the loss.
    """

    def init(params: PyTree) -> PyTree:
        return {"mean": jax.tree.map(jnp.zeros_like, params), "count": jnp.zeros((), jnp.int32)}

    def update(gradient: PyTree, state: PyTree, params: PyTree) -> tuple[PyTree, PyTree]:
        count = state["count"] + 1
        mean = running_mean(state["mean"], params, count)
        pull = jax.grad(historical_averaging)(params, mean)
        total = jax.tree.map(lambda of_loss, of_pull: of_loss + weight * of_pull, gradient, pull)
        return total, {"mean": mean, "count": count}

    if not weight:
        return optimizer
    return optax.chain(optax.GradientTransformation(init, update), optimizer)


def pack(samples: jax.Array, count: int) -> jax.Array:
    """Returns groups of samples, joined along the channels, for one decision of D on each group.

    PacGAN, Lin et al. 2018.

    Args:
        samples: float [B, ..., C].
        count: the number of samples in a group.

    Returns:
        float [B / count, ..., count C]: group i joins the samples i count to (i + 1) count - 1.

    Raises:
        UserError: B is not a multiple of count.
    """
    if len(samples) % count:
        raise UserError(
            f"config.packing={count}: a batch of {len(samples)} samples cannot be divided into "
            "groups of that size; make config.batch_size a multiple of it"
        )
    grouped = samples.reshape(-1, count, *samples.shape[1:])
    joined = jnp.moveaxis(grouped, 1, -2)
    return joined.reshape(*joined.shape[:-2], count * samples.shape[-1])


def norms(x: jax.Array) -> jax.Array:
    """Returns the Euclidean norms [B] of x [B, ...]; the derivative of a norm of 0 is 0."""
    squares = jnp.sum(x**2, axis=tuple(range(1, x.ndim)))
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
