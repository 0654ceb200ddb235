"""Tables in every form, and the files that other tools read."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from jaxgan.reporting.tables import (
    Cell,
    Table,
    groups,
    or_none,
    scored_in_all,
    show,
    to_markdown,
    to_rich,
    write_csv,
    write_json,
)

TABLE = Table(["run", "score"], [[Cell("[bold]"), Cell("1.5", "1.25 to 1.75", 1)]], "a [1]", "why")


def test_rich_shows_texts_notes_and_brackets():
    stream = io.StringIO()
    Console(file=stream, width=100).print(to_rich(TABLE))
    for text in ("a [1]", "run", "[bold]", "1.5", "1.25 to 1.75", "why"):
        assert text in stream.getvalue()


def test_a_table_wider_than_the_terminal_keeps_its_cells(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    show(Table([f"heading {number}" for number in range(9)], [[Cell("long text " * 3)] * 9]))
    # Eight tables of the first column and one more.
    assert capsys.readouterr().out.count("long text long text long text") == 16


def test_columns_that_do_not_fit_follow_in_further_tables(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    row = [Cell("name"), *(Cell(f"value {number}") for number in range(6))]
    show(Table(["run", *(f"score {number}" for number in range(6))], [row], "title", "caption"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert sum("name" in line for line in lines) == 2
    text = "\n".join(lines)
    assert [text.count(f"value {number}") for number in range(6)] == [1] * 6
    assert text.startswith("title")
    assert lines[-1].startswith("caption")
    assert text.count("title") == text.count("caption") == 1


def test_markdown_has_headings_and_texts():
    assert to_markdown(TABLE) == "| run | score |\n| --- | --- |\n| [bold] | 1.5 |\n"


def test_groups_come_in_order_with_numbers_first():
    rows = groups(["cafe", "12.5", "-2.5", "bus", "7", "12.5"])
    assert list(rows) == ["-2.5", "7", "12.5", "bus", "cafe"]
    assert rows["12.5"].tolist() == [1, 5]


def test_an_item_counts_where_every_system_has_its_score():
    columns = {
        "a": {"s": np.array([1.0, np.nan, 3.0])},
        "b": {"s": np.array([1.0, 2.0, np.inf])},
    }
    assert scored_in_all(columns, "s").tolist() == [True, False, False]


def test_csv_has_six_decimals_and_empty_cells(tmp_path):
    path = tmp_path / "scores.csv"
    names = ["x, y", "bad \udcff"]
    write_csv(path, {"name": names, "kind": ["1", "2"]}, {"s": np.array([0.5, np.nan])})
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"name": names[0], "kind": "1", "s": "0.500000"},
        {"name": names[1], "kind": "2", "s": ""},
    ]


def test_json_holds_null_for_what_is_no_number(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"mean": or_none(np.nan), "other": or_none(2.0)})
    assert json.loads(path.read_text()) == {"mean": None, "other": 2.0}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"mean": np.nan})
