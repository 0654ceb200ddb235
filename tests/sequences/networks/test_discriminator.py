import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import all_sequences, leaves_equal, make_state, make_system

from configs import seqgan as seqgan_config
from jaxgan.core import devices
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.rows import move_large
from jaxgan.sequences.systems.adversary import critic_loss, discriminator_epoch, pairs, slopes
from jaxgan.sequences.systems.system import init

DATA = all_sequences(3, 3)


def plain(params, sequence):
    """Logits of one sequence by loops, in float64, without dropout."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    x = p["embedding"][sequence]
    features = []
    for width in (1, 2, 3):
        kernel, bias = p[f"kernel_{width}"], p[f"bias_{width}"]
        for number in range(kernel.shape[2]):
            responses = [
                np.sum(x[start : start + width] * kernel[:, :, number]) + bias[number]
                for start in range(len(x) - width + 1)
            ]
            features.append(max(max(responses), 0))
    features = np.array(features)
    mixed = features @ p["highway_kernel"] + p["highway_bias"]
    made, gate = np.split(mixed, 2)
    gate = 1 / (1 + np.exp(-gate))
    features = gate * np.maximum(made, 0) + (1 - gate) * features
    return features @ p["output_kernel"] + p["output_bias"]


def test_logits_by_hand():
    system = make_system()
    params = make_state(system).players["discriminator"].params
    found = system.discriminator.apply({"params": params}, jnp.asarray(DATA))
    np.testing.assert_allclose(found, [plain(params, row) for row in DATA], atol=1e-5)


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


def test_dropout_keeps_the_mean_and_is_used_in_training_alone():
    network = Discriminator(3, 4, (1, 2), (3, 4), 0.5)
    params = network.init(jax.random.key(0), jnp.asarray(DATA))["params"]
    call = functools.partial(network.apply, {"params": params})
    tokens = jnp.repeat(jnp.asarray(DATA[5:6]), 20_000, axis=0)
    plain_logits = call(tokens[:1])
    dropped = call(tokens, jax.random.key(1))
    assert float(dropped.std(0).min()) > 0
    np.testing.assert_allclose(dropped.mean(0), plain_logits[0], atol=0.02)
    np.testing.assert_array_equal(plain_logits, call(tokens[:1]))


def test_bfloat16_is_about_float32():
    tokens = jnp.asarray(DATA)
    full = Discriminator(3, 4, (1, 2), (3, 4), 0.0)
    half = Discriminator(3, 4, (1, 2), (3, 4), 0.0, dtype=jnp.bfloat16)
    params = full.init(jax.random.key(0), tokens)
    logits = half.apply(params, tokens)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, full.apply(params, tokens), atol=0.05)


def epoch(system, state, order):
    step = jax.jit(functools.partial(discriminator_epoch, system=system))
    return step(state, jnp.asarray(DATA[:10]), jnp.asarray(DATA[10:]), jnp.asarray(order))


def test_the_loss_by_hand():
    system = make_system()
    state = make_state(system)
    params = state.players["discriminator"].params
    chosen = np.array([2, 9, 10, 26])
    after, metrics = epoch(system, state, chosen[:, None])
    logits = np.array([plain(params, DATA[row]) for row in chosen])
    labels = np.array([1, 1, 0, 0])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    penalty = sum(np.sum(np.square(params[name])) for name in ("output_kernel", "output_bias"))
    expected = -np.log(p[np.arange(4), labels]).mean() + 0.2 * penalty / 2
    assert float(metrics["loss"]) == pytest.approx(expected, abs=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(np.mean(p.argmax(1) == labels))
    assert leaves_equal(after.players["generator"], state.players["generator"])
    assert leaves_equal(after.memory, state.memory)


def make_critic(**changes):
    network = Discriminator(3, 4, (1, 2, 3), (3, 4, 2), 0.0, outputs=1)
    # With steps of 1 it diverges.
    settings = {"discriminator_optimizer": optax.sgd(0.1), **changes}
    return make_system(discriminator=network, **settings)


@pytest.mark.parametrize(
    ("run", "make"),
    [("sharded", make_system), ("on one", make_system), ("sharded", make_critic)],
)
def test_eight_devices_give_the_state_of_one(run, make):
    order = np.random.default_rng(0).permutation(24).reshape(8, 3).astype(np.int32)
    expected, _ = epoch(make(), make_state(make()), order)
    system = make(mesh=devices.make_mesh(8))
    step = functools.partial(discriminator_epoch, system=system)
    whole = devices.replicated(system.mesh)
    state = jax.jit(functools.partial(init, system=system), out_shardings=whole)(jax.random.key(0))
    real, made = devices.put_replicated((DATA[:10], DATA[10:]), system.mesh)
    order = devices.put_sharded(order, system.mesh)
    program = jax.jit(step) if run == "sharded" else move_large(step, system.mesh)
    found, _ = program(state, real, made, order)
    assert found.step.sharding.is_fully_replicated
    assert len(found.step.devices()) == 8
    for one, other in zip(
        jax.tree.leaves(found.players), jax.tree.leaves(expected.players), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def transparent(params, **changes):
    """A critic's parameters with the gate shut, and all 0 but the embedding and the changes."""
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
def penalty_of(params, tokens, labels):
    with_penalty, without = (
        critic_loss(
            make_critic(gradient_penalty=weight), params, tokens, labels, jax.random.key(0)
        )[0]
        for weight in (1.0, 0.0)
    )
    return with_penalty - without


