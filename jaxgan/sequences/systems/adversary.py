"""How the discriminator learns, in pure functions: as a classifier, or as a Wasserstein critic."""

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import Metrics, PyTree, RunState, descend
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.language_model import bound
from jaxgan.sequences.systems.system import DATA_STREAM, System, over, step_key


def discriminator_epoch(
    run_state: RunState, real: jax.Array, made: jax.Array, order: jax.Array, *, system: System
) -> tuple[RunState, Metrics]:
    """D moves once for every batch.

    Cross entropy of real (1) and generated (0) and the penalty of its output layer; a critic: the
    mean of generated less that of real, and the gradient penalty.

    Args:
        run_state: donated.
        real: int32 [N, T].
        made: int32 [M, T].
        order: int32 [B, S], the sequences of S batches; those from N on are of `made`.
        system: what is fixed.

    Returns:
        The state, and the means of `loss` [] and `accuracy` [].
    """
    both = jnp.concatenate([real, made])
    judged = critic_loss if system.discriminator.outputs == 1 else cross_entropy

    def step(run_state: RunState, chosen: jax.Array) -> tuple[RunState, Metrics]:
        tokens, labels = both[chosen], chosen < len(real)
        key = step_key(run_state, DATA_STREAM)

        def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
            value, accuracy = judged(system, params, tokens, labels, key)
            squares = [jnp.sum(params[name] ** 2) for name in ("output_kernel", "output_bias")]
            value = value + system.penalty * sum(squares) / 2
            return value, (state, {"loss": value, "accuracy": accuracy})

        return descend(run_state, "discriminator", loss, system.discriminator_optimizer)

    return over(step, run_state, order)


def cross_entropy(
    system: System, params: PyTree, tokens: jax.Array, labels: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss [] of a discriminator with two logits, and its accuracy []."""
    logits = bound(system.discriminator, params)(tokens, key)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels.astype(jnp.int32))
    right = (logits[:, 1] > logits[:, 0]) == labels
    return jnp.mean(losses), jnp.mean(right)


def critic_loss(
    system: System, params: PyTree, tokens: jax.Array, labels: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss [] of a Wasserstein critic with gradient penalty, and the share [] that it ranks."""
    drop_key, place_key = jax.random.split(key)
    values = bound(system.discriminator, params)(tokens, drop_key)[:, 0]
    sign = jnp.where(labels, -1.0, 1.0)
    counts = jnp.where(labels, jnp.sum(labels), jnp.sum(~labels))
    distance = jnp.sum(sign * values / counts)
    threshold = jnp.mean(values)
    penalty = gradient_penalty(system.discriminator, params, tokens, labels, place_key)
    value = distance + system.gradient_penalty * penalty
    return value, jnp.mean((values > threshold) == labels)


def gradient_penalty(
    critic: Discriminator, params: PyTree, tokens: jax.Array, labels: jax.Array, key: jax.Array
) -> jax.Array:
    """The mean [] of (slope - 1)^2 between real and generated sequences; 0 without such a pair.

    Between sequences there is nothing to take a gradient at; the penalty is taken at mixtures of
    two, a distribution of tokens for every place (Gulrajani et al. 2017, section 5).
    """
    real, made, mixed = pairs(labels)
    embedded = bound(critic, params)(tokens, method="embed")
    share = jax.random.uniform(key, (len(real), 1, 1))
    # The embedding is linear in the distribution: that of a mixture is the mixture of the two.
    between = share * embedded[real] + (1 - share) * embedded[made]
    penalties = (slopes(critic, params, between) - 1) ** 2
    return jnp.sum(jnp.where(mixed, penalties, 0)) / jnp.maximum(jnp.sum(mixed), 1)


def pairs(labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pairs of a real and a generated sequence, none of which is in two.

    Args:
        labels: bool [B], which sequences are real.

    Returns:
        int32 [B // 2] twice, the real and the generated sequence of every pair; and bool [B // 2],
        whether it is one: where there are more of one kind, the last pairs are of that kind alone.
    """
    ordered = jnp.argsort(labels)
    count = len(labels) // 2
    made, real = ordered[:count], ordered[::-1][:count]
    return real, made, labels[real] & ~labels[made]


def slopes(critic: Discriminator, params: PyTree, embedded: jax.Array) -> jax.Array:
    """Norms of a critic's gradient with respect to distributions of tokens: float32 [B].

    Not with respect to the embedding: its table is learned, and a critic that may choose the unit
    of length has no slope to speak of.

    Args:
        critic: the network.
        params: its parameters.
        embedded: float32 [B, T, E], of distributions [B, T, V].
    """
    table = params["embedding"]
    gradient = jax.grad(lambda x: jnp.sum(bound(critic, params)(x, method="judge")))(embedded)
    # By the chain rule the gradient is g table^T, [B, T, V]: large for a large vocabulary. The sum
    # of its squares is the trace of g (table^T table) g^T, which needs E numbers for a token.
    gram = jnp.matmul(table.T, table, precision="highest")
    images = jnp.matmul(gradient, gram, precision="highest")
    # A gradient that no token has a part in has a sum of 0, and by rounding one below.
    squares = jnp.maximum(jnp.sum(gradient * images, axis=(1, 2)), 0)
    return jnp.sqrt(squares + 1e-12)
