"""The table of config keys that the site shows."""

import importlib.util
from pathlib import Path

import pytest

from jaxgan.core import config as configs

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


@pytest.fixture(scope="module")
def hook():
    path = ROOT / "docs" / "hooks" / "config_table.py"
    spec = importlib.util.spec_from_file_location("config_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(hook):
    """The cells of each row, with the key in every row."""
    found = []
    for line in hook.table().splitlines()[2:]:
        cells = line.replace("\\|", "/").removeprefix("| ").removesuffix(" |").split(" | ")
        key, value, where, comment = cells
        found.append((key.strip("`") or found[-1][0], value.strip("`"), where, comment))
    return found


def test_it_has_every_key_of_every_config(rows):
    keys = {key for name in NAMES for key in configs.flat(configs.load(name))}
    assert {key for key, *_ in rows} == keys - {"recipe"}


def test_every_key_of_every_config_is_described(hook):
    found = [(name, key, said) for name in NAMES for key, _, said in hook.settings(name)]
    assert [row for row in found if row[1] not in hook.FORMAL and not row[2]] == []


@pytest.mark.parametrize(
    ("key", "value", "where", "comment"),
    [
        ("data.longest_seconds", "20.0", "speech", "longer utterances are left out"),
        ("checkpoint.every", "5", "all", "rounds; the best and the last are kept"),
        ("replay.share", "0.1", "metricgan", "share of all items of earlier rounds"),
        ("score_weights", "()", "metricgan", "weights of several scores in G's"),
        ("data.unit", "'characters'", "seqgan", "what a token of a text is"),
        ("clip", "0.01", "wgan", "largest weight of the critic, c of the paper"),
        ("generator.layers", "2", "cgan", "bidirectional LSTMs"),
        ("rounds", "750", "pesq_loss", "as published"),
        ("data.seed", "0", "chess_style", "for scripted games"),
        ("seed", "0", "all", "for the initial networks"),
    ],
)
def test_a_row_has_the_default_the_configs_and_the_comment(rows, key, value, where, comment):
    found = [row[2:] for row in rows if row[:2] == (key, value)]
    assert any(where in used and said.startswith(comment) for used, said in found)


def test_a_comment_of_another_value_describes_nothing(rows):
    said = {comment for key, value, _, comment in rows if (key, value) == ("rounds", "50")}
    assert len(said) == 1
    assert not said & {
        comment for key, value, _, comment in rows if (key, value) == ("rounds", "995")
    }


def test_many_configs_are_named_together(hook):
    domains = {"images": ["a", "b", "c", "d", "e", "f"], "speech": ["g", "h"], "control": ["i"]}
    most, one, rest = ["a", "b", "c", "d", "e", "g", "h"], ["f"], ["i"]
    named = [list(hook.grouped(row, [most, one, rest], domains)) for row in (most, one, rest)]
    assert named == [["others of images", "all of speech"], ["f"], ["i"]]
    assert list(hook.grouped(["a", "b"], [["a", "b"]], domains)) == ["a", "b"]


def test_a_comment_may_be_above_or_beside_a_statement(hook, tmp_path):
    (tmp_path / "config.py").write_text(
        "# Nothing to do with it.\n\n# Above,\n# in two lines.\na = (\n    1,\n)  # beside\nb = 2\n"
    )
    assert hook.comment(str(tmp_path / "config.py"), 6) == "Above, in two lines. beside"
    assert hook.comment(str(tmp_path / "config.py"), 8) == ""


def test_the_page_gets_the_table(hook):
    class Page:
        meta: dict = {}  # noqa: RUF012

    text = (ROOT / "docs" / "config.md").read_text()
    assert hook.table() in hook.on_page_markdown(text, page=Page())
    assert hook.on_page_markdown("other", page=Page()) == "other"
