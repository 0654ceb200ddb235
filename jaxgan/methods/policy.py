"""Proximal policy optimisation (Schulman et al. 2017) and the distributions of its policies.

Two kinds of policy are here. A categorical policy chooses one of A actions and gives their logits.
A Gaussian policy gives the mean of an action that has many cells, such as a mask, and draws every
cell from a normal distribution. The log ratio and the divergence are for policies that draw every
cell with the same fixed standard deviation.

The log ratio and the divergence of a Gaussian policy are sums over cells. With the 10^5 cells of a
mask the sum is so large that every ratio is clipped: at a standard deviation of 0.05, moving each
mean by 0.001 makes the log ratio vary by about 6. So the functions for Gaussian policies take a
`reduce`, which says what one action is: a sum over all cells is the ratio of whole actions, a mean
is the same with its exponent divided by the number of cells, and the identity clips each cell on
its own.

Noise that is drawn for every cell hardly changes a reward: its effects on the cells cancel out.
`block_means` and `repeat_blocks` make policies whose actions are the means of blocks of cells, so
that one draw moves a whole block.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Reduce = Callable[[jax.Array], jax.Array]
"""(a term for each cell, float32 [..., C...]) -> a term for each action, float32 [...]."""


def clipped_objective(log_ratio: jax.Array, advantages: jax.Array, clip: float) -> jax.Array:
    """Returns the terms [...] whose mean a policy ascends (Schulman et al. 2017, equation 7).

    At a log ratio of 0 their gradient is that of the policy gradient, so a single update on fresh
    actions is REINFORCE.

    Args:
        log_ratio: float32 [...], log pi(a | s) - log pi_old(a | s).
        advantages: float32 [...]; constants under differentiation.
        clip: epsilon. The gradient is 0 where the ratio has left [1 - epsilon, 1 + epsilon] in the
            direction that the advantage asks for.
    """
    ratio, advantages = jnp.exp(log_ratio), jax.lax.stop_gradient(advantages)
    return jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * advantages)


def clipped_value_loss(
    values: jax.Array, old_values: jax.Array, returns: jax.Array, clip: float
) -> jax.Array:
    """Returns half the squared error of values [...], which may move by no more than `clip`.

    The larger one of the errors of the value and of the clipped value counts, as in OpenAI's
    baselines; the paper does not have it.

    Args:
        values: float32 [...], which are learned.
        old_values: float32 [...], before the first update on this data.
        returns: float32 [...], what the values are to become.
        clip: the most that a value may differ from its old one.
    """
    clipped = old_values + jnp.clip(values - old_values, -clip, clip)
    return jnp.maximum(jnp.square(values - returns), jnp.square(clipped - returns)) / 2


def sampled_kl(log_ratio: jax.Array) -> jax.Array:
    """Returns terms [...] whose mean over actions of the old policy is KL(old || new).

    Each is (r - 1) - log r, which is never negative and varies less than -log r (Schulman 2020,
    "Approximating KL divergence").

    Args:
        log_ratio: float32 [...], log r = log pi(a | s) - log pi_old(a | s).
    """
    return jnp.expm1(log_ratio) - log_ratio


def categorical_log_probability(logits: jax.Array, actions: jax.Array) -> jax.Array:
    """Returns log pi(a | s), float32 [...].

    Args:
        logits: float32 [..., A].
        actions: int32 [...].
    """
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], axis=-1)[..., 0]


def categorical_entropy(logits: jax.Array) -> jax.Array:
    """Returns the entropy in nats of policies with logits [..., A], float32 [...]."""
    return -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), axis=-1)


def categorical_kl(logits: jax.Array, reference_logits: jax.Array) -> jax.Array:
    """Returns KL(pi || reference) in nats, float32 [...], of policies with logits [..., A]."""
    difference = jax.nn.log_softmax(logits) - jax.nn.log_softmax(reference_logits)
    return jnp.sum(jax.nn.softmax(logits) * difference, axis=-1)


def draw_gaussian(
    means: jax.Array, deviations: jax.Array | float, key: jax.Array, count: int
) -> jax.Array:
    """Returns `count` actions for each state, float32 [B, count, C...].

    They are constants under differentiation.

    Args:
        means: float32 [B, C...].
        deviations: standard deviations of the cells, broadcastable to the means.
        key: PRNG key.
        count: the number of actions.
    """
    noise = jax.random.normal(key, (len(means), count, *means.shape[1:]))
    deviations = jnp.broadcast_to(deviations, means.shape)
    return jax.lax.stop_gradient(means[:, None] + deviations[:, None] * noise)


def gaussian_log_ratio(
    actions: jax.Array, means: jax.Array, old_means: jax.Array, deviation: float, reduce: Reduce
) -> jax.Array:
    """Returns log pi(a | s) - log pi_old(a | s) of policies with equal deviations, float32 [...].

    A cell's term is (|a - old mean|^2 - |a - mean|^2) / (2 sigma^2), computed from the difference
    of the means: squares of nearly equal numbers would cancel.

    Args:
        actions: float32 [..., C...], drawn from the old policy.
        means: float32 [..., C...], of the policy.
        old_means: float32 [..., C...], of the policy that acted.
        deviation: sigma, of every cell.
        reduce: sums or averages over the cells of an action; see the top of this file.
    """
    change = means - old_means
    return reduce(change * ((actions - old_means) - change / 2) / deviation**2)


def gaussian_kl(
    means: jax.Array, reference_means: jax.Array, deviation: float, reduce: Reduce
) -> jax.Array:
    """Returns KL(pi || reference) in nats of policies with equal deviations, float32 [...].

    A cell's term is |mean - reference mean|^2 / (2 sigma^2), the same in both directions.

    Args:
        means: float32 [..., C...], of the policy.
        reference_means: float32 [..., C...].
        deviation: sigma, of every cell.
        reduce: sums or averages over the cells of an action; see the top of this file.
    """
    return reduce(jnp.square(means - reference_means) / (2 * deviation**2))


def block_means(
    cells: jax.Array, valid: jax.Array, block: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Returns the means of cells over blocks [..., F', N'], and which blocks are not only padding.

    Args:
        cells: float32 [..., F, N].
        valid: bool, broadcastable to the cells; false for padding, which has no part in the means.
        block: how many cells a block has in each of the two directions; 0 for all of them. Blocks
            at the ends may have fewer, so F' = F / block[0], rounded up.

    Returns:
        The means, 0 where a block is only padding, and bool [..., F', N'].
    """
    valid = jnp.broadcast_to(valid, cells.shape)
    total = _sum_blocks(jnp.where(valid, cells, 0), block)
    count = _sum_blocks(valid.astype(cells.dtype), block)
    return total / jnp.maximum(count, 1), count > 0


def repeat_blocks(blocks: jax.Array, block: tuple[int, int], shape: Sequence[int]) -> jax.Array:
    """Returns cells [..., F, N] that have the values of their blocks.

    Args:
        blocks: [..., F', N'].
        block: as for `block_means`.
        shape: (F, N).
    """
    for axis, size, count in zip((-2, -1), block, shape, strict=True):
        blocks = jnp.repeat(blocks, size or count, axis=axis)
    return blocks[..., : shape[0], : shape[1]]


def _sum_blocks(cells: jax.Array, block: tuple[int, int]) -> jax.Array:
    """Returns the sums of cells [..., F, N] over blocks, [..., F', N']."""
    *front, frames, bins = cells.shape
    rows, columns = block[0] or frames, block[1] or bins
    padding = [(0, 0)] * len(front) + [(0, -frames % rows), (0, -bins % columns)]
    padded = jnp.pad(cells, padding)
    shape = (*front, -(-frames // rows), rows, -(-bins // columns), columns)
    return jnp.sum(padded.reshape(shape), axis=(-3, -1))
