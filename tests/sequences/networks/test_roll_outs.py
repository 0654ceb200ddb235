import re

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

from jaxgan.core import devices
from jaxgan.sequences.networks import shards
from jaxgan.sequences.networks.discriminator import to_unit_interval
from jaxgan.sequences.networks.roll_outs import expected_judgements, move_towards, roll_out
from jaxgan.sequences.networks.shards import Chunks

V, T = 3, 3
EVERY = all_sequences(V, T)
MODEL, D = make_model(V, T), make_discriminator(V)


@pytest.fixture(scope="module")
def params():
    policy = initial_variables(MODEL.network, T)["params"]
    judge = initial_variables(D, T)["params"]
    # D has to tell sequences apart for this to test anything.
    return policy, jax.tree.map(lambda leaf: 4 * leaf, judge)


def explore(params, tokens, rows, roll_outs, mesh):
    policy, judge = params
    key = jax.random.key(3)
    completions = roll_out(MODEL, policy, key, tokens, rows, roll_outs, mesh)
    return completions, expected_judgements(D, judge, tokens, completions, mesh)


def exact_values(params):
    """The expected judgement after every token of every sequence, by enumeration: [V ** T, T]."""
    policy, judge = params
    p = np.array([np.exp(-plain_nll(policy, row).sum()) for row in EVERY])
    logits = np.array([plain_discriminator(judge, row) for row in EVERY])
    judged = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    values = np.zeros((V**T, T))
    for row, sequence in enumerate(EVERY):
        for given in range(1, T + 1):
            kept = (EVERY[:, :given] == sequence[:given]).all(1)
            values[row, given - 1] = (p[kept] * judged[kept]).sum() / p[kept].sum()
    return values


def test_expected_judgements_are_those_of_exact_enumeration(params):
    chosen = np.array([0, 5, 11, 14, 20, 26], np.int32)
    mesh = devices.make_mesh(1)
    program = jax.jit(lambda tokens, rows: explore(params, tokens, rows, 4000, mesh))
    completions, values = program(EVERY[chosen], chosen)
    exact = exact_values(params)
    assert exact.std() > 0.02
    np.testing.assert_allclose(values, exact[chosen], atol=0.02)
    np.testing.assert_allclose(values[:, -1], exact[chosen, -1], atol=1e-5)
    for given in range(1, T):
        prefixes = np.asarray(completions)[:, given - 1, :, :given]
        assert (prefixes == EVERY[chosen][:, None, :given]).all()


def test_chunks_and_devices_change_nothing(params, monkeypatch):
    tokens, numbers = EVERY[3:19], np.arange(16, dtype=np.int32)

    def run(count):
        mesh = devices.make_mesh(count)
        placed = devices.put_sharded((tokens, numbers), mesh)
        program = lambda tokens, rows: explore(params, tokens, rows, 4, mesh)  # noqa: E731
        loops = re.findall(r"length=(\d+)", str(jax.make_jaxpr(program)(*placed)))
        return max(map(int, loops)), jax.device_get(jax.jit(program)(*placed))

    _, (completions, values) = run(1)
    for setting, count, longest in ((Chunks(64, 1), 8, T), (Chunks(4, 2), 1, 8)):
        monkeypatch.setattr(shards, "ON_CPU", setting)
        loop, found = run(count)
        # Loops run over the tokens or over the chunks of a device's rows.
        assert loop == longest
        np.testing.assert_array_equal(found[0], completions)
        np.testing.assert_allclose(found[1], values, atol=1e-6)


def test_a_critic_s_judgements_are_relative_to_their_extremes():
    critic = make_discriminator(outputs=1)
    found = to_unit_interval(jnp.array([[3.0, -1.0], [1.0, 0.0]]), critic)
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.25]], atol=1e-6)
    assert not to_unit_interval(jnp.ones((2, 2)), critic).any()


def test_the_roll_out_policy_moves_but_takes_the_embeddings_over(params):
    policy, _ = params
    generator = jax.tree.map(lambda leaf: leaf + 1, policy)
    moved = dict(move_towards(policy, generator, 0.75))
    np.testing.assert_array_equal(moved.pop("embedding"), generator["embedding"])
    for name, value in moved.items():
        np.testing.assert_allclose(value, policy[name] + 0.25, rtol=1e-5)
