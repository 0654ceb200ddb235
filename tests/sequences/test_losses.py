import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import (
    all_sequences,
    initial_variables,
    make_discriminator,
    make_model,
    plain_discriminator,
    plain_nll,
)

from jaxgan.sequences import losses
from jaxgan.sequences.networks.language_model import previous_tokens

DATA = all_sequences(3, 3)
CRITIC = make_discriminator(outputs=1)
KEY = jax.random.key(0)


@pytest.mark.parametrize("ends", [False, True])
def test_the_likelihood_is_the_mean_over_tokens(ends):
    model = make_model(ends=ends)
    params = initial_variables(model.network, 3)["params"]
    tokens = DATA[[5, 0, 21, 13]]
    loss = jax.jit(lambda x: losses.negative_log_likelihood(model, params, x, previous_tokens(x)))
    mask = np.ones((4, 3), bool)
    if ends:
        mask = np.cumsum(tokens == 0, axis=1) - (tokens == 0) == 0
        assert not mask.all()
    expected = np.array([plain_nll(params, row) for row in tokens])[mask].mean()
    assert float(loss(tokens)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("outputs", [2, 1])
def test_the_discriminator_s_loss_by_hand(outputs):
    network = make_discriminator(outputs=outputs)
    params = initial_variables(network, 3)["params"]
    tokens, real = DATA[[2, 9, 10, 26]], np.array([True, True, False, True])
    loss = jax.jit(
        lambda tokens, real: losses.discriminator_loss(network, params, tokens, real, KEY, 0.2, 0.0)
    )
    value, accuracy = loss(tokens, real)
    found = np.array([plain_discriminator(params, row) for row in tokens])
    if outputs == 2:
        p = np.exp(found) / np.exp(found).sum(1, keepdims=True)
        expected = -np.log(p[np.arange(4), real.astype(int)]).mean()
        right = p.argmax(1) == real
    else:
        expected = found[~real].mean() - found[real].mean()
        right = (found[:, 0] > found.mean()) == real
    penalty = sum(np.sum(np.square(params[name])) for name in ("output_kernel", "output_bias"))
    assert float(value) == pytest.approx(expected + 0.2 * penalty / 2, abs=1e-5)
    assert float(accuracy) == pytest.approx(right.mean())


def transparent(params, **changes):
    """A critic's parameters with the gate shut, and all 0 except the embedding and the changes."""
    closed = jax.tree.map(jnp.zeros_like, params)
    closed["highway_bias"] = closed["highway_bias"] - 100
    return {**closed, "embedding": params["embedding"], **changes}


def linear_critic(params, weights):
    """Parameters of the sum of an embedded sequence's numbers times weights [T, E]."""
    changes = {
        "kernel_3": jnp.zeros_like(params["kernel_3"]).at[:, :, 0].set(weights),
        "bias_3": jnp.zeros_like(params["bias_3"]) + 100,  # no feature is below 0
        "output_kernel": jnp.zeros_like(params["output_kernel"]).at[7].set(1.0),
    }
    return transparent(params, **changes)


@jax.jit
def penalty_of(params, tokens, real):
    with_penalty, without = (
        losses.critic_loss(CRITIC, params, tokens, real, KEY, weight)[0] for weight in (1.0, 0.0)
    )
    return with_penalty - without


def test_the_penalty_of_a_linear_critic_by_hand():
    """The slope with respect to the embedding is another one, which must not count."""
    tokens, real = DATA[[5, 7, 11, 15]], np.array([True, True, False, True])
    weights = np.random.default_rng(0).normal(size=(3, 4))
    params = linear_critic(initial_variables(CRITIC, 3)["params"], weights)
    for scale in (2.0, 3.0):
        scaled = {**params, "embedding": scale * params["embedding"]}
        slope = np.linalg.norm(weights @ np.asarray(scaled["embedding"], np.float64).T)
        assert abs(slope - np.linalg.norm(weights)) > 0.2
        assert penalty_of(scaled, tokens, real) == pytest.approx((slope - 1) ** 2, rel=1e-4)


def test_the_penalty_is_taken_between_real_and_generated_sequences():
    """The critic has slope 1 between 0 0 0 and 1 1 1, and none at either."""
    toward_ones = jnp.zeros((3, 4)).at[:, 1].set(1 / 3)
    # The share of ones minus 0.001, kept below 0.998 by the second feature.
    changes = {
        "embedding": jnp.eye(3, 4),
        "kernel_3": jnp.stack([toward_ones, toward_ones], axis=-1),
        "bias_3": jnp.array([-0.001, -0.999]),
        "output_kernel": jnp.zeros((9, 1)).at[7:, 0].set(3**0.5 * jnp.array([1.0, -1.0])),
    }
    params = transparent(initial_variables(CRITIC, 3)["params"], **changes)
    for real in ([1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 1]):
        real = np.array(real, bool)
        tokens = np.where(real[:, None], 0, np.ones((1, 3), np.int32))
        assert penalty_of(params, tokens, real) == pytest.approx(0, abs=1e-4)
    # The critic has no slope between equal sequences: such pairs have a penalty of 1.
    alike = np.zeros((4, 3), np.int32)
    mixed = np.array([1, 0, 1, 0], bool)
    assert penalty_of(params, alike, mixed) == pytest.approx(1, abs=1e-4)
    assert penalty_of(params, alike, np.ones(4, bool)) == 0


def exact_values(p, judged):
    """The expected judgement after every token of every sequence, by enumeration: [V ** T, T]."""
    values = np.zeros((27, 3))
    for row, sequence in enumerate(DATA):
        for given in range(1, 4):
            kept = (DATA[:, :given] == sequence[:given]).all(1)
            values[row, given - 1] = (p[kept] * judged[kept]).sum() / p[kept].sum()
    return values


def test_the_policy_gradient_is_the_exact_gradient_on_average():
    model = make_model()
    params = initial_variables(model.network, 3)["params"]
    judged = np.random.default_rng(0).uniform(size=27)
    # All batches of two sequences, each with its probability.
    one, two = (grid.ravel() for grid in np.meshgrid(np.arange(27), np.arange(27)))
    batches = np.stack([one, two], axis=1)

    def probabilities(params):
        return jnp.exp(model.network.apply({"params": params}, DATA).sum(1))

    p = np.asarray(jax.jit(probabilities)(params), np.float64)
    values = exact_values(p, judged).astype(np.float32)
    weights = jnp.asarray(p[one] * p[two])

    @jax.jit
    def run(params):
        exact = jax.grad(lambda params: -jnp.sum(probabilities(params) * judged))(params)
        means = []
        for baseline in (False, True):
            gradient = jax.grad(
                lambda params, rows, baseline=baseline: losses.policy_loss(
                    model, params, jnp.asarray(DATA)[rows], jnp.asarray(values)[rows], baseline
                )
            )
            found = jax.vmap(gradient, (None, 0))(params, batches)
            means.append(jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1) / 2, found))
        return exact, means

    exact, means = run(params)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(exact)) > 1e-3
    for mean in means:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), mean, exact)
