"""How a config names its system, and how a command finds what the system can do."""

import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core.errors import UserError

SYSTEM = """
from jaxgan.core.recipe import Declaration

def make(config, mesh):
    return "a recipe"

def evaluate(*arguments):
    return "scores"

def enhance(*arguments):
    return "an enhancer"

DECLARATION = Declaration(make=make, evaluate=evaluate, enhance=enhance, may_change=("workers",))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A user's own package: one module with a declaration, two without."""
    folder = tmp_path / "own_systems"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "able.py").write_text(SYSTEM)
    (folder / "trains.py").write_text(
        "from jaxgan.core.recipe import Declaration\nDECLARATION = Declaration(make=print)\n"
    )
    (folder / "empty.py").write_text("DECLARATION = 3\n")
    (folder / "broken.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_systems"
    for name in [name for name in sys.modules if name.startswith("own_systems")]:
        del sys.modules[name]


def declared(name):
    return recipes.declaration(ConfigDict({"recipe": name}))


@pytest.mark.parametrize("name", ["metricgam", "", None])
def test_the_message_for_an_unknown_recipe_lists_the_names(name):
    with pytest.raises(UserError) as error:
        declared(name)
    message = str(error.value)
    assert message.startswith(f"config.recipe={name!r}: choose one of {min(recipes.RECIPES)}, ")
    assert all(known in message for known in recipes.RECIPES)
    assert message.endswith("or an import path")


def test_a_recipe_may_be_the_import_path_of_a_module(package):
    found = declared(f"{package}.able")
    assert found.may_change == ("workers",)
    assert found.sample is None
    config = ConfigDict({"recipe": f"{package}.able"})
    assert recipes.make(config, mesh=None) == "a recipe"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("empty", "the module own_systems.empty has no DECLARATION"),
        ("absent", "there is no module own_systems.absent"),
    ],
)
def test_a_module_without_a_declaration_is_refused(package, module, message):
    with pytest.raises(UserError, match=f"config.recipe='{package}.{module}': {message}"):
        declared(f"{package}.{module}")


def test_a_module_that_a_system_lacks_is_a_defect(package):
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        declared(f"{package}.broken")


def test_a_command_finds_what_the_system_of_a_run_can_do(package, tmp_path):
    configs.write(ConfigDict({"recipe": f"{package}.able"}), tmp_path)
    assert recipes.command(tmp_path, "enhance")() == "an enhancer"
    with pytest.raises(UserError) as error:
        recipes.command(tmp_path, "sample")
    assert str(error.value) == (
        f"{tmp_path} holds a run of 'own_systems.able', which cannot sample; "
        "it can evaluate and enhance"
    )
    configs.write(ConfigDict({"recipe": f"{package}.trains"}), tmp_path)
    with pytest.raises(UserError, match="which cannot evaluate; it can only train"):
        recipes.command(tmp_path, "evaluate")
    with pytest.raises(UserError, match="is not the folder of a run"):
        recipes.command(tmp_path / "nothing", "evaluate")


def test_importing_the_table_imports_no_system():
    look = (
        "import sys, jaxgan.recipes; "
        "print([name for name in sys.modules if name.startswith(('jaxgan.s', 'espeak'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_what_a_command_can_use_a_program_can_load(name):
    found = declared(name)
    assert bool(found.load) == bool(found.enhance or found.sample or found.translate), (
        "see jaxgan.load"
    )
