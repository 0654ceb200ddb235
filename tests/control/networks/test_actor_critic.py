import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.control.networks.actor_critic import ActorCritic

OBSERVATIONS = jax.random.normal(jax.random.key(0), (5, 4))
NETWORK = ActorCritic(3, (16, 8))
PARAMS = jax.jit(NETWORK.init)(jax.random.key(1), OBSERVATIONS)["params"]


def test_weights_are_orthogonal_and_biases_zero():
    kernels = [np.asarray(PARAMS[f"Dense_{number}"]["kernel"], float) for number in range(6)]
    assert [kernel.shape for kernel in kernels] == [
        *((4, 16), (16, 8), (8, 3)),  # the policy
        *((4, 16), (16, 8), (8, 1)),  # the value
    ]
    for kernel, scale in zip(kernels, (2, 2, 1e-4, 2, 2, 1), strict=True):
        short = kernel if len(kernel) < kernel.shape[1] else kernel.T
        np.testing.assert_allclose(short @ short.T, scale * np.eye(len(short)), atol=1e-5 * scale)
    assert not any(PARAMS[f"Dense_{number}"]["bias"].any() for number in range(6))


def test_outputs_are_those_of_two_networks():
    def output(first):
        hidden = np.asarray(OBSERVATIONS, float)
        for number in range(first, first + 3):
            layer = PARAMS[f"Dense_{number}"]
            hidden = hidden @ np.asarray(layer["kernel"], float) + layer["bias"]
            hidden = np.tanh(hidden) if number < first + 2 else hidden
        return hidden

    logits, values = NETWORK.apply({"params": PARAMS}, OBSERVATIONS)
    np.testing.assert_allclose(logits, output(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values, output(3)[:, 0], rtol=1e-4, atol=1e-6)
    assert np.ptp(logits) < 0.1  # almost equally likely actions


def test_bfloat16_is_near_float32():
    narrow = ActorCritic(3, (16, 8), dtype=jnp.bfloat16)
    for half, whole in zip(
        *(network.apply({"params": PARAMS}, OBSERVATIONS) for network in (narrow, NETWORK)),
        strict=True,
    ):
        assert half.dtype == jnp.float32
        np.testing.assert_allclose(half, whole, atol=0.05)
