"""Scores of noisy and enhanced speech in tables and files."""

import csv
import dataclasses

import numpy as np
import pytest

from jaxgan.reporting.statistics import mean_and_half_width
from jaxgan.reporting.tables import show
from jaxgan.speech.evaluation.tables import (
    Results,
    gain_warnings,
    make_breakdown,
    make_table,
    summarise,
    write_scores,
)

NAN = float("nan")


@pytest.fixture
def results():
    """Four utterances; the second has no pesq_wb when enhanced, and none has a si_sdr."""
    return Results(
        names=["a", "deep/b", "c, [bold]", "d"],
        seconds=np.array([1.0, 2.5, 0.0625, 4.0]),
        noisy={
            "pesq_wb": np.array([1.0, 2.0, 3.0, 1.5]),
            "si_sdr": np.full(4, NAN),
        },
        enhanced={
            "pesq_wb": np.array([1.5, NAN, 3.25, 1.75]),
            "si_sdr": np.full(4, NAN),
        },
    )


def test_means_compare_the_same_utterances_on_both_sides(results):
    assert summarise(results) == {
        "count": 4,
        "unscorable": 4,
        "noisy": {"pesq_wb": pytest.approx(5.5 / 3), "si_sdr": None},
        "enhanced": {"pesq_wb": pytest.approx(6.5 / 3), "si_sdr": None},
    }


def test_only_utterances_without_a_score_are_counted(results):
    scored = Results(
        results.names,
        results.seconds,
        {"pesq_wb": results.noisy["pesq_wb"]},
        {"pesq_wb": results.enhanced["pesq_wb"]},
    )
    assert scored.unscorable == 1


def test_rows_hold_every_score_and_nothing_where_there_is_none(results, tmp_path):
    write_scores(results, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "name",
        "seconds",
        "noisy_pesq_wb",
        "noisy_si_sdr",
        "enhanced_pesq_wb",
        "enhanced_si_sdr",
    ]
    assert [row["name"] for row in rows] == results.names
    assert [float(row["seconds"]) for row in rows] == results.seconds.tolist()
    assert [row["enhanced_pesq_wb"] for row in rows] == ["1.500000", "", "3.250000", "1.750000"]
    assert all(row["noisy_si_sdr"] == "" for row in rows)


def test_the_table_has_mean_interval_and_gain(results):
    table = make_table(results, "run [1] on data")
    assert table.title == "run [1] on data"
    assert "Student's t" in table.caption
    assert "4 utterances, 4 of them without some score" in table.caption
    pesq, empty = ([cell.text for cell in row] for row in table.rows)
    gain, half = mean_and_half_width(np.array([0.5, 0.25, 0.25]))
    assert pesq[0] == "pesq_wb"
    assert pesq[1].startswith(f"{5.5 / 3:.3f} ± ")
    assert pesq[2].startswith(f"{6.5 / 3:.3f} ± ")
    assert pesq[3:] == [f"+{gain:.3f} ± {half:.3f}", "3"]
    assert empty == ["si_sdr", "-", "-", "-", "0"]


def test_a_positive_gain_is_an_improvement_where_lower_is_better(results):
    (pesq, _) = make_table(results, "", ["pesq_wb"]).rows
    gain, half = mean_and_half_width(np.array([-0.5, -0.25, -0.25]))
    assert pesq[3].text == f"{gain:.3f} ± {half:.3f}"
    assert gain < 0


def test_a_gain_beside_a_loss_is_reported_as_compare_does(results):
    before, step = np.linspace(1, 2, 8), np.linspace(0.1, 0.2, 8)
    noisy = {"pesq_wb": before, "si_sdr": before, "llr": before}
    enhanced = {"pesq_wb": before + step, "si_sdr": before - step, "llr": before + step}
    mixed = Results([str(n) for n in range(8)], np.ones(8), noisy, enhanced)
    assert gain_warnings(mixed, ["llr"]) == [
        "enhanced gains pesq_wb (+0.150) over noisy and loses si_sdr (-0.150), llr (+0.150): "
        "listen before you believe a score"
    ]
    better = dataclasses.replace(mixed, enhanced={**enhanced, "si_sdr": before + step})
    assert gain_warnings(better) == []
    assert gain_warnings(results) == []


def test_tables_fit_80_columns(results, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scores = {f"dnsmos_{n}": np.array([-10.125, 12.5, 3.0, 1.5]) for n in range(12)}
    wide = Results(results.names, results.seconds, scores, scores, {"noise": ("babble",) * 4})
    for table in (make_table(wide, "a title " * 20), make_breakdown(wide, "noise")):
        show(table)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert all(any(score in line for line in lines) for score in scores)


def test_conditions_divide_the_utterances(results, tmp_path):
    known = dataclasses.replace(results, conditions={"snr": ("10", "2.5", "10", "2.5")})
    parts = known.by("snr")
    assert list(parts) == ["2.5", "10"]
    assert parts["10"].names == ["a", "c, [bold]"]
    np.testing.assert_array_equal(parts["2.5"].seconds, [2.5, 4.0])
    by = summarise(known)["by"]["snr"]
    assert by["10"]["count"] == 2
    assert by["10"]["enhanced"]["pesq_wb"] == pytest.approx((1.5 + 3.25) / 2)
    assert by["2.5"]["noisy"]["pesq_wb"] == pytest.approx(1.5)  # where both sides have it
    assert "by" not in summarise(results)
    write_scores(known, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert [row["snr"] for row in csv.DictReader(file)] == ["10", "2.5", "10", "2.5"]
    breakdown = make_breakdown(known, "snr")
    assert breakdown.headings == ("snr", "utterances", "pesq_wb", "si_sdr")
    assert [[cell.text for cell in row] for row in breakdown.rows] == [
        ["2.5", "2", "1.50 to 1.75", "-"],
        ["10", "2", "2.00 to 2.38", "-"],
    ]
