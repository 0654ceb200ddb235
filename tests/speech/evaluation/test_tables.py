import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from jaxgan.speech.evaluation.tables import (
    Results,
    make_breakdown,
    make_table,
    mean_and_interval,
    numbers_first,
    summarise,
    write_csv,
    write_summary,
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


def test_intervals_are_those_of_the_t_distribution():
    values = np.random.default_rng(0).standard_normal(12) + 3
    mean, half = mean_and_interval(values)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert mean_and_interval(np.array([2.0])) == pytest.approx((2.0, NAN), nan_ok=True)
    assert mean_and_interval(np.zeros(0)) == pytest.approx((NAN, NAN), nan_ok=True)


def test_means_compare_the_same_utterances_on_both_sides(results, tmp_path):
    summary = summarise(results)
    assert summary == {
        "count": 4,
        "unscorable": 4,
        "noisy": {"pesq_wb": pytest.approx(5.5 / 3), "si_sdr": None},
        "enhanced": {"pesq_wb": pytest.approx(6.5 / 3), "si_sdr": None},
    }
    write_summary(results, tmp_path / "summary.json")
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    assert json.loads(text).keys() == summary.keys()


def test_only_utterances_without_a_score_are_counted(results):
    scored = Results(
        results.names,
        results.seconds,
        {"pesq_wb": results.noisy["pesq_wb"]},
        {"pesq_wb": results.enhanced["pesq_wb"]},
    )
    assert scored.unscorable == 1


def test_rows_hold_every_score_and_nothing_where_there_is_none(results, tmp_path):
    write_csv(results, tmp_path / "scores.csv")
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


def test_the_table_says_mean_interval_and_gain(results):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(make_table(results, "run [1] on data"))
    text = console.export_text()
    lines = text.splitlines()
    assert "run [1] on data" in text
    assert "Student's t" in text
    assert "4 utterances, 4 of them without some score" in text
    [row] = [line for line in lines if "pesq_wb" in line]
    gain, half = mean_and_interval(np.array([0.5, 0.25, 0.25]))
    assert f"+{gain:.3f} ± {half:.3f}" in row
    assert f"{5.5 / 3:.3f}" in row
    assert f"{6.5 / 3:.3f}" in row
    [empty] = [line for line in lines if "si_sdr" in line]
    assert empty.count("-") == 3


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
    write_csv(known, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert [row["snr"] for row in csv.DictReader(file)] == ["10", "2.5", "10", "2.5"]
    stream = io.StringIO()
    Console(file=stream, width=200).print(make_breakdown(known, "snr"))
    assert "2.00 to 2.38" in stream.getvalue()
    assert stream.getvalue().index("2.5 ") < stream.getvalue().index("10 ")


def test_words_that_are_no_numbers_come_behind_those_that_are():
    words = ["cafe", "12.5", "-2.5", "bus", "7"]
    assert sorted(words, key=numbers_first) == ["-2.5", "7", "12.5", "bus", "cafe"]
