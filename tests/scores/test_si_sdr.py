import math

import numpy as np
import pytest

from jaxgan.scores import get

TIME = 2 * np.pi * np.arange(1600) / 1600
TARGET, OTHER = np.sin(5 * TIME), np.cos(9 * TIME)  # orthogonal, zero mean, equal energy


@pytest.mark.parametrize("decibels", [-15.0, 0.0, 12.5, 60.0])
def test_closed_form(decibels):
    estimate = 0.3 * (TARGET + 10 ** (-decibels / 20) * OTHER)
    assert get("si_sdr")(TARGET, estimate, 16000) == pytest.approx(decibels, abs=1e-9)


def test_levels_signs_and_offsets_have_no_effect():
    score = get("si_sdr")
    estimate = TARGET + 0.1 * OTHER
    expected = score(TARGET, estimate, 16000)
    for reference, other in [(0.01 * TARGET, 3 * estimate), (-TARGET, estimate)]:
        assert score(reference, other, 16000) == pytest.approx(expected)
    assert score(TARGET + 0.5, estimate - 0.2, 16000) == pytest.approx(expected)


def test_the_extremes_are_finite():
    assert get("si_sdr")(TARGET, 2 * TARGET, 16000) == pytest.approx(100.0)
    assert get("si_sdr")(TARGET, OTHER, 16000) == pytest.approx(-100.0)


def test_a_constant_is_unscorable():
    assert math.isnan(get("si_sdr")(TARGET, np.full_like(TARGET, 0.1), 16000))
    assert math.isnan(get("si_sdr")(np.full_like(TARGET, 0.1), TARGET, 16000))
