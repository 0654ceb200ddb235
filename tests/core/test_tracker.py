"""The hook for experiment trackers: what may be named, and what an error does."""

import pytest

from jaxgan.core.errors import UserError
from jaxgan.core.tracker import Tracker, load


def test_without_a_name_there_is_no_tracker():
    assert load("") is None
    Tracker("", print)({"round": 1})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("log_row", "config.tracker=log_row: write it as module:function"),
        ("math.pi", "config.tracker=math.pi: write it as module:function"),
        ("gone:log", "config.tracker: 'gone:log': cannot import 'gone' (ModuleNotFoundError"),
        ("math:log_row", "config.tracker: 'math:log_row': module 'math' has no 'log_row'"),
        ("math:pi", "config.tracker=math:pi: it is not a function, but 3.14"),
    ],
)
def test_mistakes_are_reported_in_one_line(path, message):
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_an_interrupt_is_not_an_error_of_the_tracker(tmp_path, monkeypatch):
    (tmp_path / "interrupted_tracker.py").write_text("def log(row): raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        Tracker("interrupted_tracker:log", print)({"round": 1})
