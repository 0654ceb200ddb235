"""How the discriminator learns, in pure functions: as a classifier, or as a Wasserstein critic."""

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import Metrics, PyTree, RunState, descend
from jaxgan.sequences.language_model import bound
from jaxgan.sequences.system import DATA_STREAM, System, over, step_key


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
    """The loss [] of a Wasserstein critic with gradient penalty, and the share [] of it that ranks.

    Between sequences there is nothing to take a gradient at; the penalty is taken between their
    embeddings (Gulrajani et al. 2017, section 5, do the same between distributions of tokens).
    """
    apply = bound(system.discriminator, params)
    drop_key, place_key = jax.random.split(key)
    values = apply(tokens, drop_key)[:, 0]
    sign = jnp.where(labels, -1.0, 1.0)
    counts = jnp.where(labels, jnp.sum(labels), jnp.sum(~labels))
    distance = jnp.sum(sign * values / counts)
    embedded = apply(tokens, method="embed")
    share = jax.random.uniform(place_key, (len(tokens), 1, 1))
    between = share * embedded + (1 - share) * jnp.roll(embedded, 1, axis=0)
    gradient = jax.grad(lambda x: jnp.sum(apply(x, method="judge")))(between)
    norm = jnp.sqrt(jnp.sum(gradient**2, axis=(1, 2)) + 1e-12)
    threshold = jnp.mean(values)
    value = distance + system.gradient_penalty * jnp.mean((norm - 1) ** 2)
    return value, jnp.mean((values > threshold) == labels)
