import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores import Score, Unscorable, by_range, get, with_map

RAMP = np.linspace(-0.5, 0.5, 100)


def difference(reference, estimate, sample_rate):
    return float(np.abs(reference - estimate).max())


DIFFERENCE = Score("difference", 0.0, 2.0, higher_is_better=False, measure=difference)


def test_int16_is_scored_as_a_fraction_of_full_scale():
    integers = (RAMP * 32768).astype(np.int16)
    assert DIFFERENCE(integers, integers / 32768, 16000) == 0.0
    assert DIFFERENCE(RAMP.astype(np.float32), RAMP, 16000) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(
    ("reference", "estimate"),
    [
        (RAMP, RAMP[:-1]),
        (RAMP[:0], RAMP[:0]),
        (RAMP * 0, RAMP),
        (RAMP, RAMP * 0),
        (RAMP, np.where(RAMP > 0.4, np.nan, RAMP)),
        (np.where(RAMP > 0.4, np.inf, RAMP), RAMP),
    ],
    ids=["unequal", "empty", "silent reference", "silent estimate", "NaN", "infinite"],
)
def test_invalid_pairs_give_nan_and_never_reach_the_measure(reference, estimate):
    def measure(*pair):
        raise AssertionError("measured")

    assert math.isnan(Score("x", 0.0, 1.0, True, measure)(reference, estimate, 16000))


def test_unscorable_pairs_and_infinite_values_give_nan():
    def unscorable(*pair):
        raise Unscorable("because")

    assert math.isnan(Score("x", 0.0, 1.0, True, unscorable)(RAMP, RAMP, 16000))
    assert math.isnan(Score("x", 0.0, 1.0, True, lambda *pair: math.inf)(RAMP, RAMP, 16000))


def test_arrays_that_are_not_waveforms_are_rejected():
    with pytest.raises(ValueError, match="one channel"):
        DIFFERENCE(RAMP[:, None], RAMP[:, None], 16000)
    with pytest.raises(TypeError, match="int32"):
        DIFFERENCE(np.ones(5, np.int32), np.ones(5, np.int32), 16000)


def test_range_map_gives_the_better_end_the_value_1():
    assert [DIFFERENCE.normalise(raw) for raw in (0.0, 0.5, 2.0, 3.0)] == [1.0, 0.75, 0.0, 0.0]
    assert [get("si_sdr").normalise(raw) for raw in (-30.0, 5.0, 31.0)] == [0.0, 0.5, 1.0]
    assert math.isnan(DIFFERENCE.normalise(math.nan))


@pytest.mark.parametrize("mode", ["pesq_wb", "pesq_nb"])
def test_maps_of_pesq(mode):
    score = get(mode)
    assert score.normalise(3.0) == pytest.approx(0.7)
    ranged = by_range(score)
    assert ranged.normalise(score.lowest) == 0.0
    assert ranged.normalise(score.highest) == 1.0
    assert ranged.normalise(1.0) == 0.0


def test_paper_map_of_identical_signals_in_wide_band_pesq():
    assert get("pesq_wb").normalise(get("pesq_wb").highest) == pytest.approx(1.029, abs=5e-4)


def test_paper_map_of_stoi_is_the_identity():
    assert get("stoi").normalise(0.83) == 0.83
    assert by_range(get("stoi")).normalise(-0.01) == 0.0


@pytest.mark.parametrize("score", [get("pesq_wb"), by_range(get("pesq_wb")), get("si_sdr")])
def test_maps_take_arrays_on_the_host_and_in_a_compiled_function(score):
    raw = np.array([1.0, 2.5, np.nan, 40.0], np.float32)
    expected = [score.normalise(float(value)) for value in raw]
    np.testing.assert_allclose(score.normalise(raw), expected, rtol=1e-6)
    compiled = jax.jit(score.normalise)(jnp.asarray(raw))
    np.testing.assert_allclose(compiled, expected, rtol=1e-6)
    assert compiled.dtype == jnp.float32


def test_the_map_is_chosen_by_name():
    score = get("pesq_wb")
    assert with_map(score, "paper") == score
    assert with_map(score, "range") == by_range(score)
    with pytest.raises(UserError, match=r"score_map.*'papers'.*'paper' or 'range'"):
        with_map(score, "papers")


def test_a_clipped_score_is_reported_once_with_its_value(caplog, monkeypatch):
    monkeypatch.setattr("jaxgan.scores.score._clipped", set())
    for raw in (1.0, math.nan, np.array([0.5, 2.5], np.float32), 9.0):
        DIFFERENCE.normalise(raw)
    assert caplog.messages == [
        f"{DIFFERENCE.name}: the score 2.5 is outside of its declared range of "
        f"{DIFFERENCE.lowest:g} to {DIFFERENCE.highest:g} and is clipped to it for training "
        "(logged once)"
    ]
