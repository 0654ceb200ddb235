import math

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores import objectives
from jaxgan.scores.objectives import ObjectivePool

MODULE = """
import os
import sys
import time

def note(items):
    with open(os.environ["RATED"], "a") as file:
        file.write(" ".join(items) + "\\n")

def length(items):
    assert "jax" not in sys.modules
    note(items)
    return [len(item) / 10 for item in items]

def faulty(items):
    note(items)
    for item in items:
        if item == "raise":
            raise RuntimeError("no")
        if item.startswith("die"):
            os._exit(3)
        if item == "leave":
            sys.exit(3)
        if item == "crowd" and len(items) > 1:
            os._exit(3)
        if item.startswith("hang"):
            time.sleep(60)
    return [float("inf") if item == "inf" else len(item) / 10 for item in items]

def short(items):
    return [len(item) / 10 for item in items if item != "left out"]

def long(items):
    return [0.5] * (len(items) + 1)

def text(items):
    return "1" * len(items)

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "rated_lengths.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("RATED", str(tmp_path / "rated.txt"))
    return tmp_path


def recorded_calls(module):
    """Returns the lists that the objective was called with, in the order of the calls."""
    return [line.split(" ") for line in (module / "rated.txt").read_text().split("\n")[:-1]]


def test_every_item_is_rated_once(module):
    with ObjectivePool("rated_lengths:length", workers=2) as pool:
        items = ["a", "bbb", "a", "", "cc"] * 3
        np.testing.assert_allclose(pool(items), [len(item) / 10 for item in items])
        assert pool.calls == 4
        np.testing.assert_allclose(pool(["a", "dddd"]), [0.1, 0.4], rtol=1e-6)
        assert pool.calls == 5
        assert pool([]).shape == (0,)
    assert sorted(item for call in recorded_calls(module) for item in call) == [
        "",
        "a",
        "bbb",
        "cc",
        "dddd",
    ]


@pytest.mark.parametrize("bad", ["raise", "leave", "die", "hang", "inf"])
def test_an_item_that_fails_is_nan_and_affects_no_other(module, bad):
    with ObjectivePool("rated_lengths:faulty", workers=1, deadline_seconds=2.0) as pool:
        items = ["a", "bb", bad, "ccc", "dd"]
        np.testing.assert_allclose(pool(items), [0.1, 0.2, np.nan, 0.3, 0.2], rtol=1e-6)
        assert pool.calls == 5
        # The good items are cached; only a new item is rated.
        before = len(recorded_calls(module))
        np.testing.assert_allclose(pool([*items[:2], "eeee"]), [0.1, 0.2, 0.4], rtol=1e-6)
        assert recorded_calls(module)[before:] == [["eeee"]]
        assert math.isnan(pool([bad])[0])
        again = [bad] in recorded_calls(module)[before:]
        assert again == (bad in ("die", "hang"))


def test_an_exception_is_logged_once_and_its_item_found_in_few_calls(module, caplog):
    with ObjectivePool("rated_lengths:faulty", workers=1) as pool:
        items = [f"{number:03}" for number in range(256)]
        items[77] = "raise"
        ratings = pool(items)
        assert np.flatnonzero(np.isnan(ratings)).tolist() == [77]
        # The whole list, once more to log the exception, and two halves of each of 8 sizes.
        assert len(recorded_calls(module)) == 1 + 1 + 2 * 8
        pool(["raise", "x"])
        pool(["leave", "y"])
    assert [record.getMessage() for record in caplog.records] == [
        "rated_lengths:faulty failed on an item, which counts as unscorable: RuntimeError: no "
        "(logged once, then only counted)"
    ]


def test_an_item_that_fails_only_in_a_list_is_rated_by_itself(module):
    with ObjectivePool("rated_lengths:faulty", workers=1) as pool:
        np.testing.assert_allclose(pool(["a", "crowd", "bb"]), [0.1, 0.5, 0.2], rtol=1e-6)


def test_items_that_all_hang_take_a_few_deadlines(module, caplog):
    with ObjectivePool("rated_lengths:faulty", workers=1, deadline_seconds=1.0) as pool:
        items = [*(f"hang{number}" for number in range(40)), "a"]
        assert np.isnan(pool(items)).all()
        # The whole list, three single items, and one that may have started in the meantime.
        assert [len(call) for call in recorded_calls(module)] in ([41, 1, 1, 1], [41, 1, 1, 1, 1])
        warnings = [record for record in caplog.records if record.name.endswith("objectives")]
        assert len(warnings) == 1
        assert (
            warnings[0].getMessage().startswith("rated_lengths:faulty crashes or hangs on too many")
        )
        np.testing.assert_allclose(pool(["a"]), [0.1], rtol=1e-6)


def test_too_many_crashes_end_the_call(module, monkeypatch):
    monkeypatch.setitem(objectives.WORKER_LOSS_LIMITS, "crashed", 2)
    with ObjectivePool("rated_lengths:faulty", workers=1) as pool:
        items = ["a", *(f"die{number}" for number in range(9)), "bb"]
        np.testing.assert_allclose(pool(items), [0.1, *[np.nan] * 10], rtol=1e-6)
        np.testing.assert_allclose(pool(["bb"]), [0.2], rtol=1e-6)


def test_a_list_of_the_wrong_length_is_retried_in_halves(module, caplog):
    with ObjectivePool("rated_lengths:short", workers=1) as pool:
        found = pool(["a", "left out", "bb"])
    np.testing.assert_allclose(found, [0.1, np.nan, 0.2], rtol=1e-6)
    assert "rated_lengths:short failed" in caplog.text
    assert "ValueError: 2 ratings for 3 items" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("long", "ValueError: 3 ratings for 2 items"),
        ("text", "TypeError: a string instead of a list of 2 ratings"),
    ],
)
def test_invalid_ratings_of_single_items_are_nan(module, caplog, name, message):
    with ObjectivePool(f"rated_lengths:{name}", workers=1) as pool:
        assert np.isnan(pool(["one", "two"])).all()
    assert message in caplog.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rated_lengths:nothing", "objective: 'rated_lengths:nothing': module"),
        ("no_module:f", "cannot import 'no_module'"),
        ("rated_lengths:number", "cannot be called with a list"),
    ],
)
def test_an_invalid_objective_is_reported(module, path, message):
    with pytest.raises(UserError, match=message):
        ObjectivePool(path, workers=1)
