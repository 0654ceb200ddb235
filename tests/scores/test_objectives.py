import math

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores.objectives import ObjectivePool

MODULE = """
import os
import sys
import time

def length(items):
    assert "jax" not in sys.modules
    with open(os.environ["RATED"], "a") as file:
        file.write("".join(f"{item}\\n" for item in items))
    return [len(item) / 10 for item in items]

def moody(items):
    for item in items:
        if item == "raise":
            raise RuntimeError("no")
        if item == "die":
            os._exit(3)
        if item == "hang":
            time.sleep(60)
    return [float("inf") if item == "inf" else 0.5 for item in items]

def short(items):
    return [0.0]

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "rated_lengths.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("RATED", str(tmp_path / "rated.txt"))
    return tmp_path


def test_every_item_is_rated_once(module):
    with ObjectivePool("rated_lengths:length", workers=2) as pool:
        items = ["a", "bbb", "a", "", "cc"] * 3
        np.testing.assert_allclose(pool(items), [len(item) / 10 for item in items])
        assert pool.calls == 4
        np.testing.assert_allclose(pool(["a", "dddd"]), [0.1, 0.4], rtol=1e-6)
        assert pool.calls == 5
        assert pool([]).shape == (0,)
    rated = (module / "rated.txt").read_text().split("\n")
    assert sorted(rated[:-1]) == ["", "a", "bbb", "cc", "dddd"]


def test_what_goes_wrong_is_nan_and_stops_nothing(module):
    with ObjectivePool("rated_lengths:moody", workers=1, deadline_seconds=1.0) as pool:
        for item in ("raise", "die", "hang", "inf"):
            assert math.isnan(pool([item])[0])
            assert pool([f"fine after {item}"])[0] == 0.5
    with ObjectivePool("rated_lengths:short", workers=1) as pool:
        assert np.isnan(pool(["one", "two"])).all()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rated_lengths:nothing", "objective: 'rated_lengths:nothing': module"),
        ("no_module:f", "cannot import 'no_module'"),
        ("rated_lengths:number", "cannot be called with a list"),
    ],
)
def test_what_is_no_objective_is_told(module, path, message):
    with pytest.raises(UserError, match=message):
        ObjectivePool(path, workers=1)
