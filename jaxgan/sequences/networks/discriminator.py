"""The discriminator of SeqGAN: convolutions over time, and one highway layer.

Kim, EMNLP 2014; Zhang and LeCun 2015; Srivastava, Greff and Schmidhuber 2015; Yu et al., AAAI 2017.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nn.convolution import highest_over_time


class Discriminator(nn.Module):
    """Logits, or a critic's value, of whole sequences.

    Embedding; for every width a convolution over time, ReLU and the maximum over time; one highway
    layer; dropout; one dense layer. First values as the authors': the embedding uniform in -1..1,
    kernels from a normal distribution of deviation 0.1 cut at two deviations, biases 0.1; the
    highway layer's kernels Glorot-uniform and its biases 0.

    Attributes:
        vocabulary: V, tokens.
        embedding: E, numbers for a token.
        widths: of the convolutions, in tokens; none may be longer than the sequences.
        filters: of each convolution.
        dropout: share of features that are set to 0 in training.
        outputs: numbers for a sequence: 2 logits (generated, real), or 1 value of a critic.
        dtype: of the products; parameters and results are float32.
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
        """How many there are."""
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
        # Side by side: what the layer makes, and its gate.
        size = self.features

        def two(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            halves = [glorot(part, (size, size)) for part in jax.random.split(key)]
            return jnp.concatenate(halves, axis=1).reshape(shape)

        self.highway_kernel = self.param("highway_kernel", two, (size, 2 * size))
        self.highway_bias = self.param("highway_bias", zeros, (2 * size,))
        self.output_kernel = self.param("output_kernel", kernel, (size, self.outputs))
        self.output_bias = self.param("output_bias", bias, (self.outputs,))

    def __call__(self, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """float32 [B, outputs] of tokens int32 [B, T]; with a key, of training: with dropout."""
        return self.judge(self.embed(tokens), key)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """int32 [B, T] -> float32 [B, T, E]."""
        return self.table[tokens]

    def judge(self, embedded: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """As `__call__`, of float32 [B, T, E]."""
        embedded = embedded.astype(self.dtype)
        kernels = [kernel.astype(self.dtype) for kernel, _ in self.convolutions]
        highest = jnp.concatenate(highest_over_time(embedded, kernels), axis=1)
        bias = jnp.concatenate([bias for _, bias in self.convolutions])
        # ReLU and an added constant keep the order: they can follow the maximum.
        features = jax.nn.relu(highest + bias.astype(self.dtype))
        mixed = features @ self.highway_kernel.astype(self.dtype)
        mixed = mixed.astype(jnp.float32) + self.highway_bias
        made, gate = jnp.split(mixed, 2, axis=1)
        gate = jax.nn.sigmoid(gate)
        features = gate * jax.nn.relu(made) + (1 - gate) * features.astype(jnp.float32)
        if key is not None and self.dropout:
            kept = jax.random.bernoulli(key, 1 - self.dropout, features.shape)
            # Otherwise XLA draws it anew for every use, some in the loops of other arrays.
            kept = jax.lax.optimization_barrier(kept)
            features = jnp.where(kept, features / (1 - self.dropout), 0)
        return features @ self.output_kernel + self.output_bias


def _signed(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
