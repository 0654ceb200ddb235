import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.gam import battle


def judged_real(share, count=100):
    return np.arange(count) < round(share * count)


def test_ratios_are_those_of_the_errors():
    found = battle(judged_real(0.8), judged_real(0.6), judged_real(0.3), judged_real(0.5))
    assert found.test_ratio == pytest.approx(0.2 / 0.4)
    assert found.samples_ratio == pytest.approx(0.3 / 0.5)


def test_the_gan_that_deceives_the_other_wins():
    equal = judged_real(0.8)
    assert battle(equal, equal, judged_real(0.2), judged_real(0.6)).winner == "first"
    assert battle(equal, equal, judged_real(0.6), judged_real(0.2)).winner == "second"


def test_equal_gans_draw():
    equal = judged_real(0.8)
    assert battle(equal, equal, judged_real(0.42), judged_real(0.4)).winner == "draw"


def test_a_battle_of_unlike_discriminators_is_a_draw():
    found = battle(judged_real(0.9), judged_real(0.5), judged_real(0.1), judged_real(0.6))
    assert found.winner == "draw"


def test_swapping_the_gans_inverts_the_result():
    values = judged_real(0.8), judged_real(0.78), judged_real(0.2), judged_real(0.6)
    one, other = battle(*values), battle(values[1], values[0], values[3], values[2])
    assert one.winner == "first"
    assert other.winner == "second"
    assert one.samples_ratio * other.samples_ratio == pytest.approx(1)
    assert one.test_ratio * other.test_ratio == pytest.approx(1)


def test_discriminators_without_errors():
    sure, none = judged_real(1.0), judged_real(0.0)
    assert battle(sure, sure, none, none) == (1.0, 1.0, "draw")
    assert battle(sure, sure, none, judged_real(0.3)).winner == "first"
    assert battle(sure, sure, judged_real(0.3), none) == (1.0, np.inf, "second")


def test_no_predictions_are_refused():
    one = judged_real(0.5)
    with pytest.raises(UserError, match=r"^first_on_second: there are no predictions"):
        battle(one, one, one[:0], one)
