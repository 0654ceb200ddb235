"""Figures of scores and of training: what they draw, and the files that they become."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from jaxgan.reporting import figures

NAN = float("nan")
COLUMNS = {
    "noisy": {
        "pesq": np.array([1.0, 2.0, NAN]),
        "b": np.zeros(3),
        "c": np.ones(3),
        "d": np.ones(3),
    },
    "one": {"pesq": np.array([2.0, 4.0, 3.0]), "b": np.ones(3), "c": np.ones(3), "d": np.ones(3)},
}


def test_a_panel_has_a_readable_name_and_the_means_drawn_and_written():
    figure = figures.scatter(COLUMNS, "noisy", {"pesq": "PESQ (MOS)"})
    axes = figure.axes[0]
    assert axes.get_title() == "PESQ (MOS)\nmean 1.50 to 3.00"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("noisy", "one")
    [[mean_x], [mean_y]] = axes.lines[0].get_data()
    assert (mean_x, mean_y) == (1.5, 3.0)
    assert len(axes.collections[0].get_offsets()) == 2
    assert figure.axes[1].get_title().startswith("b\n")


def test_three_panels_in_a_row():
    figure = figures.scatter(COLUMNS, "noisy")
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)


def test_no_system_hides_another():
    count = 200
    same = {name: {"s": np.full(count, 1.0)} for name in ("noisy", "one", "two")}
    axes = figures.scatter(same, "noisy").axes[0]
    points = axes.collections[0]
    colours = points.get_facecolors()
    assert (colours[:, 3] < 1).all()
    first = (colours[:, :3] == figures.COLOURS[0]).all(axis=1)
    assert first.sum() == count
    assert 60 < first[:count].sum() < 140  # interleaved, not one system after the other
    assert axes.lines[0].get_markersize() > axes.lines[1].get_markersize()


def test_equal_curves_all_stay_visible():
    history = [{"round": number, "valid/x": 0.5} for number in range(3)]
    names = ("one", "two", "three")
    figure = figures.curves(dict.fromkeys(names, history), ["valid/x"], {"valid/x": "X (dB)"})
    lines = figure.axes[0].lines
    assert figure.axes[0].get_title() == "X (dB)"
    widths = [line.get_linewidth() for line in lines]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == len({to_rgb(line.get_color()) for line in lines}) == 3


def test_a_figure_is_saved_as_png_and_as_the_same_pdf_each_time(tmp_path):
    pages = []
    for name in ("a", "b"):
        figures.save(figures.scatter(COLUMNS, "noisy"), tmp_path / f"{name}.png")
        pages.append((tmp_path / f"{name}.pdf").read_bytes())
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    assert pages[0].startswith(b"%PDF")
    assert pages[0] == pages[1]
    assert b"/Type /Font" in pages[0]


@pytest.mark.parametrize("values", [np.full(3, NAN), np.zeros(0)])
def test_scores_that_nothing_has_are_drawn_empty(values):
    columns = {"noisy": {"s": values}, "one": {"s": values}}
    assert figures.scatter(columns, "noisy").axes[0].get_title() == "s"
