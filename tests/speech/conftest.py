"""Keeps the tests off the user's cache, and lets them import the helpers in corpora.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_cache(make_cache, monkeypatch):
    """The cache folder of this test alone, but for the compiled libraries."""
    folder = make_cache()
    monkeypatch.setenv("JAXGAN_CACHE", str(folder))
    return folder
