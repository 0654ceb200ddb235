"""The code on the pages runs as it stands, and their links lead somewhere."""

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

import jaxgan
from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices

ROOT = Path(__file__).parents[1]
EXAMPLES = {"key"}
"""Placeholders of config keys."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE_BLOCK = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
CONFIG = re.compile(r"--config=([\w/]+\.py:?\w*|\w+:\w+)")
KEY = re.compile(r"(?:--|`)config\.([a-z]\w*(?:\.[a-z0-9_]+)*)[=`]")


def load_program():
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The files of docs/recipes.md, written where Python finds them."""
    blocks = dict(FILE_BLOCK.findall((ROOT / "docs" / "recipes.md").read_text()))
    table = blocks.pop("jaxgan/recipes.py")
    for name, text in blocks.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxgan, "__path__", [*jaxgan.__path__, str(tmp_path / "jaxgan")])
    monkeypatch.setattr(recipes, "RECIPES", dict(recipes.RECIPES))
    monkeypatch.setattr(devices, "start", lambda *given: None)
    exec(table, {"RECIPES": recipes.RECIPES})
    return tmp_path


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_simple_system_takes_at_most_70_lines():
    page = (ROOT / "docs" / "recipes.md").read_text()
    lines = [
        line
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) <= 70


def test_the_recipe_of_the_page_learns(page):
    assert load_program().main(["--config=configs/circle.py", "--workdir=run"]) == 0
    first, *_, last = rows(page / "run")
    assert last["step"] == 8 * 2 * 100
    assert last["valid/distance"] < 0.2 < first["valid/distance"]


def test_the_recipe_of_the_page_resumes(page):
    train = load_program().main
    command = ["--config=configs/circle.py"]
    for workdir, rounds in [("one", 2), ("two", 1), ("two", 2)]:
        assert train([*command, f"--config.rounds={rounds}", f"--workdir={workdir}"]) == 0
    names = ("train/d_loss", "train/g_loss", "valid/distance")
    one, other = (
        [[row[name] for name in names] for row in rows(page / workdir)]
        for workdir in ("one", "two")
    )
    assert one == other


@pytest.mark.parametrize("name", ["results", "performance"])
def test_figures_are_read_in_two_minutes_and_begin_with_a_table(name):
    title, _, first, *_ = text = (ROOT / "docs" / f"{name}.md").read_text().splitlines()
    assert (title[:2], first[:2]) == ("# ", "| ")
    assert len(" ".join(text).split()) <= 600


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path):
    links = LINK.findall(path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_page_can_be_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop().resolve()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            ahead += [path.parent / link for link in LINK.findall(path.read_text())]
    assert [path.name for path in PAGES if path.resolve() not in reached] == []


def test_every_test_that_the_errata_name_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "errata.md").read_text())
    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file} has no {name}"


def test_every_config_that_a_page_names_exists():
    named = {spec for path in PAGES for spec in CONFIG.findall(path.read_text())}
    assert len(named) > 20
    for spec in named - {"configs/circle.py"}:  # that of docs/recipes.md
        configs.load(str(ROOT / spec) if "/" in spec else spec)


def test_every_config_key_that_a_page_names_exists():
    names = [path.stem for path in (ROOT / "configs").glob("*.py")]
    known = {key for name in names for key in configs.flat(configs.load(name))}
    sections = {key.rsplit(".", 1)[0] for key in known}
    for path in PAGES:
        named = set(KEY.findall(path.read_text()))
        assert named <= known | sections | EXAMPLES, path.name


def test_the_tour_is_short_and_stores_no_outputs():
    tour = json.loads((ROOT / "docs" / "tour.ipynb").read_text())
    assert len(tour["cells"]) == 10
    code = [cell for cell in tour["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_image_installs_and_starts_what_the_package_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    [extra] = re.findall(r"pip install .*\[(\w+)\]", "\n".join(lines))
    assert extra in project["optional-dependencies"]
    [start] = [line.split(" ", 1)[1] for line in lines if line.startswith("ENTRYPOINT")]
    assert ast.literal_eval(start) == ["jaxgan"]
    assert "jaxgan" in project["scripts"]
    assert any(line.startswith("USER ") and line != "USER root" for line in lines)


def test_the_version_to_cite_is_that_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
