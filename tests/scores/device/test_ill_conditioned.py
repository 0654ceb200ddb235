"""Tests that every device score equals the host's on signals that are hard for float32."""

import jax
import numpy as np
import pytest
import soxr

import jaxgan.scores
from jaxgan.scores import device
from jaxgan.scores.device import llr

RATE = 16000


def telephone(signal):
    """Returns speech whose upper half of the band is empty, as after resampling from 8 kHz."""
    narrow = soxr.resample(signal, RATE, RATE // 2, quality="HQ")
    return np.resize(soxr.resample(narrow, RATE // 2, RATE, quality="HQ"), len(signal))


def gapped(signal):
    return np.where(np.arange(len(signal)) % 12000 < 4000, 0, signal)


def hum(signal):
    return 0.2 * np.sin(2 * np.pi * 50 / RATE * np.arange(len(signal)))


MATERIALS = {
    "plain": lambda x: x,
    "band-limited": telephone,
    "offset": lambda x: x / 2 + 0.1,
    "hum": lambda x: x / 2 + hum(x),
    "clipped": lambda x: np.clip(20 * x, -1, 1),
    "-60 dB": lambda x: x / 1000,
    "digital silence": gapped,
}


@pytest.fixture
def materials(make_pairs):
    """Returns a pair of each material; in the last two only one side of it is degraded."""
    clean, noisy = (side.astype(float) for side in make_pairs([1.0])[0])
    pairs = [(change(clean), change(noisy)) for change in MATERIALS.values()]
    pairs += [(clean, noisy / 2 + 0.1), (clean, telephone(noisy))]
    return [tuple(side.astype(np.float32) for side in pair) for pair in pairs]


@pytest.mark.parametrize("name", ["composite", "pesq_nb", "si_sdr", "stoi", "estoi"])
def test_equals_the_host_by_itself_and_in_a_padded_batch(materials, batch, name):
    score = getattr(device, name)
    together = score(*batch(materials, 20000), group=16)
    alone = [score(*batch([pair])) for pair in materials]
    # `composite` returns the other seven scores.
    names = together._fields if name == "composite" else [name]
    together = np.reshape(together, (len(names), -1))
    alone = np.reshape(alone, (-1, len(names))).T
    # The rounding noise of wide-band PESQ depends on the batch.
    np.testing.assert_allclose(alone, together, atol=5e-4 if name == "composite" else 1e-4)
    for part, scores in zip(names, together, strict=True):
        expected = [jaxgan.scores.get(part)(*pair, RATE) for pair in materials]
        # The wide-band filter's rounding noise of offsets and hum is audible, see docs/scores.md.
        np.testing.assert_allclose(scores, expected, atol=0.01 if part == "pesq_wb" else 0.005)


def test_gradient_of_the_log_likelihood_ratio_equals_that_in_float64(materials, batch):
    def gradient(arrays):
        reference, estimate, lengths = arrays
        return np.asarray(
            jax.jit(jax.grad(lambda e: llr(reference, e, lengths).sum()))(estimate), float
        )

    arrays = batch([materials[1], materials[2], materials[3]])
    single = gradient(arrays)
    with jax.enable_x64(True):
        double = gradient([*(side.astype(float) for side in arrays[:2]), arrays[2]])
    norms = np.linalg.norm(single, axis=1) * np.linalg.norm(double, axis=1)
    assert (np.sum(single * double, 1) / norms > 0.99).all()
