"""Means, tests and warnings of a comparison, and the files and tables made of it."""

import csv
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.reporting.comparison import (
    Comparison,
    condition_table,
    config_table,
    difference_table,
    means_table,
    mixed_results,
    system_names,
    write_files,
)


def make_comparison(gain, loss, count=40):
    """Two systems: the second adds gain to `up` (higher is better), loss to `down` (lower is)."""
    random = np.random.default_rng(0)
    before = {"up": random.normal(1.5, 0.1, count), "down": random.normal(5, 1, count)}
    noise = random.normal(0, 0.01, (2, count))
    after = {"up": before["up"] + gain + noise[0], "down": before["down"] + loss + noise[1]}
    return Comparison(
        [str(number) for number in range(count)],
        {"before": before, "after": after},
        ("before",),
        {"up": True, "down": False},
        {"size": ["10", "9"] * (count // 2) + ["9"] * (count % 2)},
    )


@pytest.mark.parametrize(
    ("gain", "loss", "verdicts"),
    [(0.2, 0.3, [1, -1]), (0.2, -0.3, [1, 1]), (-0.2, -0.3, [-1, 1]), (0.0, 0.3, [0, -1])],
)
def test_a_gain_beside_a_loss_is_reported(gain, loss, verdicts):
    differences = make_comparison(gain, loss).differences
    assert [d.verdict for d in differences] == verdicts
    lines = mixed_results(differences)
    assert bool(lines) == (sorted(verdicts) == [-1, 1])
    if lines:
        assert lines[0].startswith("after gains ")
        assert "over before and loses" in lines[0]


def test_a_loss_over_few_items_is_reported_too():
    differences = make_comparison(1.0, 3.0, count=5).differences
    assert [d.verdict for d in differences] == [0, 0]  # five pairs cannot give a p below 0.06
    assert len(mixed_results(differences)) == 1


def test_a_score_that_a_system_lacks_is_not_tested():
    comparison = make_comparison(0.1, 0.1)
    comparison.columns["after"]["down"][:] = np.nan
    assert {d.score for d in comparison.differences} == {"up"}
    assert np.isnan(comparison.means["down"]["before"].mean)
    assert means_table(comparison).rows[0][2].text == "-"


def test_every_system_is_compared_with_the_baselines_before_it():
    columns = {name: {"s": np.arange(1.0, 7) * k} for k, name in enumerate("abcd")}
    comparison = Comparison(list("uvwxyz"), columns, ("a", "b"), {"s": True})
    pairs = [(d.system, d.baseline) for d in comparison.differences]
    assert pairs == [("b", "a"), ("c", "a"), ("d", "a"), ("c", "b"), ("d", "b")]
    p_values = [d.p for d in comparison.differences]
    assert p_values == pytest.approx([5 * 2 / 2**6] * 5)  # all six differences are positive


def test_tables_show_the_numbers():
    comparison = make_comparison(0.2, 0.3)
    means = means_table(comparison)
    interval = comparison.means["up"]["after"]
    assert means.headings == ["system", "up", "down"]
    assert means.rows[1][1].text == f"{interval.mean:.3f}"
    assert means.rows[1][1].note == f"{interval.low:.3f} to {interval.high:.3f}"
    assert [cell.verdict for cell in means.rows[1]] == [0, 1, -1]
    by_size = condition_table(comparison, "size")
    assert by_size.headings == ["size (items)", "system", "up", "down"]
    labels = [[cell.text for cell in row[:2]] for row in by_size.rows]
    assert labels == [[f"{n} (20)", s] for n in (9, 10) for s in ("before", "after")]
    odd = comparison.columns["before"]["up"][1::2]
    assert by_size.rows[0][2].text == f"{odd.mean():.3f}"
    [row] = difference_table(comparison.differences).rows
    assert row[0].text == "after - before"
    assert row[1].text.startswith("+0.2")
    assert f"\np {comparison.differences[0].p:.2g}" in row[1].note


def test_only_keys_that_differ_are_shown():
    first = ConfigDict({"a": 1, "b": {"c": 2.0}})
    second = ConfigDict({"a": 1, "b": {"c": 3.0, "d": "x"}})
    table = config_table({"one": first, "two": second})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["b.c", "2.0", "3.0"],
        ["b.d", "-", "x"],
    ]


def test_files_hold_items_means_and_tests(tmp_path):
    comparison = make_comparison(0.2, 0.3, count=8)
    comparison.columns["after"]["up"][0] = np.nan
    write_files(comparison, tmp_path, {"size": comparison.conditions["size"]}, ["careful"])
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["before_up", "before_down", "after_up", "after_down"]
    assert list(rows[0]) == ["name", "size", *columns]
    assert rows[0]["after_up"] == ""
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary) == ["count", "means", "contests", "warnings"]
    mean = comparison.columns["before"]["up"][1:].mean()  # where both systems have the score
    assert summary["means"]["up"]["before"][0] == pytest.approx(mean)
    assert summary["contests"][1]["better"] == comparison.differences[1].verdict
    assert summary["warnings"] == ["careful"]
    table = (tmp_path / "table.md").read_text().splitlines()
    assert table[0] == "| system | up | down |"
    assert table[2].startswith(f"| before | {mean:.3f} | ")


def test_systems_are_named_by_as_much_of_their_paths_as_is_distinct():
    assert system_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert system_names(["x/a", "y/a"]) == ["x/a", "y/a"]
    with pytest.raises(UserError, match="only once"):
        system_names(["x/a", "x/a"])


def test_a_name_that_is_taken_needs_a_longer_path():
    assert system_names(["x/noisy"], "noisy") == ["x/noisy"]
    with pytest.raises(UserError, match="noisy: this is already the name"):
        system_names(["noisy", "b"], "noisy")
