"""The discriminator of SeqGAN: convolutions over time and one highway layer.

Kim, EMNLP 2014; Zhang and LeCun 2015; Srivastava, Greff and Schmidhuber 2015; Yu et al., AAAI 2017.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.nn.convolution import highest_over_time
from jaxgan.sequences.networks.language_model import with_params


class Discriminator(nn.Module):
    """Computes two logits, or a critic's value, for whole sequences.

    The layers are: embedding; for every width a convolution over time, ReLU and the maximum over
    time; one highway layer; dropout; one dense layer. The initial values follow the authors' code:
    the embedding is uniform in -1..1; kernels are normal with standard deviation 0.1, truncated at
    two deviations; biases are 0.1; the highway layer's kernels are Glorot-uniform, its biases 0.

    Attributes:
        vocabulary: V, the number of tokens.
        embedding: E, the size of a token's embedding.
        widths: the widths of the convolutions, in tokens; none may be longer than the sequences.
        filters: the number of filters of each convolution.
        dropout: share of the features that are set to 0 in training.
        outputs: 2 for logits (generated, real), 1 for a critic's value.
        dtype: the dtype of the matrix products; parameters and results are float32.
    """

    vocabulary: int
    embedding: int
    widths: tuple[int, ...]
    filters: tuple[int, ...]
    dropout: float
    outputs: int = 2
    dtype: jnp.dtype = jnp.float32

    @property
    def features(self) -> int:
        """The number of features of a sequence."""
        return sum(self.filters)

    def setup(self) -> None:
        """Declares the parameters."""
        kernel = nn.initializers.truncated_normal(0.1)
        bias = nn.initializers.constant(0.1)
        glorot, zeros = nn.initializers.glorot_uniform(), nn.initializers.zeros
        self.table = self.param("embedding", _signed, (self.vocabulary, self.embedding))
        self.convolutions = [
            (
                self.param(f"kernel_{width}", kernel, (width, self.embedding, filters)),
                self.param(f"bias_{width}", bias, (filters,)),
            )
            for width, filters in zip(self.widths, self.filters, strict=True)
        ]
        size = self.features

        def two_glorot(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            halves = [glorot(part, (size, size)) for part in jax.random.split(key)]
            return jnp.concatenate(halves, axis=1).reshape(shape)

        # The transform and the gate, side by side.
        self.highway_kernel = self.param("highway_kernel", two_glorot, (size, 2 * size))
        self.highway_bias = self.param("highway_bias", zeros, (2 * size,))
        self.output_kernel = self.param("output_kernel", kernel, (size, self.outputs))
        self.output_bias = self.param("output_bias", bias, (self.outputs,))

    def __call__(self, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Returns float32 [B, outputs] for tokens int32 [B, T]; with a key, dropout is applied."""
        return self.from_embedded(self.embed(tokens), key)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """Returns the embeddings float32 [B, T, E] of tokens int32 [B, T]."""
        return self.table[tokens]

    def from_embedded(self, embedded: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Does the same as `__call__` for embeddings float32 [B, T, E]."""
        embedded = embedded.astype(self.dtype)
        kernels = [kernel.astype(self.dtype) for kernel, _ in self.convolutions]
        highest = jnp.concatenate(highest_over_time(embedded, kernels), axis=1)
        bias = jnp.concatenate([bias for _, bias in self.convolutions])
        # ReLU and an added constant keep the order, so they can follow the maximum.
        features = jax.nn.relu(highest + bias.astype(self.dtype))
        mixed = features @ self.highway_kernel.astype(self.dtype)
        mixed = mixed.astype(jnp.float32) + self.highway_bias
        transform, gate = jnp.split(mixed, 2, axis=1)
        gate = jax.nn.sigmoid(gate)
        features = gate * jax.nn.relu(transform) + (1 - gate) * features.astype(jnp.float32)
        if key is not None and self.dropout:
            kept = jax.random.bernoulli(key, 1 - self.dropout, features.shape)
            # Otherwise XLA computes it again for every use, some in the loops of other arrays.
            kept = jax.lax.optimization_barrier(kept)
            features = jnp.where(kept, features / (1 - self.dropout), 0)
        return features @ self.output_kernel + self.output_bias


def realness(outputs: jax.Array) -> jax.Array:
    """Returns the log odds of "real", or a critic's value, float32 [B] from [B, outputs]."""
    return outputs[:, -1] - (outputs[:, 0] if outputs.shape[1] == 2 else 0)


def to_unit_interval(values: jax.Array, discriminator: Discriminator) -> jax.Array:
    """Maps `realness`, float32 [...], to judgements in 0..1.

    They are the probabilities of "real"; those of a critic are its values between the lowest and
    the highest of the array.
    """
    if discriminator.outputs == 2:
        return jax.nn.sigmoid(values)
    lowest, highest = jnp.min(values), jnp.max(values)
    return (values - lowest) / jnp.maximum(highest - lowest, 1e-6)


def slopes(critic: Discriminator, params: PyTree, embedded: jax.Array) -> jax.Array:
    """Returns the norms of a critic's gradient with respect to distributions of tokens, [B].

    The gradient is not taken with respect to the embedding: its table is learned, and a critic that
    can choose the unit of length can have any slope.

    Args:
        critic: the network.
        params: its parameters.
        embedded: float32 [B, T, E], the embeddings of distributions [B, T, V].
    """
    table = params["embedding"]
    call = with_params(critic, params)
    gradient = jax.grad(lambda x: jnp.sum(call(x, method="from_embedded")))(embedded)
    # By the chain rule the gradient is g table^T, [B, T, V], which is large for a large vocabulary.
    # The sum of its squares is the trace of g (table^T table) g^T, which needs E numbers per token.
    gram = jnp.matmul(table.T, table, precision="highest")
    images = jnp.matmul(gradient, gram, precision="highest")
    # The sum is 0 for a gradient that no embedding contributes to, and rounding can make it less.
    squares = jnp.maximum(jnp.sum(gradient * images, axis=(1, 2)), 0)
    return jnp.sqrt(squares + 1e-12)


def mixed_slopes(
    critic: Discriminator, params: PyTree, tokens: jax.Array, real: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the slopes of a critic between real and generated sequences, and which are valid.

    There is no gradient at a point between two sequences; it is taken at mixtures of two, one
    distribution of tokens per position (Gulrajani et al. 2017, section 5).

    Args:
        critic: the network.
        params: its parameters.
        tokens: int32 [B, T].
        real: bool [B], which sequences are real.
        key: the PRNG key of this batch.

    Returns:
        float32 [B // 2], the slopes; and bool [B // 2], false where `pairs` ran out of a kind.
    """
    of_real, of_generated, valid = pairs(real)
    embedded = with_params(critic, params)(tokens, method="embed")
    share = jax.random.uniform(key, (len(of_real), 1, 1))
    # The embedding is linear in the distribution, so it maps a mixture to the mixture of the two.
    between = share * embedded[of_real] + (1 - share) * embedded[of_generated]
    return slopes(critic, params, between), valid


def pairs(real: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pairs real with generated sequences; no sequence is in two pairs.

    Args:
        real: bool [B], which sequences are real.

    Returns:
        int32 [B // 2] twice, the real and the generated sequence of every pair; and bool [B // 2],
        whether it is one: if one kind is more frequent, the last pairs contain only that kind.
    """
    ordered = jnp.argsort(real)
    count = len(real) // 2
    of_generated, of_real = ordered[:count], ordered[::-1][:count]
    return of_real, of_generated, real[of_real] & ~real[of_generated]


def _signed(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
