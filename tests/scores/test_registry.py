import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores import get
from jaxgan.scores.registry import installed

SOURCE = """
from jaxgan.scores import Score

def complete(reference, estimate, sample_rate):
    return float(sample_rate)
complete.lowest, complete.highest, complete.higher_is_better = 0, 20000, True

def bare(reference, estimate, sample_rate):
    return 0.0

def reversed_range(reference, estimate, sample_rate):
    return 0.0
reversed_range.lowest, reversed_range.highest, reversed_range.higher_is_better = 1, 0, True

class Error:
    name = "error"
    lowest, highest, higher_is_better = 0.0, 1.0, False
    def __call__(self, reference, estimate, sample_rate):
        return float(abs(reference - estimate).mean())
    def normalise(self, raw):
        return 1.0 - raw

instance = Error()

class NeedsArguments(Error):
    def __init__(self, size):
        self.size = size

made = Score("made", 0.0, 1.0, True, bare)
number = 3
"""

RAMP = np.linspace(-0.5, 0.5, 100)


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "home_made"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "scores.py").write_text(SOURCE)
    (folder / "broken.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    return "home_made"


@pytest.mark.parametrize("name", installed())
def test_built_in_scores_have_their_names(name):
    score = get(name)
    assert score.name == name
    assert score.lowest < score.highest
    assert score.higher_is_better == (name not in ("lsd", "llr", "wss"))


@pytest.mark.parametrize("path", ["home_made.scores.complete", "home_made.scores:complete"])
def test_a_function_by_import_path(package, path):
    score = get(path)
    assert (score.name, score.lowest, score.highest) == ("complete", 0.0, 20000.0)
    assert score(RAMP, RAMP, 8000) == 8000.0
    assert score.normalise(5000.0) == 0.25


@pytest.mark.parametrize("attribute", ["Error", "instance"])
def test_a_class_or_an_instance_with_its_own_map(package, attribute):
    score = get(f"{package}.scores:{attribute}")
    assert score.name == "error"
    assert score(RAMP, RAMP + 0.25, 16000) == pytest.approx(0.25)
    assert score.normalise(0.2) == 0.8


def test_a_score_object(package):
    assert get(f"{package}.scores:made").name == "made"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pesk", r"'pesk' is unknown; use one of pesq_wb, .*words, or the import path"),
        ("no_such_module.score", "cannot import 'no_such_module'"),
        ("home_made.broken:x", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("home_made.scores:other", "module 'home_made.scores' has no 'other'"),
        ("home_made.scores", "is a module"),
        ("home_made.scores:bare", r"lacks lowest, highest, higher_is_better; .*bare\.lowest"),
        ("home_made.scores:number", "cannot be called"),
        ("home_made.scores:NeedsArguments", "must take no arguments"),
        ("home_made.scores:reversed_range", "lowest must be below highest"),
        (":x", "cannot import ''"),
    ],
)
def test_errors_take_one_line(package, path, message):
    with pytest.raises(UserError, match=message) as caught:
        get(path)
    assert "\n" not in str(caught.value)
