import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.speech.networks import spectrogram
from jaxgan.speech.networks.spectrogram import (
    ChannelNorm,
    LearnableSigmoid,
    MaskGenerator,
    MetricDiscriminator,
)

BINS = 33
SMALL = MetricDiscriminator(channels=(3, 4), kernels=(5, 3), dense=(6,))
SMALL_MASK = MaskGenerator(layers=2, width=6, dense=7)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def feature(batch=3, frames=14, seed=0):
    return jnp.abs(jax.random.normal(jax.random.key(seed), (batch, frames, BINS)))


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        (MaskGenerator(), 1_892_057),
        (MaskGenerator(learnable_sigmoid=True, normalise=False), 1_892_057 + 257),
        # Layer by layer: inputs, hidden units and a bias for each of four gates; dense layers.
        (
            MaskGenerator(causal=True, width=400),
            (257 + 400 + 1) * 1600 + (400 + 400 + 1) * 1600 + 401 * 300 + 301 * 257,
        ),
    ],
)
def test_generator_has_the_papers_parameters(module, parameters):
    x = jnp.zeros((1, 3, 257))
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, jnp.array([3]))
    assert count(shapes["params"]) == parameters


@pytest.mark.parametrize(
    ("module", "parameters", "least"),
    [
        (MetricDiscriminator(), 345_330, 29),
        (MetricDiscriminator(channels=(15,) * 4, kernels=(5,) * 4), 19_010, 17),
        # 5 x 5 x 15 kernel entries and one channel's scale and offset less.
        (
            MetricDiscriminator(channels=(15,) * 4, kernels=(5,) * 4, sees_reference=False),
            19_010 - 5 * 5 * 15 - 2,
            17,
        ),
    ],
)
def test_discriminator_has_the_papers_parameters(module, parameters, least):
    x = jnp.zeros((1, 32, 257))
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, x, jnp.array([32]))
    assert count(shapes["params"]) == parameters
    assert module.least_frames == least


def test_a_discriminator_without_reference_does_not_hear_it():
    module = SMALL.clone(sees_reference=False)
    candidate, clean = feature(), feature() * 0.5
    frames = jnp.full(len(candidate), candidate.shape[1])
    variables = jax.jit(module.init)(jax.random.key(0), candidate, clean, frames)
    apply = jax.jit(lambda *sides: module.apply(variables, *sides, frames, mutable=["batch_stats"]))
    judged = [
        apply(*sides)[0]
        for sides in ((candidate, clean), (candidate, clean + 1), (candidate * 2 + 1, clean))
    ]
    np.testing.assert_array_equal(judged[0], judged[1])
    assert not np.allclose(judged[0], judged[2])


@pytest.fixture(name="mask", scope="module")
def mask_variables():
    return jax.jit(SMALL_MASK.init)(jax.random.key(1), feature(), jnp.array([14, 9, 1]))


@pytest.fixture(name="judge", scope="module")
def discriminator_variables():
    frames = jnp.array([14, 14, 14])
    return jax.jit(SMALL.init)(jax.random.key(1), feature(), feature(seed=1), frames)


@jax.jit
def judge_of(variables, candidate, clean, frames):
    y, _ = SMALL.apply(variables, candidate, clean, frames, mutable=["batch_stats"])
    return y


def test_generator_gives_padded_batches_what_single_utterances_get(mask):
    x, frames = feature(), jnp.array([14, 9, 5])
    x = jnp.where((jnp.arange(14) < frames[:, None])[..., None], x, 0)
    apply = jax.jit(SMALL_MASK.apply)
    together = apply(mask, jnp.pad(x, ((0, 0), (0, 8), (0, 0))), frames)
    for row, length in enumerate(frames.tolist()):
        alone = apply(mask, x[row : row + 1, :length], frames[row : row + 1])
        np.testing.assert_allclose(together[row, :length], alone[0], atol=1e-5)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_only_masks_of_a_causal_generator_ignore_later_frames(causal, normalise):
    module = SMALL_MASK.clone(causal=causal, normalise=normalise)
    x, frames = feature(), jnp.full(3, 14)
    variables = jax.jit(module.init)(jax.random.key(1), x, frames)
    apply = jax.jit(module.apply)
    mask = apply(variables, x, frames)
    changed = apply(variables, x.at[:, 9:].multiply(3), frames)
    difference = jnp.abs(mask - changed).max(axis=(0, 2))
    assert (difference[9:] > 1e-4).all()
    assert (difference[:9] == 0).all() == causal


