import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import all_sequences, initial_variables, make_discriminator, plain_discriminator

from configs import seqgan as seqgan_config
from jaxgan.sequences.networks.discriminator import Discriminator, pairs, slopes

DATA = all_sequences(3, 3)


def test_logits_by_hand():
    network = make_discriminator()
    variables = initial_variables(network, 3)
    found = jax.jit(network.apply)(variables, DATA)
    expected = [plain_discriminator(variables["params"], row) for row in DATA]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_paper_s_discriminator_has_its_size():
    sizes = seqgan_config.get_config().discriminator
    network = Discriminator(5000, **sizes)
    assert len(sizes.widths) == 12
    assert network.features == 1720
    tokens = jax.ShapeDtypeStruct((1, 20), jnp.int32)
    params = jax.eval_shape(network.init, jax.random.key(0), tokens)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    convolutions = sum(w * 64 * f + f for w, f in zip(sizes.widths, sizes.filters, strict=True))
    assert count == 5000 * 64 + convolutions + 2 * (1720**2 + 1720) + 1720 * 2 + 2


def test_dropout_keeps_the_mean_and_needs_a_key():
    network = Discriminator(3, 4, (1, 2), (3, 4), 0.5)
    variables = initial_variables(network, 3)
    tokens = jnp.repeat(jnp.asarray(DATA[5:6]), 20_000, axis=0)

    @jax.jit
    def run(key):
        return network.apply(variables, tokens[:1]), network.apply(variables, tokens, key)

    plain, dropped = run(jax.random.key(1))
    assert float(dropped.std(0).min()) > 0
    np.testing.assert_allclose(dropped.mean(0), plain[0], atol=0.02)


def test_bfloat16_is_about_float32():
    full = Discriminator(3, 4, (1, 2), (3, 4), 0.5)
    half = Discriminator(3, 4, (1, 2), (3, 4), 0.5, dtype=jnp.bfloat16)
    variables = initial_variables(full, 3)
    logits = jax.jit(half.apply)(variables, DATA)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, jax.jit(full.apply)(variables, DATA), atol=0.05)


def test_slopes_are_those_of_explicit_distributions():
    vocabulary = 9
    critic = Discriminator(vocabulary, 4, (1, 3), (3, 4), 0.0, outputs=1)
    params = initial_variables(critic, 5)["params"]
    distributions = jax.random.dirichlet(jax.random.key(1), jnp.ones(vocabulary), (6, 5))

    def explicit(params):
        def value(one):
            embedded = (one @ params["embedding"])[None]
            return critic.apply({"params": params}, embedded, method="from_embedded")[0, 0]

        return jnp.linalg.norm(jax.vmap(jax.grad(value))(distributions), axis=(1, 2))

    def direct(params):
        return slopes(critic, params, distributions @ params["embedding"])

    def penalised(function):
        def penalty(params):
            found = function(params)
            return jnp.sum((found - 1) ** 2), found

        gradients, found = jax.jit(jax.grad(penalty, has_aux=True))(params)
        return found, gradients

    (found, found_gradients), (expected, gradients) = penalised(direct), penalised(explicit)
    assert float(expected.min()) > 0.01
    assert float(expected.std() / expected.mean()) > 0.03
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # The critic learns from the gradients of all parameters, including the table.
    assert float(jnp.abs(gradients["embedding"]).max()) > 0.01
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            found_gradients[name], gradient, rtol=1e-3, atol=1e-5, err_msg=name
        )


def test_a_critic_without_slope_has_finite_gradients():
    critic = Discriminator(3, 4, (1,), (2,), 0.0, outputs=1)
    params = dict(initial_variables(critic, 3)["params"])
    # The critic reads only the fourth number of an embedding, which is 0 for every token.
    params["embedding"] = params["embedding"].at[:, 3].set(0.0)
    params["kernel_1"] = jnp.zeros((1, 4, 2)).at[:, 3].set(1.0)
    embedded = jax.random.normal(jax.random.key(1), (5, 3, 4))
    step = jax.jit(jax.value_and_grad(lambda params: jnp.sum(slopes(critic, params, embedded))))
    total, gradients = step(params)
    assert float(total) == pytest.approx(0, abs=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("size", [2, 5])
def test_a_pair_has_a_real_and_a_generated_sequence(size):
    pair = jax.jit(pairs)
    for labels in itertools.product([False, True], repeat=size):
        of_real, of_generated, valid = map(np.asarray, pair(jnp.array(labels)))
        labels = np.array(labels)
        assert valid.shape == (size // 2,)
        assert valid.sum() == min(labels.sum(), (~labels).sum())
        assert labels[of_real[valid]].all()
        assert not labels[of_generated[valid]].any()
        assert len({*of_real, *of_generated}) == 2 * (size // 2)
