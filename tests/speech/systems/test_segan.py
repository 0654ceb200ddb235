"""SEGAN: networks, windows and losses by hand, its config."""

import contextlib
import functools
import re
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.signal
from tiny_runs import equal, make_batch

from configs import segan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.nn.virtual_batch_norm import VirtualBatchNorm
from jaxgan.speech import export
from jaxgan.speech.networks import segan as networks
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.systems import segan
from jaxgan.speech.training import open_training

WINDOW = 1024
WEIGHT = 100.0


def test_number_of_parameters():
    generator = networks.WaveGenerator()
    shape = generator.latent_shape(16384)
    assert shape == (8, 1024)
    filters = generator.filters
    variables = jax.eval_shape(
        generator.init, jax.random.key(0), jnp.zeros((1, 16384)), jnp.zeros((1, *shape))
    )
    down = sum(31 * a * b + b for a, b in zip((1, *filters), filters, strict=False))
    # The input of every layer upwards is the layer below and the skip of the same length.
    up = sum(31 * 2 * a * b + b for a, b in zip(filters[::-1], (*filters[-2::-1], 1), strict=True))
    slopes = sum(filters) + sum(filters[:-1])
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == down + up + slopes


def test_deemphasis_inverts_emphasis():
    wave = np.random.default_rng(0).normal(0, 0.1, (2, 4000)).astype(np.float32)
    emphasised = networks.emphasise(jnp.asarray(wave), 0.95)
    np.testing.assert_allclose(emphasised, scipy.signal.lfilter([1, -0.95], [1], wave), atol=1e-6)
    np.testing.assert_allclose(networks.deemphasise(emphasised, 0.95), wave, atol=1e-5)


def test_windows_hold_every_sample_and_their_lengths():
    waveforms = networks.make_waveforms(configs.get_config("tiny"))
    batch = make_batch([2500, 1024, 1100], rows=4, total=3072)
    windows = jax.jit(functools.partial(segan.windows_of, waveforms=waveforms))(batch)
    assert windows.noisy.shape == (4 * 5, WINDOW)
    lengths = np.asarray(windows.lengths).reshape(4, 5)
    # 2500: 0-1024, 512-1536, 1024-2048, 1536-2500; later windows hold no new samples.
    expected = [[1024, 1024, 1024, 964, 0], [1024, 0, 0, 0, 0], [1024, 588, 0, 0, 0], [0] * 5]
    assert lengths.tolist() == expected
    wave = scipy.signal.lfilter([1, -0.95], [1], np.asarray(as_float(batch.noisy[0, :2500])))
    np.testing.assert_allclose(windows.noisy[3, :964], wave[1536:], atol=1e-6)
    assert not np.asarray(windows.noisy[3, 964:]).any()
    assert np.asarray(windows.valid).sum() == np.sum(expected)


@pytest.fixture(name="compiled", scope="module")
def compiled_system():
    """A system, its first state and its compiled functions."""
    config = configs.get_config("tiny")
    system = segan.System(
        waveforms=networks.make_waveforms(config),
        discriminator=networks.WaveDiscriminator(**config.discriminator),
        generator_optimizer=optax.rmsprop(1e-3),
        discriminator_optimizer=optax.rmsprop(1e-3),
        l1_weight=WEIGHT,
        average_decay=0.0,
    )
    reference = np.random.default_rng(0).normal(0, 0.1, (4, WINDOW, 2)).astype(np.float32)
    init = functools.partial(segan.init, system=system, reference=reference)
    return SimpleNamespace(
        system=system,
        reference=reference,
        state=jax.jit(init)(jax.random.key(0)),
        judge=jax.jit(functools.partial(segan.judge, system)),
    )


@pytest.fixture(name="batch", scope="module")
def small_batch():
    return make_batch([2500, 1100], total=3072, rows=3)


@pytest.fixture(name="windows", scope="module")
def windows_of_batch(compiled, batch):
    waveforms = compiled.system.waveforms
    return jax.jit(functools.partial(segan.windows_of, waveforms=waveforms))(batch)


