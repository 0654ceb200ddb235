"""Writes the table of all config keys into docs/config.md when MkDocs builds the site.

    python docs/hooks/config_table.py    prints the table

Every config of configs/ is called without a preset. While it runs, each assignment to a ConfigDict
is recorded with the line of the source that makes it, and the comment of that line, or the one
above it, is the comment of the table.
"""

import ast
import functools
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from ml_collections import ConfigDict  # noqa: E402

from jaxgan import recipes  # noqa: E402
from jaxgan.core import config as configs  # noqa: E402

MARKER = "<!-- table of config keys -->"
FORMAL = ("recipe",)
"""Keys that a user never sets."""
MANY = 4
"""More configs than these, the most of their domain, are not named one by one."""


class Setting(NamedTuple):
    """One key of one config.

    Attributes:
        key: dotted.
        value: the default.
        comment: of the source; "" if there is none.
    """

    key: str
    value: Any
    comment: str


class Assignment(NamedTuple):
    """One value that a line of the source gave to a key.

    Attributes:
        section: the id of the config or of its section.
        key: in the section.
        value: what it was given.
        file: of the source.
        line: likewise.
    """

    section: int
    key: str
    value: Any
    file: str
    line: int


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Returns a page with the table in place of its marker; MkDocs calls this for every page."""
    if MARKER not in markdown:
        return markdown
    page.meta["hide"] = ["toc"]  # room for the table
    return markdown.replace(MARKER, table())


@functools.cache
def table() -> str:
    """Returns the table of all keys in Markdown: a row for each default and its comment."""
    names = sorted(path.stem for path in (ROOT / "configs").glob("[!_]*.py"))
    domains: dict[str, list[str]] = {}
    rows: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name in names:
        keys = settings(name)
        domains.setdefault(domain(keys), []).append(name)
        for key, value, comment in keys:
            if key not in FORMAL:
                rows.setdefault(key, {}).setdefault((repr(value), comment), []).append(name)
    lines = ["| key | default | configs | comment |", "|---|---|---|---|"]
    for key in sorted(rows):
        found = merged(rows[key])
        for number, ((value, comment), used) in enumerate(found.items()):
            shown = f"`{key}`" if number == 0 else ""
            where = "all" if used == names else ", ".join(grouped(used, found.values(), domains))
            cells = (shown, f"`{value}`", where, comment)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def domain(found: list[Setting]) -> str:
    """Returns the package of a config's system, such as "speech"."""
    recipe = next(value for key, value, _ in found if key == "recipe")
    return recipes.RECIPES.get(recipe, recipe).split(".")[1]


def merged(rows: dict[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """Returns the rows of a key; one without a comment joins the first one of the same value."""
    found: dict[tuple[str, str], list[str]] = {}
    for (value, comment), used in sorted(rows.items(), key=lambda row: not row[0][1]):
        first = next((each for each in found if each[0] == value), (value, comment))
        place = (value, comment) if comment else first
        found[place] = sorted([*found.get(place, []), *used])
    return found


def grouped(
    used: list[str], rows: Iterable[list[str]], domains: dict[str, list[str]]
) -> Iterator[str]:
    """Yields names of configs, but "all of images" or "others of images" in place of many.

    Args:
        used: the names of one row.
        rows: those of all rows of the key.
        domains: all names by domain.
    """
    for domain, members in domains.items():
        sizes = [len(set(row) & set(members)) for row in rows]
        here = [name for name in used if name in members]
        if len(here) == len(members) > 1:
            yield f"all of {domain}"
        elif len(here) > MANY and len(here) == max(sizes) and sum(sizes) == len(members):
            yield f"others of {domain}"
        else:
            yield from here


def settings(name: str) -> list[Setting]:
    """Returns the keys of a config of configs/, with their defaults and comments."""
    with recorded() as (assignments, names):
        config = configs.load(name)

    def described(section: ConfigDict, key: str) -> Iterator[str]:
        """Yields the comments of this section, then of others with its name: it may be a copy."""
        for same in (id(section).__eq__, lambda other: names.get(other) == names.get(id(section))):
            for made in reversed(assignments):
                # The comment of another value may give its source.
                if made.key == key and same(made.section) and made.value == section[key]:
                    yield comment(made.file, made.line)

    def walk(section: ConfigDict, prefix: str) -> Iterator[Setting]:
        for key in section:
            value = section[key]
            if isinstance(value, ConfigDict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                found = next(filter(None, described(section, key)), "")
                yield Setting(prefix + key, value, found)

    return list(walk(config, ""))


@contextmanager
def recorded() -> Iterator[tuple[list[Assignment], dict[int, str]]]:
    """Records which line of the source sets which key.

    Yields:
        The assignments in their order, and the names of sections by their ids. A config has none.
    """
    assignments: list[Assignment] = []
    names: dict[int, str] = {}
    alive = []  # so that no id is used twice
    setter = ConfigDict.__setitem__

    def record(section: ConfigDict, key: str, value: Any) -> None:
        setter(section, key, value)
        frame: FrameType | None = sys._getframe(1)
        while frame and not Path(frame.f_code.co_filename).is_relative_to(ROOT):
            frame = frame.f_back
        if isinstance(section.get(key), ConfigDict):
            names[id(section[key])] = key
        elif frame:
            made = Assignment(id(section), key, value, frame.f_code.co_filename, frame.f_lineno)
            assignments.append(made)
        alive.append((section, section.get(key)))

    with mock.patch.object(ConfigDict, "__setitem__", record):
        yield assignments, names


def comment(file: str, line: int) -> str:
    """Returns what a statement's comments say: those in the lines above it and at its end."""
    by_line, spans = source(file)
    first, last = min(
        (span for span in spans if span[0] <= line <= span[1]),
        key=lambda span: span[1] - span[0],
        default=(line, line),
    )
    above: list[str] = []
    while (text := by_line.get(first - 1 - len(above))) and text.startswith("# "):
        above.append(text)
    beside = [by_line[number].strip() for number in range(first, last + 1) if number in by_line]
    return " ".join(text.lstrip("# ") for text in [*reversed(above), *beside])


@functools.cache
def source(file: str) -> tuple[dict[int, str], list[tuple[int, int]]]:
    """Returns the comments of a file by line, and the lines of its simple statements.

    A comment that shares its line with code has a leading space.
    """
    text = Path(file).read_text()
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.strip().startswith("#")
            comments[token.start[0]] = token.string if alone else f" {token.string}"
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign | ast.Expr | ast.AugAssign)
    ]
    return comments, spans


if __name__ == "__main__":
    print(table())
