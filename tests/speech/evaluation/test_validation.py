"""Validation's check of the devices' scores against the host's."""

import logging
import types

import numpy as np
import pytest

from jaxgan.speech.evaluation import validation
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


def test_a_lost_noisy_score_is_asked_for_again_and_counts_as_unscorable(monkeypatch):
    clean = np.ones((2, 4), np.int16)
    batch = types.SimpleNamespace(clean=clean, noisy=clean, lengths=np.array([4, 4]))
    loader = types.SimpleNamespace(all=lambda: [(batch, batch)])
    lost = np.array([[1.0], [NAN]], np.float32)
    found = np.array([[1.0], [3.0]], np.float32)
    # In the order of the requests: noisy, enhanced; noisy again, enhanced; enhanced.
    replies = iter([lost, found, found, found, found])

    def submit(*_):
        reply = next(replies)
        return types.SimpleNamespace(collect=lambda: reply)

    monkeypatch.setattr(validation, "submit_shards", submit)
    monkeypatch.setattr(validation.Validation, "_media", lambda *_: {})
    validate = validation.Validation(loader, None, ("si_sdr",), None, lambda tree: tree)

    def enhance(params, batch):
        return batch.noisy

    enhance.prepare = lambda *_: None
    metrics = [validate(enhance, None, number)().metrics for number in (1, 2, 3)]
    assert [row["unscorable"] for row in metrics] == [1, 0, 0]
    assert [row["si_sdr_noisy"] for row in metrics] == [1, 2, 2]
