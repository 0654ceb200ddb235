"""Tests that every device score equals the host's on signals that are hard for float32."""

import jax
import numpy as np
import pytest
import soxr

import jaxgan.scores
from jaxgan.scores import device
from jaxgan.scores.device import llr
from jaxgan.scores.device.composite import Composite

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


FUNCTIONS = ("composite", "pesq_nb", "si_sdr", "stoi", "estoi")
"""They compute every device score: `composite` returns the other seven."""


def test_the_functions_compute_every_device_score():
    computed = {*Composite._fields, *FUNCTIONS}
    assert set(device.__all__) <= {"composite", *computed}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_the_host_by_itself_and_in_a_padded_batch(materials, batch, name):
    # One shape, so that each function is compiled once. Rows of no samples are padding as well.
    groups = [batch(materials[first : first + 3], 20000) for first in range(0, len(materials), 3)]
    # Compiling takes most of the time.
    quickly = {"xla_backend_optimization_level": 0}
    score = getattr(device, name).lower(*groups[0]).compile(compiler_options=quickly)
    together = [score(*group) for group in groups]
    names = together[0]._fields if name == "composite" else [name]
    together = np.concatenate([np.reshape(part, (len(names), -1)) for part in together], axis=1)
    nothing = (np.zeros(0, np.float32),) * 2
    rows = [number % 3 for number in range(len(materials))]
    alone = [
        np.reshape(score(*batch([nothing] * row + [pair] + [nothing] * (2 - row), 20000)), (-1, 3))
        for row, pair in zip(rows, materials, strict=True)
    ]
    alone = np.stack([part[:, row] for row, part in zip(rows, alone, strict=True)], axis=1)
    # The rounding noise of wide-band PESQ depends on the batch.
    np.testing.assert_allclose(alone, together, atol=5e-4 if name == "composite" else 1e-4)
    for part, scores in zip(names, together, strict=True):
        expected = [jaxgan.scores.get(part)(*pair, RATE) for pair in materials]
        # The filter of pesq_wb has audible rounding noise, see docs/device_scores.md.
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
