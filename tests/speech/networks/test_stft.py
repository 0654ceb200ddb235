import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.speech.networks.stft import FrontEnd, frame_mask, istft, magnitude, stft

FRONT_END = FrontEnd()


def padded(lengths, total):
    waves = jax.random.normal(jax.random.key(0), (len(lengths), total))
    return jnp.where(jnp.arange(total) < jnp.array(lengths)[:, None], waves, 0)


def test_equals_librosa():
    wave = padded([5120], 5120)
    reference = librosa.stft(
        np.asarray(wave[0]), n_fft=512, hop_length=256, window=np.hamming(512), pad_mode="constant"
    )
    np.testing.assert_allclose(stft(wave, FRONT_END)[0], reference.T, atol=1e-4)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 5000, 5120])
def test_round_trip(length):
    wave = padded([length], 5120)
    back = istft(stft(wave, FRONT_END), jnp.array([length]), FRONT_END)
    np.testing.assert_allclose(back, wave, atol=1e-5)


def test_padding_changes_nothing_and_gives_frames_of_zeros():
    lengths = jnp.array([1000, 2560, 0])
    wave = padded(lengths.tolist(), 2560)
    short = stft(wave, FRONT_END)
    long = stft(jnp.pad(wave, ((0, 0), (0, 1024))), FRONT_END)
    frames = FRONT_END.frames(lengths)
    np.testing.assert_array_equal(frames, [5, 11, 0])
    for row, count in enumerate(frames.tolist()):
        np.testing.assert_allclose(long[row, :count], short[row, :count], atol=1e-5)
        np.testing.assert_array_equal(long[row, count:], 0)
    np.testing.assert_array_equal(frame_mask(lengths, 11, FRONT_END).sum(axis=1), frames)


def test_inverse_of_changed_frames_is_the_least_squares_signal():
    # The signal x closest to frames X minimises |frames(x) - X|, whose gradient is zero there.
    spectrum = stft(padded([2560], 2560), FRONT_END) * 0.3
    spectrum = spectrum * jax.random.uniform(jax.random.key(1), spectrum.shape)
    weights = FRONT_END.weights
    wanted = jnp.fft.irfft(spectrum, n=512)

    def distance(wave):
        blocks = jnp.pad(wave, ((0, 0), (256, 256))).reshape(1, -1, 256)
        frames = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1) * weights
        return jnp.sum((frames - wanted) ** 2)

    best = istft(spectrum, jnp.array([2560]), FRONT_END)
    np.testing.assert_allclose(jax.grad(distance)(best), 0, atol=1e-5)


def test_magnitude_has_a_finite_gradient_at_zero():
    def total(wave):
        return jnp.sum(magnitude(stft(wave, FRONT_END)))

    wave = padded([300], 1024)
    np.testing.assert_allclose(
        magnitude(stft(wave, FRONT_END)), jnp.abs(stft(wave, FRONT_END)), atol=1e-5
    )
    assert bool(jnp.all(jnp.isfinite(jax.grad(total)(wave))))


def test_each_device_transforms_its_own_rows():
    mesh = devices.make_mesh(8)
    lengths = np.full(16, 2560, np.int32)
    waves = np.asarray(padded(lengths.tolist(), 2560))

    def energy(waves, lengths):
        spectrum = stft(waves, FRONT_END)
        return jnp.sum(istft(2 * spectrum, lengths, FRONT_END) ** 2)

    gradient = jax.jit(jax.grad(energy))
    placed = jax.device_put((waves, lengths), devices.sharded(mesh))
    with jax.set_mesh(mesh):
        compiled = gradient.lower(*placed).compile()
        found = compiled(*placed)
    assert "all-gather" not in compiled.as_text()
    assert found.sharding.is_equivalent_to(devices.sharded(mesh), 2)
    np.testing.assert_allclose(found, gradient(waves, lengths), atol=1e-4)
    np.testing.assert_allclose(found, 8 * waves, atol=1e-3)
