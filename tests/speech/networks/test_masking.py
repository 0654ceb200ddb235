"""Enhancement in one piece, block by block, and in arithmetic of real numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from workdirs import tiny_config, tiny_params

from configs import mask_regression, metricgan, metricgan_plus
from jaxgan.speech.networks.masking import make_denoiser

RANDOM = np.random.default_rng(0)


def network(*overrides):
    config = tiny_config(*overrides)
    return make_denoiser(config), tiny_params(config)


def enhance(denoiser, params, noisy):
    padded = jnp.zeros((1, len(noisy) + -len(noisy) % 256)).at[0, : len(noisy)].set(noisy)
    return jax.jit(denoiser.enhance)(params, padded, jnp.array([len(noisy)]))[0, : len(noisy)]


def test_the_preset_causal_streams_and_the_default_does_not():
    causal, default = metricgan_plus.get_config("causal"), metricgan_plus.get_config()
    assert make_denoiser(causal).streaming is not None
    assert make_denoiser(default).streaming is None
    for config in (mask_regression.get_config("quick"), metricgan.get_config("quick")):
        assert make_denoiser(config).streaming is None
        config.generator.causal = True
        assert make_denoiser(config).streaming is not None
    with pytest.raises(ValueError, match="no preset 'quick': choose causal or tiny"):
        metricgan_plus.get_config("quick")


def test_a_causal_enhancer_looks_less_than_a_window_ahead():
    """The sample at 256 k + r depends on the 511 - r samples after it, and on no later one."""
    denoiser, params = network("generator.causal=True", "feature=log1p")
    noisy = RANDOM.normal(0, 0.1, 4000)
    changed = noisy.copy()
    changed[2048:] += 0.1
    difference = np.abs(enhance(denoiser, params, noisy) - enhance(denoiser, params, changed))
    assert (difference[: 2048 - 256] == 0).all()
    assert difference[2048 - 256 : 2048].max() > 1e-4


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("feature", ["log1p", "linear"])
def test_frames_by_real_numbers_add_up_to_the_same(feature, causal):
    denoiser, params = network(f"feature={feature}", f"generator.causal={causal}")
    noisy = RANDOM.normal(0, 0.1, 3000)
    noisy[1000:2000] = 0  # the phase of silent frames is undefined
    blocks = np.pad(noisy, (256, 256 + -len(noisy) % 256)).reshape(-1, 256)
    frames = jnp.asarray(np.hstack([blocks[:-1], blocks[1:]]))
    made = np.asarray(jax.jit(denoiser.enhance_frames)(params, frames))
    joined = (made[:-1, 256:] + made[1:, :256]).reshape(-1)[: len(noisy)]
    np.testing.assert_allclose(joined, enhance(denoiser, params, noisy), atol=1e-5)