def test_the_critic_s_loss_by_hand():
    tokens, labels = jnp.asarray(DATA[[5, 7, 11, 15]]), jnp.array([True, True, False, True])
    system = make_critic(gradient_penalty=0.0)
    params = make_state(system).players["discriminator"].params
    found, _ = critic_loss(system, params, tokens, labels, jax.random.key(0))
    values = [plain(params, row)[0] for row in np.asarray(tokens)]
    expected = values[2] - np.mean([values[0], values[1], values[3]])
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_the_penalty_of_a_linear_critic_by_hand():
    """Its slope is the same everywhere; that by the embedding is another, and must not count."""
    tokens, labels = jnp.asarray(DATA[[5, 7, 11, 15]]), jnp.array([True, True, False, True])
    params = make_state(make_critic()).players["discriminator"].params
    weights = np.random.default_rng(0).normal(size=(3, 4))
    params = linear_critic(params, weights)
    for scale in (1.0, 3.0):
        scaled = {**params, "embedding": scale * params["embedding"]}
        slope = np.linalg.norm(weights @ np.asarray(scaled["embedding"], np.float64).T)
        assert abs(slope - np.linalg.norm(weights)) > 0.2
        assert penalty_of(scaled, tokens, labels) == pytest.approx((slope - 1) ** 2, rel=1e-4)


@pytest.mark.parametrize("vocabulary", [3, 9])
def test_slopes_are_those_of_explicit_distributions(vocabulary):
    """A smaller and a larger vocabulary than the embedding has numbers."""
    critic = Discriminator(vocabulary, 4, (1, 3), (3, 4), 0.0, outputs=1)
    params = critic.init(jax.random.key(0), jnp.zeros((1, 5), jnp.int32))["params"]
    distributions = jax.random.dirichlet(jax.random.key(1), jnp.ones(vocabulary), (6, 5))

    def explicit(params):
        def value(one):
            embedded = (one @ params["embedding"])[None]
            return critic.apply({"params": params}, embedded, method="judge")[0, 0]

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
    # What the critic learns from: by every parameter, the table among them.
    assert float(jnp.abs(gradients["embedding"]).max()) > 0.01
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            found_gradients[name], gradient, rtol=1e-3, atol=1e-5, err_msg=name
        )


def test_a_critic_without_slope_has_finite_gradients():
    critic = Discriminator(3, 4, (1,), (2,), 0.0, outputs=1)
    params = critic.init(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))["params"]
    # No token has a part in the fourth number, which is all that the critic looks at.
    params["embedding"] = params["embedding"].at[:, 3].set(0.0)
    params["kernel_1"] = jnp.zeros((1, 4, 2)).at[:, 3].set(1.0)
    embedded = jax.random.normal(jax.random.key(1), (5, 3, 4))
    step = jax.jit(jax.value_and_grad(lambda params: jnp.sum(slopes(critic, params, embedded))))
    total, gradients = step(params)
    assert float(total) == pytest.approx(0, abs=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("size", [2, 5, 6])
def test_pairs_are_of_a_real_and_a_generated_sequence(size):
    for labels in itertools.product([False, True], repeat=size):
        real, made, mixed = map(np.asarray, pairs(jnp.array(labels)))
        labels = np.array(labels)
        assert mixed.shape == (size // 2,)
        assert mixed.sum() == min(labels.sum(), (~labels).sum())
        assert labels[real[mixed]].all()
        assert not labels[made[mixed]].any()
        assert len({*real, *made}) == 2 * (size // 2)


def test_the_penalty_is_taken_between_real_and_generated_sequences():
    """The critic has slope 1 between 0 0 0 and 1 1 1, and none at either."""
    params = make_state(make_critic()).players["discriminator"].params
    toward_ones = jnp.zeros((3, 4)).at[:, 1].set(1 / 3)
    # The share of ones less 0.001, kept below 0.998 by the second feature.
    changes = {
        "embedding": jnp.eye(3, 4),
        "kernel_3": jnp.stack([toward_ones, toward_ones], axis=-1),
        "bias_3": jnp.array([-0.001, -0.999]),
        "output_kernel": jnp.zeros((9, 1)).at[7:, 0].set(3**0.5 * jnp.array([1.0, -1.0])),
    }
    params = transparent(params, **changes)
    for labels in ([1, 1, 0, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1], [1, 0]):
        labels = jnp.array(labels, bool)
        tokens = jnp.where(labels[:, None], 0, jnp.ones((1, 3), jnp.int32))
        assert penalty_of(params, tokens, labels) == pytest.approx(0, abs=1e-4)
    # The critic has no slope at its own kind: such pairs would have a penalty of 1.
    alike = jnp.zeros((4, 3), jnp.int32)
    assert penalty_of(params, alike, jnp.array([1, 0, 1, 0], bool)) == pytest.approx(1, abs=1e-4)
    assert penalty_of(params, alike[:1], jnp.array([True])) == 0


def test_a_critic_learns_to_rank():
    system = make_critic(discriminator_optimizer=optax.adam(0.02))
    state = make_state(system)
    order = np.tile(np.arange(20)[:, None], (1, 80))
    state, first = epoch(system, state, order)
    _, last = epoch(system, state, order)
    assert float(last["loss"]) < float(first["loss"])
    assert float(last["accuracy"]) > 0.8
