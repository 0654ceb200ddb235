"""Losses of a generator and a discriminator of sequences, as pure functions."""

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import PyTree
from jaxgan.methods import adversarial
from jaxgan.methods.reinforce import leave_one_out, reinforce
from jaxgan.nn.masked import masked_mean
from jaxgan.sequences.networks.discriminator import Discriminator, mixed_slopes
from jaxgan.sequences.networks.language_model import SequenceModel, valid_tokens, with_params


def negative_log_likelihood(
    model: SequenceModel, params: PyTree, tokens: jax.Array, inputs: jax.Array
) -> jax.Array:
    """Returns the mean [] of -log p over the tokens of a batch.

    Args:
        model: the language model.
        params: its parameters.
        tokens: int32 [B, T].
        inputs: int32 [B, T], what the model reads before each token.
    """
    log_probability = with_params(model.network, params)(tokens, inputs)
    return -masked_mean(log_probability, valid_tokens(tokens, model.ends))


def policy_loss(
    model: SequenceModel, params: PyTree, tokens: jax.Array, rewards: jax.Array, baseline: bool
) -> jax.Array:
    """Returns the loss [] whose gradient is minus that of the expected reward, summed over a batch.

    It is the policy gradient of Yu et al., equation 8 (REINFORCE).

    Args:
        model: the language model.
        params: its parameters.
        tokens: int32 [B, T], drawn by the model with these parameters.
        rewards: float32 [B, T], of each token.
        baseline: whether to subtract from each reward the mean of the other sequences' rewards at
            the same position.
    """
    valid = valid_tokens(tokens, model.ends)
    advantages = leave_one_out(rewards, valid, axis=0) if baseline else rewards
    terms = reinforce(with_params(model.network, params)(tokens), advantages)
    return jnp.sum(jnp.where(valid, terms, 0))


def classifier_loss(
    discriminator: Discriminator,
    params: PyTree,
    tokens: jax.Array,
    real: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns the cross entropy [] of real and generated, and the accuracy [].

    Args:
        discriminator: a network with two outputs.
        params: its parameters.
        tokens: int32 [B, T].
        real: bool [B], which sequences are real.
        key: the PRNG key of this batch.
    """
    logits = with_params(discriminator, params)(tokens, key)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, real.astype(jnp.int32))
    return jnp.mean(losses), jnp.mean((logits[:, 1] > logits[:, 0]) == real)


def critic_loss(
    critic: Discriminator,
    params: PyTree,
    tokens: jax.Array,
    real: jax.Array,
    key: jax.Array,
    penalty_weight: float,
) -> tuple[jax.Array, jax.Array]:
    """Returns the loss [] of a Wasserstein critic with gradient penalty, and its accuracy [].

    The accuracy is the share of sequences on the right side of the batch's mean value.

    Args:
        critic: a network with one output.
        params: its parameters.
        tokens: int32 [B, T].
        real: bool [B], which sequences are real.
        key: the PRNG key of this batch.
        penalty_weight: the weight of the gradient penalty (Gulrajani et al. 2017).
    """
    dropout_key, mixture_key = jax.random.split(key)
    values = with_params(critic, params)(tokens, dropout_key)[:, 0]
    penalty = adversarial.gradient_penalty(*mixed_slopes(critic, params, tokens, real, mixture_key))
    accuracy = jnp.mean((values > jnp.mean(values)) == real)
    return adversarial.wasserstein(values, real) + penalty_weight * penalty, accuracy


def discriminator_loss(
    discriminator: Discriminator,
    params: PyTree,
    tokens: jax.Array,
    real: jax.Array,
    key: jax.Array,
    output_penalty: float,
    gradient_penalty: float,
) -> tuple[jax.Array, jax.Array]:
    """Returns the loss [] of a classifier or a critic, by its number of outputs, and the accuracy.

    Args:
        discriminator: the network.
        params: its parameters.
        tokens: int32 [B, T].
        real: bool [B], which sequences are real.
        key: the PRNG key of this batch.
        output_penalty: weight of half the squared norm of the output layer, which is added.
        gradient_penalty: weight of a critic's gradient penalty.
    """
    if discriminator.outputs == 1:
        value, accuracy = critic_loss(discriminator, params, tokens, real, key, gradient_penalty)
    else:
        value, accuracy = classifier_loss(discriminator, params, tokens, real, key)
    squares = [jnp.sum(params[name] ** 2) for name in ("output_kernel", "output_bias")]
    return value + output_penalty * sum(squares) / 2, accuracy
