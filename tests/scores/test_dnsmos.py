"""Tests the adapter to the package `speechmos`, which is an extra, with a fake package."""

import sys
import types

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores import get, registry
from jaxgan.scores.worker import load_score

CLEAN = np.full(1600, 0.1)


@pytest.fixture
def calls(monkeypatch):
    """Installs a fake package and returns the list of its calls."""
    calls = []

    def run(samples, rate):
        calls.append((samples, rate))
        level = float(np.abs(samples).max())
        return {"sig_mos": level, "bak_mos": 2.0, "ovrl_mos": 3.0, "p808_mos": 4.0}

    package = types.ModuleType("speechmos")
    package.dnsmos = types.SimpleNamespace(run=run)
    monkeypatch.setitem(sys.modules, "speechmos", package)
    monkeypatch.delitem(sys.modules, "jaxgan.scores.dnsmos", raising=False)
    yield calls
    sys.modules.pop("jaxgan.scores.dnsmos", None)


def test_one_run_gives_all_four_opinions_of_the_estimate(calls):
    estimate = np.linspace(-2, 0.5, 1600)
    values = [
        get(f"dnsmos_{name}")(CLEAN, estimate, 16000) for name in ("sig", "bak", "ovr", "p808")
    ]
    assert values == [1.0, 2.0, 3.0, 4.0]  # clipped to full scale
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0][0], np.clip(estimate, -1, 1))
    assert get("dnsmos_sig")(CLEAN, CLEAN, 16000) == 0.1
    assert len(calls) == 2


def test_workers_load_the_networks_once_before_they_score(calls):
    scores = [load_score(f"dnsmos_{name}", 16000) for name in ("sig", "bak")]
    assert len(calls) == 1
    assert [score(CLEAN, CLEAN) for score in scores] == [0.1, 2.0]
    assert len(calls) == 2


def test_other_sample_rates_are_rejected(calls):
    with pytest.raises(ValueError, match="16000"):
        get("dnsmos_ovr")(CLEAN, CLEAN, 8000)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "speechmos", None)
    monkeypatch.delitem(sys.modules, "jaxgan.scores.dnsmos", raising=False)
    with pytest.raises(UserError, match=r"pip install 'jaxgan\[dnsmos\]'"):
        get("dnsmos_ovr")


def test_dnsmos_is_installed_only_with_its_packages(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert not any(name.startswith("dnsmos") for name in registry.installed())
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: object())
    assert registry.installed() == registry.NAMES
