"""Import paths that a user gives: what they may name, and the message of each mistake."""

import sys

import pytest

from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package `own_things` with one module that can be imported and one that cannot."""
    folder = tmp_path / "own_things"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text("class Box:\n    item = 3\n")
    (folder / "broken.py").write_text("raise RuntimeError('first\\nsecond')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_things"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("path", ["own_things.good:Box.item", "own_things:good.Box.item"])
def test_an_object_within_an_object_of_a_module(path):
    assert import_path(path) == 3


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "own_things.broken.x",
            "score: 'own_things.broken.x': cannot import 'own_things.broken' "
            "(RuntimeError: first second)",
        ),
        (
            "own_things:broken.x",
            "score: 'own_things:broken.x': cannot import 'own_things.broken' "
            "(RuntimeError: first second)",
        ),
        (
            "own_things.good:Bag",
            "score: 'own_things.good:Bag': module 'own_things.good' has no 'Bag'",
        ),
        (
            "own_things.good",
            "score: 'own_things.good' is a module; name the score in it: own_things.good:my_score",
        ),
    ],
)
def test_mistakes_are_reported_in_one_line(path, message):
    with pytest.raises(UserError) as error:
        import_path(path)
    assert str(error.value) == message
