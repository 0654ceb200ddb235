"""The order of the packages, and what a command imports."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgan.recipes import RECIPES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxgan"
DOMAINS = sorted(
    {path.parent.name for part in ("systems", "evaluation") for path in PACKAGE.glob(f"*/{part}")}
)
ORDER = ["core", "nn", "methods", "scores", "reporting", *DOMAINS, "recipes"]
"""A package may import those before it, but not another domain. Anything else at the top of
jaxgan, and the programs next to it, is an entry point."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def imported(path):
    """The modules of jaxgan that a file imports, wherever the import is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("jaxgan"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxgan"):
            yield node.module
            # `from jaxgan.core import loop` imports the module jaxgan.core.loop.
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if (PACKAGE.parent / Path(*name.split("."))).with_suffix(".py").exists():
                    yield name


def package_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_imports_only_those_before_it(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own not in ORDER:
        return  # an entry point
    allowed = set(ORDER[: ORDER.index(own) + 1]) - (
        set(DOMAINS) - {own} if own in DOMAINS else set()
    )
    wrong = {module for module in imported(path) if package_of(module) not in {*allowed, ""}}
    assert wrong == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_systems_do_not_import_each_other(domain):
    for path in (PACKAGE / domain / "systems").glob("*.py"):
        others = {module for module in imported(path) if f"jaxgan.{domain}.systems." in module}
        assert others == set(), path.name


def test_what_is_below_a_domain_names_none_of_its_recipes():
    """Nor do the programs: they look up what the recipe of a run declares.

    In `methods`, a loss may be called like the system that it comes from. The
    `__init__` of a package may name its own modules.
    """
    packages = [package for package in ORDER[:5] if package != "methods"]
    below = [path for package in packages for path in (PACKAGE / package).rglob("*.py")]
    systems = [path for domain in DOMAINS for path in (PACKAGE / domain / "systems").glob("*.py")]
    for path in (*below, *ROOT.glob("*.py"), *systems):
        constants = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        own = {path.stem}
        if path.name == "__init__.py":
            own |= {module.stem for module in path.parent.glob("*.py")}
        names = [name for name in RECIPES if name in constants and name not in own]
        assert names == [], path


def run(code):
    """Runs code in a fresh process and returns what it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_table_of_recipes_imports_no_system():
    modules = run("import sys, jaxgan.recipes; print(*sys.modules)").split()
    systems = [name for name in modules if name.startswith(tuple(f"jaxgan.{d}" for d in DOMAINS))]
    assert systems == []
    assert not {"espeakng_loader", "soundfile", "pesq"} & set(modules)


def test_training_on_own_data_does_not_need_the_synthesiser_of_the_demo_corpus():
    systems = sorted(path for path in RECIPES.values() if path.startswith("jaxgan.speech"))
    assert systems
    modules = run(f"import sys, {', '.join(systems)}; print(*sys.modules)").split()
    assert "jaxgan.speech.data.demo" in modules
    assert not [name for name in modules if name.startswith("espeakng")]
    assert "av" not in modules  # the extra `video`


def test_every_recipe_can_be_imported():
    for name, path in RECIPES.items():
        assert importlib.util.find_spec(path), name