@pytest.mark.parametrize("normalise", [True, False])
def test_a_stream_of_frames_gets_the_masks_of_the_whole(normalise):
    module = SMALL_MASK.clone(causal=True, normalise=normalise)
    x, frames = feature(), jnp.array([14, 9, 5])
    variables = jax.jit(module.init)(jax.random.key(1), x, frames)
    padded = jnp.where((jnp.arange(14) < frames[:, None])[..., None], x, 50)
    whole = jax.jit(module.apply)(variables, padded, frames)
    advance = jax.jit(functools.partial(module.apply, method="advance"))
    memory, pieces = module.initial_memory(3, BINS), []
    for piece in (x[:, :1], x[:, 1:2], x[:, 2:9], x[:, 9:]):
        mask, memory = advance(variables, piece, memory)
        pieces.append(mask)
    streamed = jnp.concatenate(pieces, axis=1)
    for row, length in enumerate(frames.tolist()):
        np.testing.assert_allclose(whole[row, :length], streamed[row, :length], atol=1e-6)


def test_discriminator_gives_padded_batches_what_single_utterances_get(judge):
    x, y, frames = feature(), feature(seed=1), jnp.array([14, 9, 7])
    noise = 50 * feature(frames=22, seed=2)
    padded = [noise.at[:, :14].set(side) for side in (x, y)]
    for row, length in enumerate(frames.tolist()):
        padded = [side.at[row, length:14].set(noise[row, length:14]) for side in padded]
    together = judge_of(judge, *padded, frames)
    for row, length in enumerate(frames.tolist()):
        alone = judge_of(
            judge,
            x[row : row + 1, :length],
            y[row : row + 1, :length],
            frames[row : row + 1],
        )
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_gradients_are_finite_beside_rows_that_only_fill(mask, judge):
    x, frames = feature(), jnp.array([14, 9, 0])
    x = jnp.where((jnp.arange(14) < frames[:, None])[..., None], x, 0)

    def loss(variables, judge_params):
        made = SMALL_MASK.apply(variables, x, frames) * x
        score = judge_of({**judge, "params": judge_params}, made, x, frames)
        return jnp.sum(jnp.where(frames > 0, score, 0) ** 2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(mask, judge["params"])
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("causal", [True, False])
def test_the_lstms_see_a_power_of_the_input(causal):
    x, frames = feature().at[1, 3].set(0), jnp.array([14, 9, 5])
    plain = SMALL_MASK.clone(causal=causal)
    raised = plain.clone(power=0.3)
    variables = jax.jit(plain.init)(jax.random.key(1), x, frames)
    mask = jax.jit(raised.apply)(variables, x, frames)
    np.testing.assert_allclose(mask, jax.jit(plain.apply)(variables, x**0.3, frames), atol=1e-6)
    assert jnp.abs(mask - jax.jit(plain.apply)(variables, x, frames)).max() > 1e-3
    gradients = jax.jit(jax.grad(lambda each: raised.apply(each, x, frames).sum()))(variables)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_mask_stays_within_its_bounds(mask):
    loud = 1e4 * feature()
    y = SMALL_MASK.apply(mask, loud, jnp.array([14, 14, 14]))
    assert float(y.min()) >= 0.05
    assert float(y.max()) <= 1.0


def test_learnable_sigmoid_is_the_papers():
    module = LearnableSigmoid()
    x = jnp.array([[-1.0, 0.0, 2.0]])
    variables = {"params": {"slope": jnp.array([1.0, 2.0, 3.0])}}
    expected = 1.2 / (1 + np.exp(-np.array([[-1.0, 0.0, 6.0]])))
    np.testing.assert_allclose(module.apply(variables, x), expected, rtol=1e-6)


def test_channel_norm_ignores_level():
    x = jnp.stack([feature(), 7 * feature(seed=3) + 2], axis=-1)
    valid = jnp.ones((3, 14))
    module = ChannelNorm(epsilon=0.0)
    variables = module.init(jax.random.key(0), x, valid)
    y = module.apply(variables, x, valid)
    np.testing.assert_allclose(y.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(module.apply(variables, 5 * x, valid), y, atol=1e-5)


def test_spectral_norm_divides_by_the_largest_singular_value(judge):
    x, frames = feature(), jnp.array([14, 14, 14])
    step = jax.jit(lambda v: SMALL.apply(v, x, x, frames, mutable=["batch_stats"])[1])
    for _ in range(200):
        judge = {**judge, **step(judge)}
    kernels = {
        "SpectralNorm_0": judge["params"]["Conv_0"]["kernel"],
        "SpectralNorm_1": judge["params"]["Conv_1"]["kernel"],
        "SpectralNorm_2": judge["params"]["Dense_0"]["kernel"],
        "SpectralNorm_3": judge["params"]["Dense_1"]["kernel"],
    }
    for name, kernel in kernels.items():
        (sigma,) = (v for k, v in judge["batch_stats"][name].items() if k.endswith("sigma"))
        largest = np.linalg.norm(np.asarray(kernel).reshape(-1, kernel.shape[-1]), 2)
        np.testing.assert_allclose(sigma, largest, rtol=1e-3)


def test_one_call_is_one_power_iteration(judge):
    x, frames = feature(), jnp.array([14, 14, 14])
    _, after = SMALL.apply(judge, x, x, frames, mutable=["batch_stats"])
    kernel = np.asarray(judge["params"]["Dense_1"]["kernel"], np.float64)
    u = np.asarray(judge["batch_stats"]["SpectralNorm_3"]["Dense_1/kernel/u"], np.float64)
    v = u @ kernel.T / np.linalg.norm(u @ kernel.T)
    u = v @ kernel / np.linalg.norm(v @ kernel)
    sigma = (v @ kernel @ u.T).item()
    assert after["batch_stats"]["SpectralNorm_3"]["Dense_1/kernel/sigma"] == pytest.approx(sigma)


def valid_rows(array, frames):
    return jnp.where((jnp.arange(array.shape[1]) < frames[:, None])[..., None], array, 0)


def distance(one, other):
    """Norm of the difference of two trees over that of the second."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    gap = sum(np.sum(np.square(np.asarray(a, np.float64) - b)) for a, b in pairs)
    return np.sqrt(gap / sum(np.sum(np.square(b)) for b in jax.tree.leaves(other)))


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


HALF_MASK = SMALL_MASK.clone(dtype=jnp.bfloat16)
HALF_JUDGE = SMALL.clone(dtype=jnp.bfloat16)
FLOAT32 = {jnp.dtype("float32")}


def test_bfloat16_generator_is_the_float32_one_but_for_rounding(mask):
    x, frames = feature(), jnp.array([14, 9, 5])
    x = valid_rows(x, frames)
    shapes = jax.eval_shape(HALF_MASK.init, jax.random.key(1), x, frames)
    assert dtypes(shapes) == FLOAT32

    def loss(module, variables):
        y = module.apply(variables, x, frames)
        return jnp.sum(valid_rows(y * feature(seed=4), frames)), y

    def run(module):
        return jax.jit(jax.value_and_grad(lambda v: loss(module, v), has_aux=True))(mask)

    (_, y), gradient = run(SMALL_MASK)
    (_, z), found = run(HALF_MASK)
    assert dtypes((z, found)) == FLOAT32
    assert not np.array_equal(y, z)  # it does compute in bfloat16
    assert distance(valid_rows(z, frames), valid_rows(y, frames)) < 2e-3
    assert distance(found, gradient) < 0.01


def test_bfloat16_discriminator_is_the_float32_one_but_for_rounding(judge):
    x, y, frames = feature(), feature(seed=1), jnp.array([14, 9, 7])
    shapes = jax.eval_shape(HALF_JUDGE.init, jax.random.key(1), x, y, frames)
    assert dtypes(shapes) == FLOAT32

    def loss(module, params, candidate):
        variables = {**judge, "params": params}
        score, state = module.apply(variables, candidate, y, frames, mutable=["batch_stats"])
        return jnp.sum((score - 1) ** 2), (score, state)

    def run(module):
        grad = jax.value_and_grad(lambda *a: loss(module, *a), (0, 1), has_aux=True)
        return jax.jit(grad)(judge["params"], x)

    (_, (score, state)), gradients = run(SMALL)
    (_, (half_score, half_state)), half_gradients = run(HALF_JUDGE)
    assert dtypes((half_score, half_state, half_gradients)) == FLOAT32
    assert not np.array_equal(score, half_score)
    np.testing.assert_allclose(half_score, score, atol=0.01)
    # The spectral norm does not take part: kernels are normalised before they are rounded.
    assert distance(half_state, state) < 1e-6
    for one, other in zip(half_gradients, gradients, strict=True):
        assert distance(one, other) < 0.03


def test_bfloat16_discriminator_computes_with_further_channels_that_are_zero(judge, monkeypatch):
    x, y, frames = feature(), feature(seed=1), jnp.array([14, 9, 7])

    def loss(params, candidate):
        variables = {**judge, "params": params}
        options = {"mutable": ["batch_stats", "intermediates"], "capture_intermediates": True}
        score, state = HALF_JUDGE.apply(variables, candidate, y, frames, **options)
        made = state["intermediates"]
        return jnp.sum((score - 1) ** 2), (made["Conv_0"], made["Conv_1"])

    def run():
        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(judge["params"], x)

    padded, made = run()
    for (layer,), channels in zip((of["__call__"] for of in made), (3, 4), strict=True):
        assert layer.shape[-1] == 16
        assert np.any(layer[..., :channels])
        assert not np.any(layer[..., channels:])
    monkeypatch.setattr(spectrogram, "CHANNELS_TOGETHER", 1)
    plain, made = run()
    assert [of["__call__"][0].shape[-1] for of in made] == [3, 4]
    assert distance(padded, plain) < 1e-3


def test_bfloat16_keeps_padding_out(mask, judge):
    x, frames = feature(), jnp.array([14, 9, 7])
    x = valid_rows(x, frames)
    loud = jnp.pad(x, ((0, 0), (0, 8), (0, 0)))
    noise = 50 * feature(frames=22, seed=2)
    padded = jnp.where((jnp.arange(22) < frames[:, None])[..., None], loud, noise)

    mask_of = jax.jit(lambda x, frames: HALF_MASK.apply(mask, x, frames))
    score_of = jax.jit(
        lambda x, frames: HALF_JUDGE.apply(judge, x, x / 2, frames, mutable=["batch_stats"])[0]
    )
    masks, scores = mask_of(loud, frames), score_of(padded, frames)
    for row, length in enumerate(frames.tolist()):
        alone, one = x[row : row + 1, :length], frames[row : row + 1]
        np.testing.assert_allclose(masks[row, :length], mask_of(alone, one)[0], atol=2**-8)
        np.testing.assert_allclose(scores[row], score_of(alone, one)[0], atol=2**-7)


def test_a_few_adversarial_updates_in_bfloat16_follow_those_in_float32(mask, judge):
    x, clean, frames = feature(), feature(seed=1), jnp.array([14, 9, 7])
    x = valid_rows(x, frames)
    optimizer = optax.adam(1e-2)

    def train(generator, discriminator):
        g, d = mask["params"], judge["params"]
        state, losses = judge["batch_stats"], []
        g_moments, d_moments = optimizer.init(g), optimizer.init(d)

        def score(d, candidate, state):
            variables = {"params": d, "batch_stats": state}
            value, moved = discriminator.apply(
                variables, candidate, clean, frames, mutable=["batch_stats"]
            )
            return value, moved["batch_stats"]

        def d_loss(d, made, state):
            real, state = score(d, clean, state)
            fake, state = score(d, made, state)
            return jnp.mean((real - 1) ** 2 + (fake - 0.4) ** 2), state

        def g_loss(g, d, state):
            made = generator.apply({"params": g}, x, frames) * x
            return jnp.mean((score(d, made, state)[0] - 1) ** 2)

        @jax.jit
        def step(g, d, state, g_moments, d_moments):
            made = generator.apply({"params": g}, x, frames) * x
            (d_value, state), gradient = jax.value_and_grad(d_loss, has_aux=True)(d, made, state)
            updates, d_moments = optimizer.update(gradient, d_moments)
            d = optax.apply_updates(d, updates)
            g_value, gradient = jax.value_and_grad(g_loss)(g, d, state)
            updates, g_moments = optimizer.update(gradient, g_moments)
            g = optax.apply_updates(g, updates)
            return (g, d, state, g_moments, d_moments), (d_value, g_value)

        carry = g, d, state, g_moments, d_moments
        for _ in range(6):
            carry, values = step(*carry)
            losses.append(values)
        assert dtypes(carry[:3]) == FLOAT32
        return np.array(losses)

    full, half = train(SMALL_MASK, SMALL), train(HALF_MASK, HALF_JUDGE)
    assert np.isfinite(half).all()
    assert full[-1, 0] < full[0, 0]
    np.testing.assert_allclose(half, full, rtol=0.02)
