import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import all_sequences, leaves_equal, make_state, make_system

from configs import seqgan as seqgan_config
from jaxgan.core import devices
from jaxgan.sequences.adversary import critic_loss, discriminator_epoch
from jaxgan.sequences.discriminator import Discriminator
from jaxgan.sequences.rows import move_large
from jaxgan.sequences.system import init

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


@pytest.mark.parametrize("run", ["sharded", "on one"])
def test_eight_devices_give_the_state_of_one(run):
    order = np.random.default_rng(0).permutation(24).reshape(8, 3).astype(np.int32)
    expected, _ = epoch(make_system(), make_state(make_system()), order)
    system = make_system(mesh=devices.make_mesh(8))
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


def make_critic(**changes):
    network = Discriminator(3, 4, (1, 2, 3), (3, 4, 2), 0.0, outputs=1)
    return make_system(discriminator=network, **changes)


def test_the_critic_s_loss_by_hand():
    tokens, labels = jnp.asarray(DATA[[5, 7, 11, 15]]), jnp.array([True, True, False, True])
    parts = {}
    for weight in (0.0, 1.0):
        system = make_critic(gradient_penalty=weight)
        params = make_state(system).players["discriminator"].params
        parts[weight], _ = critic_loss(system, params, tokens, labels, jax.random.key(0))
    values = [plain(params, row)[0] for row in np.asarray(tokens)]
    expected = values[2] - np.mean([values[0], values[1], values[3]])
    assert float(parts[0.0]) == pytest.approx(expected, abs=1e-5)
    # A critic that adds up one number of each token has the slope of that sum, everywhere.
    flat = jax.tree.map(jnp.zeros_like, params)
    flat["kernel_1"] = flat["kernel_1"].at[0, 0, 0].set(1.0)
    flat["bias_1"] = flat["bias_1"] + 10
    flat["highway_bias"] = flat["highway_bias"] - 100  # the gate is shut
    flat["output_kernel"] = flat["output_kernel"].at[0, 0].set(3.0)
    flat["embedding"] = params["embedding"]
    with_penalty, without = (
        critic_loss(make_critic(gradient_penalty=w), flat, tokens, labels, jax.random.key(0))[0]
        for w in (1.0, 0.0)
    )
    # The largest of three numbers has slope 1 in one place: 3 in all, so (3 - 1)^2.
    assert float(with_penalty - without) == pytest.approx(4.0, abs=1e-4)


def test_a_critic_learns_to_rank():
    system = make_critic(discriminator_optimizer=optax.adam(0.02))
    state = make_state(system)
    order = np.tile(np.arange(20)[:, None], (1, 80))
    state, first = epoch(system, state, order)
    _, last = epoch(system, state, order)
    assert float(last["loss"]) < float(first["loss"])
    assert float(last["accuracy"]) > 0.8
