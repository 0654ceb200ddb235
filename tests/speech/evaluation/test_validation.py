"""Validation's check of the devices' scores against the host's."""

import logging

import numpy as np
import pytest

from jaxgan.speech.evaluation.validation import ALLOWED_DIFFERENCE, largest_difference

NAN = np.nan


def test_the_largest_difference_is_told_and_rows_that_fill_are_not_looked_at(caplog):
    with caplog.at_level(logging.WARNING):
        found = largest_difference("s", np.array([2.0, NAN]), np.array([2.01, NAN, 7.0]))
    assert found == pytest.approx(0.01)
    assert not caplog.records


def test_too_large_a_difference_is_warned_of_with_both_values(caplog):
    host = np.array([1.0, 2.0, NAN])
    device = np.array([1.0, 2.0 + 2 * ALLOWED_DIFFERENCE, NAN])
    assert largest_difference("s", host, device) == pytest.approx(2 * ALLOWED_DIFFERENCE)
    assert "2.0000" in caplog.text
    assert "2.0400" in caplog.text


def test_disagreement_on_what_has_a_score_is_warned_of(caplog):
    assert largest_difference("s", np.array([NAN]), np.array([1.0])) == 0.0
    assert "disagree" in caplog.text
