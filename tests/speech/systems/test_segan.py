"""SEGAN: networks, windows and losses against hand-written NumPy, and the recipe as a whole."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.signal
from jaxgan.speech.denoiser import make_denoiser
from recipe_checks import one_device_equals_eight, open_recipe, resumes_bit_for_bit
from tiny_runs import equal, make_batch, tiny_config

from configs import segan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech import export
from jaxgan.speech.networks import segan as networks
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.systems import cgan_steps, segan

WINDOW = 1024
FILTERS = (3, 4, 5)


def make_config(**changes):
    config = tiny_config()
    with config.unlocked():
        del config.generator, config.discriminator, config.feature
        config.recipe = "segan"
        config.window = WINDOW
        config.pre_emphasis = 0.95
        config.l1_weight = 100.0
        config.generator = {"filters": FILTERS, "kernel": 7}
        config.discriminator = {"filters": FILTERS, "kernel": 7, "reference": 4}
        config.generator_learning_rate = 1e-3
        config.discriminator_learning_rate = 1e-3
    config.update_from_flattened_dict(changes)
    return config


def test_number_of_parameters():
    generator = networks.WaveGenerator()
    shape = generator.latent_shape(16384)
    assert shape == (8, 1024)
    filters = generator.filters
    variables = jax.eval_shape(
        generator.init, jax.random.key(0), jnp.zeros((1, 16384)), jnp.zeros((1, *shape))
    )
    down = sum(31 * a * b + b for a, b in zip((1, *filters), filters, strict=False))
    # Every layer upwards sees what comes from below beside the skip of its own length.
    up = sum(31 * 2 * a * b + b for a, b in zip(filters[::-1], (*filters[-2::-1], 1), strict=True))
    slopes = sum(filters) + sum(filters[:-1])
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == down + up + slopes


def test_emphasis_there_and_back():
    wave = np.random.default_rng(0).normal(0, 0.1, (2, 4000)).astype(np.float32)
    there = networks.emphasise(jnp.asarray(wave), 0.95)
    np.testing.assert_allclose(there, scipy.signal.lfilter([1, -0.95], [1], wave), atol=1e-6)
    np.testing.assert_allclose(networks.deemphasise(there, 0.95), wave, atol=1e-5)


def test_windows_hold_every_sample_and_their_lengths():
    waveforms = networks.make_waveforms(make_config())
    batch = make_batch([2500, 1024, 1100], rows=4, total=3072)
    sides = jax.jit(functools.partial(segan.windows_of, waveforms=waveforms))(batch)
    assert sides.noisy.shape == (4 * 5, WINDOW)
    lengths = np.asarray(sides.lengths).reshape(4, 5)
    # 2500: 0-1024, 512-1536, 1024-2048, 1536-2500; then nothing that is new.
    expected = [[1024, 1024, 1024, 964, 0], [1024, 0, 0, 0, 0], [1024, 588, 0, 0, 0], [0] * 5]
    assert lengths.tolist() == expected
    wave = scipy.signal.lfilter([1, -0.95], [1], np.asarray(as_float(batch.noisy[0, :2500])))
    np.testing.assert_allclose(sides.noisy[3, :964], wave[1536:], atol=1e-6)
    assert not np.asarray(sides.noisy[3, 964:]).any()
    assert np.asarray(sides.valid).sum() == np.sum(expected)


def test_virtual_batch_norm_by_hand():
    x = np.random.default_rng(1).normal(2, 3, (5, 6, 2)).astype(np.float32)
    module = networks.VirtualBatchNorm()
    made, _ = module.init_with_output(jax.random.key(0), x, 3)
    mean, square = x[:3].mean((0, 1)), (x[:3] ** 2).mean((0, 1))
    expected = [(row - mean) / np.sqrt(square - mean**2 + 1e-5) for row in x[:3]]
    for row in x[3:]:
        own, own_square = row.mean(0) / 4 + mean * 0.75, (row**2).mean(0) / 4 + square * 0.75
        expected.append((row - own) / np.sqrt(own_square - own**2 + 1e-5))
    np.testing.assert_allclose(made, expected, atol=1e-4)


@pytest.fixture(name="system", scope="module")
def small_system():
    config = make_config()
    waveforms = networks.make_waveforms(config)
    discriminator = networks.WaveDiscriminator(**config.discriminator)
    reference = jnp.asarray(np.random.default_rng(0).normal(0, 0.1, (4, WINDOW, 2)), jnp.float32)
    enhancement = segan.waveform_windows(waveforms, discriminator, reference)
    optimizer = optax.rmsprop(1e-3)
    return cgan_steps.System(enhancement, optimizer, optimizer, 100.0, 0.0)


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return jax.jit(functools.partial(cgan_steps.init, system=system))(jax.random.key(0))


def test_discriminator_by_layers_of_its_own(system, state):
    player = state.players["discriminator"]
    sides = jax.jit(system.enhancement.sides)(make_batch([2500], total=3072))
    judge = jax.jit(system.enhancement.judge)
    word, after = judge(player.params, player.state, sides.clean, sides)
    assert equal(after, player.state)
    pairs = jnp.stack([sides.clean, sides.noisy], axis=-1)

    @jax.jit
    def by_hand(params, x):
        for layer, filters in enumerate(FILTERS):
            convolution = nn.Conv(filters, (7,), 2, padding="SAME")
            x = convolution.apply({"params": params[f"Strided_{layer}"]}, x)
            norm = {"params": params[f"VirtualBatchNorm_{layer}"]}
            x = networks.VirtualBatchNorm().apply(norm, x, 4)
            x = jnp.where(x > 0, x, 0.3 * x)
        last, dense = (params[name] for name in ("Conv_0", "Dense_0"))
        x = x[4:] @ last["kernel"][0] + last["bias"]
        return x[:, :, 0] @ dense["kernel"] + dense["bias"]

    x = jnp.concatenate([player.state["reference"]["pairs"], pairs])
    np.testing.assert_allclose(word, by_hand(player.params, x)[:, 0], atol=1e-5)


def test_a_window_is_judged_by_itself(system, state):
    player = state.players["discriminator"]
    sides = jax.jit(system.enhancement.sides)(make_batch([2500, 2000], total=3072))
    judge = functools.partial(jax.jit(system.enhancement.judge), player.params, player.state)
    together, _ = judge(sides.clean, sides)
    alone, _ = judge(sides.clean[:1], jax.tree.map(lambda side: side[:1], sides))
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


def test_generator_loss_by_hand_and_each_step_moves_one_player(system, state):
    batch = make_batch([2500, 1100], rows=3, total=3072)
    taught, led = (
        jax.jit(functools.partial(step, system=system))(state, batch)
        for step in (cgan_steps.discriminator_step, cgan_steps.generator_step)
    )
    assert equal(taught[0].players["generator"], state.players["generator"])
    assert equal(led[0].players["discriminator"], state.players["discriminator"])
    reference = taught[0].players["discriminator"].state
    assert equal(reference, state.players["discriminator"].state)
    sides = jax.jit(system.enhancement.sides)(batch)
    key = jax.random.fold_in(state.key, state.step)
    made = jax.jit(system.enhancement.generate)(state.players["generator"].params, sides, key)
    player = state.players["discriminator"]
    word, _ = jax.jit(system.enhancement.judge)(player.params, player.state, made, sides)
    rows, valid = np.asarray(sides.lengths) > 0, np.asarray(sides.valid)
    adversarial = np.mean((np.asarray(word)[rows] - 1) ** 2)
    distance = np.abs(np.asarray(made - sides.clean))[valid].mean()
    assert float(led[1]["loss"]) == pytest.approx(adversarial + 100 * distance, rel=1e-4)


def test_enhancement_is_a_function_and_padding_changes_nothing():
    config = make_config()
    denoiser = make_denoiser(config)
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


def test_one_device_equals_eight():
    one_device_equals_eight(segan.assemble, make_config(), 1e-3)


def test_stop_and_resume_equals_not_stopping_bit_for_bit(tmp_path):
    resumes_bit_for_bit(segan.assemble, lambda **changes: make_config(**changes), tmp_path)


def test_reference_windows_are_of_the_training_data():
    config = make_config(**{"discriminator.reference": 300})
    with open_recipe(segan.assemble, config) as recipe:
        pairs = recipe.init(jax.random.key(0)).players["discriminator"].state["reference"]["pairs"]
        assert pairs.shape == (300, WINDOW, 2)
        corpus = recipe.training.corpus
    heads = [
        scipy.signal.lfilter([1, -0.95], [1], corpus.clean(number)[:64] / 32768)
        for number in range(len(corpus))
    ]
    assert any(np.allclose(pairs[0, :64, 0], head, atol=1e-6) for head in heads)


@pytest.mark.parametrize(
    ("key", "value"),
    [("window", 1001), ("window", 4), ("l1_weight", -1.0), ("pre_emphasis", 1.0)],
)
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = make_config(**{key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        segan.make(config, devices.make_mesh())


@pytest.mark.parametrize("preset", [None, "quick"])
def test_its_config_has_what_the_recipe_reads(preset):
    config = configs.get_config(preset)
    config.window += 1  # refused before any data are read
    with pytest.raises(UserError, match="window"):
        segan.make(config, devices.make_mesh())