def test_discriminator_by_hand(compiled, windows):
    player = compiled.state.players["discriminator"]
    assert equal(player.state["reference"]["pairs"], compiled.reference)

    @jax.jit
    def by_hand(params, clean, noisy):
        x = jnp.concatenate([compiled.reference, jnp.stack([clean, noisy], axis=-1)])
        for layer, filters in enumerate(compiled.system.discriminator.filters):
            convolution = nn.Conv(filters, (7,), 2, padding="SAME")
            x = convolution.apply({"params": params[f"Strided_{layer}"]}, x)
            norm = {"params": params[f"VirtualBatchNorm_{layer}"]}
            x = VirtualBatchNorm().apply(norm, x, 4)
            x = jnp.where(x > 0, x, 0.3 * x)
        last, dense = (params[name] for name in ("Conv_0", "Dense_0"))
        x = x[4:] @ last["kernel"][0] + last["bias"]
        return (x[:, :, 0] @ dense["kernel"] + dense["bias"])[:, 0]

    output = compiled.judge(player, windows.clean, windows)
    np.testing.assert_allclose(
        output, by_hand(player.params, windows.clean, windows.noisy), atol=1e-5
    )
    # The other windows of a batch have no influence.
    others = windows.clean.at[1:].multiply(2.0)
    np.testing.assert_allclose(compiled.judge(player, others, windows)[0], output[0], atol=1e-5)


def test_losses_by_hand(compiled, batch, windows):
    system, state = compiled.system, compiled.state

    @jax.jit
    def steps(state):
        generator_moved, of_generator = segan.generator_step(state, batch, system=system)
        moved, of_discriminator = segan.discriminator_step(state, batch, system=system)
        return generator_moved.players, moved.players, of_discriminator | of_generator

    generator_moved, discriminator_moved, metrics = steps(state)
    generator, discriminator = (state.players[name] for name in ("generator", "discriminator"))
    enhance = jax.jit(functools.partial(segan.enhance_windows, system.waveforms))
    enhanced = enhance(generator.params, windows, step_key(state))
    filled = np.asarray(windows.lengths) > 0
    of_clean, of_enhanced = (
        np.asarray(compiled.judge(discriminator, wave, windows), np.float64)[filled]
        for wave in (windows.clean, enhanced)
    )
    assert float(metrics["d_clean"]) == pytest.approx(of_clean.mean(), rel=1e-4)
    assert float(metrics["d_enhanced"]) == pytest.approx(of_enhanced.mean(), rel=1e-4)
    expected = np.mean((of_clean - 1) ** 2) + np.mean(of_enhanced**2)
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    errors = np.abs(np.asarray(enhanced, np.float64) - windows.clean)
    distance = errors[np.asarray(windows.valid)].mean()
    expected = np.mean((of_enhanced - 1) ** 2) + WEIGHT * distance
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)

    assert equal(discriminator_moved["generator"], generator)
    assert equal(generator_moved["discriminator"], discriminator)
    assert equal(discriminator_moved["discriminator"].state, discriminator.state)


def test_enhancement_ignores_padding_and_exports():
    config = configs.get_config("tiny")
    denoiser = networks.make_denoiser(config)
    generator = networks.make_waveforms(config).generator
    latent = jnp.zeros((1, *generator.latent_shape(WINDOW)))
    init = jax.jit(generator.init)
    params = init(jax.random.key(0), jnp.zeros((1, WINDOW)), latent)["params"]
    noisy = np.random.default_rng(0).normal(0, 0.1, (1, 2560)).astype(np.float32)
    noisy[:, 2500:] = 0
    run = jax.jit(denoiser.enhance)
    made = np.asarray(run(params, noisy, np.array([2500])))
    assert made[:, :2500].std() > 0
    assert not made[:, 2500:].any()
    long = np.zeros((3, 5120), np.float32)
    long[1, :2560] = noisy
    padded = np.asarray(run(params, long, np.array([0, 2500, 0])))
    np.testing.assert_allclose(padded[1, :2560], made[0], atol=1e-5)
    exported = export.serialise(denoiser, params)
    model = export.jax_export.deserialize(bytearray(exported))
    again = model.call(noisy[:, :2500], np.array([2500], np.int32))
    np.testing.assert_allclose(again, made[:, :2500], atol=1e-5)


def test_reference_windows_are_training_data():
    config = configs.get_config("tiny")
    waveforms = networks.make_waveforms(config)
    denoiser = networks.make_denoiser(config)
    with (
        open_training(config, denoiser, devices.make_mesh(1)) as training,
        contextlib.closing(training),
    ):
        pairs = segan.draw_reference(training, waveforms, 2000)
        corpus = training.corpus
    assert pairs.shape == (2000, WINDOW, 2)
    starts = [
        scipy.signal.lfilter([1, -0.95], [1], corpus.clean(number)[:64] / 32768)
        for number in range(len(corpus))
    ]
    assert any(np.allclose(pairs[0, :64, 0], start, atol=1e-6) for start in starts)


@pytest.mark.parametrize("preset", [None, "quick"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("window", 1001), ("window", 4), ("l1_weight", -1.0), ("pre_emphasis", 1.0)],
)
def test_invalid_settings_are_named(preset, key, value):
    config = configs.get_config(preset)
    config[key] = value
    with pytest.raises(UserError, match=re.escape(key)):
        segan.make(config, devices.make_mesh(1))
