"""The audio-visual separator: its parts by plain loops, padding, and missing video."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.speech.networks import audiovisual as networks

SMALL = networks.Separator(
    filters=6,
    stride=128,
    channels=5,
    hidden=7,
    blocks=2,
    repeats=1,
    visual_channels=4,
    visual_blocks=2,
)


def random_inputs(lengths, samples):
    random = np.random.default_rng(0)
    mixture = np.zeros((len(lengths), samples), np.float32)
    frames = np.zeros((len(lengths), -(-samples // 640), 8, 16), np.uint8)
    for row, length in enumerate(lengths):
        count = -(-length // 640)
        mixture[row, :length] = 0.1 * random.standard_normal(length)
        frames[row, :count] = random.integers(0, 256, (count, 8, 16))
    seen = np.ones(frames.shape[:2], bool)
    seen[0, 1] = False
    return mixture, np.array(lengths, np.int32), frames, seen


@pytest.fixture(name="params", scope="module")
def some_params():
    """Random parameters, so that no bias is zero."""
    inputs = random_inputs([1280], 1280)
    shapes = jax.eval_shape(SMALL.init, jax.random.key(0), *inputs)
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(0, 0.4, leaf.shape), leaf.dtype), shapes
    )


@jax.jit
def apply(params, *inputs):
    """What the network separates with its own mask."""
    return SMALL.apply(params, *inputs)[1][:, 0]


def test_number_of_parameters_of_the_paper():
    whole = networks.Separator()
    mixture, lengths = jnp.zeros((1, 640)), jnp.ones((1,), jnp.int32)
    frames, seen = jnp.zeros((1, 1, 24, 32), jnp.uint8), jnp.zeros((1, 1), bool)
    shapes = jax.eval_shape(whole.init, jax.random.key(0), mixture, lengths, frames, seen)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    n, b, h, v = 512, 128, 512, 128

    def block(channels, hidden):
        # 1x1 up, PReLU, norm; 3 taps and a bias, PReLU, norm; 1x1 down.
        up = channels * hidden + hidden + 1 + 2 * hidden
        return up + 4 * hidden + 1 + 2 * hidden + hidden * channels + channels

    audio = 32 * n + (n * b + b) + 3 * 8 * block(b, h) + 1 + (b * n + n) + n * 32
    vision = (32 * 16 + 16) + (64 * 32 + 32) + (12 * 32 * v + v) + v + 5 * block(v, v)
    assert count == audio + vision + 3 * (v * b + b)


def test_depthwise_convolution_is_its_sum():
    random = np.random.default_rng(0)
    x, taps, bias = (random.normal(size=shape) for shape in ((2, 9, 3), (3, 3), (3,)))
    for dilation in (1, 4, 16):
        expected = np.zeros_like(x) + bias
        for t in range(9):
            for place in range(3):
                source = t + (place - 1) * dilation
                if 0 <= source < 9:
                    expected[:, t] += taps[place] * x[:, source]
        module = networks.Depthwise(3, dilation)
        variables = {"params": {"taps": jnp.float32(taps), "bias": jnp.float32(bias)}}
        np.testing.assert_allclose(module.apply(variables, jnp.float32(x)), expected, atol=1e-5)


def test_patches_are_squares():
    x = np.arange(2 * 8 * 12 * 3).reshape(2, 8, 12, 3)
    cut = networks.patches(jnp.asarray(x), 4)
    assert cut.shape == (2, 2, 3, 48)
    np.testing.assert_array_equal(cut[1, 1, 2], x[1, 4:8, 8:12].ravel())


@pytest.mark.parametrize(("length", "filters"), [(64, 64), (64, 65), (32, 512)])
def test_fourier_filters_reconstruct_the_signal(length, filters):
    found = np.float64(networks.fourier_filters(length, filters))
    assert found.shape == (length, filters)
    hop = length // 2
    signal = np.random.default_rng(0).normal(size=9 * hop)
    made = np.zeros_like(signal)
    for start in range(0, 8 * hop, hop):
        made[start : start + length] += found @ (found.T @ signal[start : start + length])
    np.testing.assert_allclose(made[hop:-hop], signal[hop:-hop], atol=1e-6)


def test_an_untrained_network_returns_about_the_mixture():
    """Its masks are about one half; with fewer filters than samples, high frequencies are lost."""
    network = SMALL.clone(stride=16, filters=32)
    inputs = random_inputs([1280], 1280)
    variables = jax.jit(network.init)(jax.random.key(0), *inputs)
    # Masks of exactly one half.
    variables["params"]["Dense_3"]["kernel"] *= 0
    mask, found = jax.jit(network.apply)(variables, *inputs)
    np.testing.assert_allclose(mask, 0.5)
    np.testing.assert_allclose(found[:, 0], inputs[0], atol=1e-5)


@pytest.mark.parametrize("stride", [64, 128, 640])
def test_features_meet_the_audio_of_their_frame(stride):
    """Frame k of the encoder spans the samples from (k - 1) * stride to (k + 1) * stride."""
    samples = 3 * 640
    count = samples // stride + 1
    features = jnp.arange(3.0)[None, :, None]
    found = networks.upsample(features, 640 // stride, count)[0, :, 0]
    last_sample_of_first_half = [max(k * stride - 1, 0) for k in range(count)]
    np.testing.assert_array_equal(found, [sample // 640 for sample in last_sample_of_first_half])


def test_padding_changes_nothing(params):
    lengths = [2500, 640, 1281, 0]
    mixture, counts, frames, seen = random_inputs(lengths, 3840)
    together = np.asarray(apply(params, mixture, counts, frames, seen))
    assert np.isfinite(together).all()
    for row, length in enumerate(lengths[:3]):
        shown = -(-length // 640)
        single = apply(
            params,
            mixture[row : row + 1, :length],
            counts[row : row + 1],
            frames[row : row + 1, :shown],
            seen[row : row + 1, :shown],
        )
        assert np.abs(single).max() > 1e-3
        np.testing.assert_allclose(together[row, :length], single[0], atol=1e-5)
        assert not together[row, length:].any()
    assert not together[3].any()
    # Not even frames that exist beyond the end of the audio.
    frames[1, 1:], seen[1, 1:] = 255, True
    again = apply(params, mixture, counts, frames, seen)
    np.testing.assert_allclose(again, together, atol=1e-6)


def test_unseen_frames_have_no_influence_and_seen_ones_do(params):
    mixture, lengths, frames, seen = random_inputs([2560, 2560], 2560)
    before = apply(params, mixture, lengths, frames, seen)
    other = frames.copy()
    other[0, 1] = 255 - other[0, 1]
    np.testing.assert_array_equal(apply(params, mixture, lengths, other, seen), before)
    other[1, 1] = 255 - other[1, 1]
    after = np.asarray(apply(params, mixture, lengths, other, seen))
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 1e-4
    blind = apply(params, mixture, lengths, frames, np.zeros_like(seen))
    assert np.isfinite(blind).all()
    assert np.abs(blind - before).max() > 1e-4


def test_the_level_of_the_mixture_only_scales_the_result(params):
    mixture, lengths, frames, seen = random_inputs([2560], 2560)
    quiet = apply(params, mixture / 8, lengths, frames, seen)
    loud = apply(params, mixture, lengths, frames, seen)
    np.testing.assert_allclose(8 * quiet, loud, rtol=1e-3, atol=1e-5)


def test_the_light_and_a_frozen_video():
    """A video that is brighter throughout keeps its movement; a frozen one has none, and no NaN."""
    vision = networks.Vision(4, 1, 3, jnp.float32)
    frames = np.random.default_rng(2).integers(0, 200, (1, 6, 8, 16)).astype(np.uint8)
    seen = np.ones((1, 6), bool)
    variables = vision.init(jax.random.key(0), frames, seen, seen)
    kernel = variables["params"]["Dense_0"]["kernel"]
    # Only the change of the light: the other channel is the light itself.
    movement = jnp.where(jnp.arange(len(kernel))[:, None] % 2 == 1, kernel, 0)
    variables["params"]["Dense_0"]["kernel"] = movement
    see = jax.jit(vision.apply)
    normal, bright = (see(variables, frames + np.uint8(add), seen, seen) for add in (0, 55))
    np.testing.assert_allclose(normal, bright, atol=1e-4)
    still = see(variables, np.repeat(frames[:, :1], 6, 1), seen, seen)
    assert np.isfinite(still).all()
    np.testing.assert_allclose(still[:, 2], still[:, 3], atol=1e-4)
