"""Tables for the terminal, for Markdown pages and for HTML reports, and files of scores."""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

Columns = Mapping[str, np.ndarray]
"""Raw scores by name: float64 [items], NaN where an item has no score."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what every form of the table shows.
        note: smaller text below it, which Markdown leaves out.
        verdict: +1 (better) makes the cell green, -1 (worse) red; Markdown has no colours.
    """

    text: str
    note: str = ""
    verdict: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of cells, one cell for each heading; the first column is left-aligned."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    caption: str = ""


def show(table: Table) -> None:
    """Prints a table to the terminal (80 columns without one) without cutting any cell off.

    Columns that do not fit follow in further tables, each of which repeats the first column. Where
    not even two columns fit, the lines wrap, which loses less than shortened cells would.
    """
    console = Console()
    parts = _split(table, lambda part: _width(part, console) <= console.width)
    for part in parts:
        Console(width=max(console.width, _width(part, console))).print(to_rich(part))


def _split(table: Table, fits: Callable[[Table], bool]) -> list[Table]:
    """Returns tables of the first column and as many of the others as fit."""
    chosen: list[list[int]] = [[0]]
    for column in range(1, len(table.headings)):
        if len(chosen[-1]) > 1 and not fits(_columns(table, [*chosen[-1], column])):
            chosen.append([0])
        chosen[-1].append(column)
    parts = [_columns(table, columns) for columns in chosen]
    parts[0] = dataclasses.replace(parts[0], title=table.title)
    parts[-1] = dataclasses.replace(parts[-1], caption=table.caption)
    return parts


def _columns(table: Table, columns: Sequence[int]) -> Table:
    """Returns a table of some columns, without title and caption."""
    rows = [[row[column] for column in columns] for row in table.rows]
    return Table([table.headings[column] for column in columns], rows)


def _width(table: Table, console: Console) -> int:
    """Returns how many characters the lines of a table need; title and caption wrap."""
    bare = to_rich(dataclasses.replace(table, title="", caption=""))
    return console.measure(bare, options=console.options.update(max_width=1000)).maximum


def to_rich(table: Table) -> rich_table.Table:
    """Returns the table as rich prints it; brackets in its texts are not markup."""
    drawn = rich_table.Table(
        title=Text(table.title) if table.title else None,
        caption=Text(table.caption) if table.caption else None,
        title_justify="left",
        caption_justify="left",
    )
    for number, heading in enumerate(table.headings):
        drawn.add_column(Text(heading), justify="right" if number else "left")
    for row in table.rows:
        drawn.add_row(*map(_to_rich_text, row))
    return drawn


def to_markdown(table: Table) -> str:
    """Returns the headings and the cells' texts as a Markdown table."""
    rows = [table.headings, ["---"] * len(table.headings)]
    rows += [[cell.text for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def scored_in_all(columns: Mapping[str, Columns], score: str) -> np.ndarray:
    """Returns bool [items]: whether an item has this score in every system.

    Means of two systems over different items could not be compared.
    """
    return np.isfinite(np.stack([scores[score] for scores in columns.values()])).all(axis=0)


def groups(words: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the row numbers of each distinct word: numbers first by value, then other words."""
    array = np.array(words)
    return {word: np.flatnonzero(array == word) for word in sorted(set(words), key=_numbers_first)}


def write_csv(
    path: Path, texts: Mapping[str, Sequence[str]], numbers: Mapping[str, np.ndarray]
) -> None:
    """Writes one row per item.

    Args:
        path: the file.
        texts: the first columns by heading.
        numbers: further columns by heading, written with six decimals; NaN gives an empty cell.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow([*texts, *numbers])
        columns = [map(_decimal, column.tolist()) for column in numbers.values()]
        writer.writerows(zip(*texts.values(), *columns, strict=True))


def write_json(path: Path, summary: Mapping[str, object]) -> None:
    """Writes a summary as indented JSON; its numbers must be finite (`or_none` helps).

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")


def or_none(value: float) -> float | None:
    """Returns a finite value as it is, and None, JSON's null, for any other."""
    return value if math.isfinite(value) else None


def _to_rich_text(cell: Cell) -> Text:
    style = {1: "green", -1: "red", 0: ""}[cell.verdict]
    return Text(f"{cell.text}\n{cell.note}" if cell.note else cell.text, style)


def _numbers_first(word: str) -> tuple[float, str]:
    try:
        return float(word), ""
    except ValueError:
        return math.inf, word


def _decimal(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
