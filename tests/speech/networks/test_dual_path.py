"""The dual-path network: its size and cost, padding, streams, and its parts by formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import enhancer as enhancer_config
from jaxgan.speech.export import serialise
from jaxgan.speech.networks import dual_path
from jaxgan.speech.networks.dual_path import DualPath
from jaxgan.speech.networks.stft import FrontEnd

FRONT_END = FrontEnd()
SMALL = {"width": 8, "hidden": 4, "taps": 3, "dilations": (1, 2)}


def network(**changes):
    """A small network whose weights are far from those that return the input."""
    made = DualPath(**SMALL | changes)
    variables = jax.jit(functools.partial(dual_path.init_network, made, FRONT_END))(
        jax.random.key(0)
    )
    return made, jax.tree.map(lambda leaf: 3 * leaf, variables["params"])


def enhance(made, params, noisy, lengths):
    function = jax.jit(functools.partial(dual_path.enhance, made, FRONT_END))
    return np.asarray(function(params, noisy, jnp.asarray(lengths)))


def waves(rows, total, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (rows, total)).astype(np.float32)


@pytest.mark.parametrize(
    ("preset", "most_parameters", "most_products"),
    [(None, 0.94e6, 0.52e9), ("quick", 0.31e6, 0.1e9)],
)
def test_parameters_and_products_a_second_of_speech(preset, most_parameters, most_products):
    config = enhancer_config.get_config(preset)
    made = dual_path.make_network(config)
    init = functools.partial(dual_path.init_network, made, FRONT_END)
    params = jax.eval_shape(init, jax.random.key(0))["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert 0.9 * most_parameters < count < most_parameters

    # The products of matrices, by hand: cells a second, times channels into channels.
    width, hidden, bands = made.width, made.hidden, 65
    block = 2 * width * hidden + hidden * bands + 3 * width**2 + made.taps * width
    ends = 24 * width + width**2 + width * 24
    cells = 16000 / 256 * bands
    products = cells * (len(made.dilations) * block + ends)
    assert 0.9 * most_products < products < most_products
    spectrum = jax.ShapeDtypeStruct((1, 251, 257), jnp.complex64)
    lowered = jax.jit(made.apply).lower({"params": params}, spectrum, jnp.array([251]))
    found = lowered.compile().cost_analysis()["flops"] / 2 / (251 / 62.5)
    assert found == pytest.approx(products, rel=0.12)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(causal):
    made, params = network(causal=causal)
    noisy = waves(2, 6144)
    noisy[0, 4000:] = 0
    whole = enhance(made, params, noisy, [4000, 6144])
    alone = enhance(made, params, noisy[:1, :4096], [4000])
    np.testing.assert_allclose(whole[0, :4000], alone[0, :4000], atol=1e-6)
    assert not whole[0, 4000:].any()
    assert np.abs(alone[0, :4000] - noisy[0, :4000]).max() > 0.05


def test_gradients_do_not_depend_on_padding_and_are_finite_in_silence():
    made, params = network(dilations=(2,))
    noisy = waves(3, 4096)
    noisy[0, 3000:] = 0
    noisy[1, 3072:] = 0
    noisy[2] = 0  # a padding row

    def loss(params, noisy, lengths):
        return jnp.sum(dual_path.enhance(made, FRONT_END, params, noisy, lengths) ** 2)

    gradient = jax.jit(jax.grad(loss))
    whole = gradient(params, noisy, jnp.array([3000, 3072, 0]))
    parts = [
        gradient(params, noisy[:1, :3072], jnp.array([3000])),
        gradient(params, noisy[1:2, :3072], jnp.array([3072])),
    ]
    for one, *others in zip(*map(jax.tree.leaves, (whole, *parts)), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, sum(others), atol=1e-4 * float(jnp.abs(one).max()) + 1e-8)


def test_an_untrained_network_nearly_returns_its_input():
    made = DualPath(**SMALL)
    init = jax.jit(functools.partial(dual_path.init_network, made, FRONT_END))
    params = init(jax.random.key(1))["params"]
    noisy = waves(1, 4096)
    enhanced = enhance(made, params, noisy, [4096])
    assert 0 < np.mean((enhanced - noisy) ** 2) < 0.01 * np.mean(noisy**2)


def test_the_level_passes_through():
    made, params = network()
    noisy = waves(1, 4096)
    loud = enhance(made, params, noisy, [4096])
    np.testing.assert_allclose(
        enhance(made, params, noisy / 100, [4096]) * 100, loud, atol=1e-3 * np.abs(loud).max()
    )


def test_a_stream_equals_the_whole_and_looks_less_than_a_window_ahead():
    config = enhancer_config.get_config("tiny")
    assert dual_path.make_denoiser(config).streaming is None
    config.generator.causal = True
    made, params = network(**config.generator)
    streaming = dual_path.make_denoiser(config).streaming
    noisy = waves(1, 4096)
    whole = enhance(made, params, noisy, [4096])[0]
    state, step = streaming.start(), jax.jit(streaming.step)
    blocks = []
    for block in [*noisy[0].reshape(-1, 256), np.zeros(256, np.float32)]:
        state, enhanced = step(params, state, block)
        blocks.append(enhanced)
    np.testing.assert_allclose(np.concatenate(blocks[1:]), whole, atol=1e-5)

    changed = noisy.copy()
    changed[:, 2048:] += 0.1
    difference = np.abs(enhance(made, params, changed, [4096])[0] - whole)
    assert not difference[: 2048 - 256].any()
    assert difference[2048 - 256 : 2048].max() > 1e-4


def test_bfloat16_computes_about_the_same():
    made, params = network()
    other, _ = network(dtype=jnp.bfloat16)
    noisy = waves(1, 4096)
    one, rough = (enhance(net, params, noisy, [4096]) for net in (made, other))
    assert rough.dtype == np.float32
    assert 0 < np.mean((one - rough) ** 2) < 1e-2 * np.mean(one**2)


def test_an_export_works_for_any_number_of_any_length():
    config = enhancer_config.get_config("tiny")
    _, params = network(**config.generator)
    denoiser = dual_path.make_denoiser(config)
    model = jax.export.deserialize(bytearray(serialise(denoiser, params)))
    noisy = waves(2, 5000)
    found = model.call(noisy, np.array([5000, 3000], np.int32))
    padded = np.pad(noisy, ((0, 0), (0, 120)))
    padded[1, 3000:] = 0
    expected = jax.jit(denoiser.enhance)(params, padded, jnp.array([5000, 3000]))
    np.testing.assert_allclose(found, expected[:, :5000], atol=1e-5)


def test_the_convolution_and_its_gradients_are_those_of_the_definition():
    random = np.random.default_rng(0)
    padded, taps = random.normal(size=(2, 12, 3, 4)), random.normal(size=(3, 4))
    weights = random.normal(size=(2, 8, 3, 4))

    def plain(padded, taps):
        return sum(taps[place] * padded[:, 2 * place : 2 * place + 8] for place in range(3))

    np.testing.assert_allclose(
        dual_path.shifted_sum(jnp.asarray(padded), jnp.asarray(taps), 2),
        plain(padded, taps),
        rtol=1e-5,
    )
    found, expected = (
        jax.grad(lambda *given, function=function: jnp.sum(weights * function(*given)), (0, 1))(
            jnp.asarray(padded), jnp.asarray(taps)
        )
        for function in (lambda *given: dual_path.shifted_sum(*given, 2), plain)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_bands_overlap_by_half_and_cover_every_bin():
    cells = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 257, 3)))
    bands = dual_path.to_bands(cells)
    assert bands.shape == (1, 2, 65, 24)
    np.testing.assert_array_equal(bands[0, 0, 1], np.asarray(cells[0, 0, 2:10]).ravel())
    # Every bin is in two bands, except those at the ends.
    total = np.asarray(dual_path.from_bands(bands, 257, 3) / cells)
    np.testing.assert_allclose(total[:, :, 2:257], 2, rtol=1e-5)
    np.testing.assert_allclose(total[:, :, :2], 1, rtol=1e-5)


def test_compression_has_an_inverse():
    random = np.random.default_rng(0)
    spectrum = jnp.asarray(random.normal(size=50) + 1j * random.normal(size=50)).at[3].set(0)
    compressed = dual_path.compress(spectrum)
    np.testing.assert_allclose(np.abs(compressed), np.abs(spectrum) ** 0.3, rtol=1e-5)
    np.testing.assert_allclose(dual_path.expand(compressed), spectrum, rtol=1e-4)
