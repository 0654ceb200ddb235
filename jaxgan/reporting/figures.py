"""Figures of scores and of training, drawn without a display."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxgan.reporting.tables import Columns

PANELS_PER_ROW = 4


def scatter(columns: Mapping[str, Columns], baseline: str) -> Figure:
    """Returns a panel for each score: every item of every other system over the baseline's.

    Args:
        columns: scores of the same items by system.
        baseline: the system on the horizontal axis.
    """
    scores = list(columns[baseline])
    figure, panels = _panels(len(scores))
    for axes, score in zip(panels, scores, strict=True):
        for name, values in columns.items():
            if name != baseline:
                axes.scatter(columns[baseline][score], values[score], s=8, alpha=0.6, label=name)
        every = np.concatenate([values[score] for values in columns.values()])
        if np.isfinite(every).any():
            ends = [np.nanmin(every), np.nanmax(every)]
            axes.plot(ends, ends, color="grey", linewidth=1)
        axes.set_title(score, parse_math=False)
        axes.set_xlabel(baseline)
        axes.set_box_aspect(1)
    _add_legend(figure, panels)
    return figure


def curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[str]) -> Figure:
    """Returns a panel for each metric: its values over the rounds of every run.

    Args:
        histories: rows of metrics.jsonl by run, as `core.log.read` returns them.
        metrics: one or more; a run without one has no curve there.
    """
    figure, panels = _panels(len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        for name, rows in histories.items():
            known = [(row["round"], row[metric]) for row in rows if row.get(metric) is not None]
            axes.plot(*(zip(*known, strict=True) if known else ((), ())), ".-", label=name)
        axes.set_title(metric, parse_math=False, fontsize="medium")
        axes.set_xlabel("round")
    _add_legend(figure, panels)
    return figure


def save(figure: Figure, file: Path | BinaryIO, dots_per_inch: int = 120) -> None:
    """Writes a figure as PNG to a path or an open file."""
    with warnings.catch_warnings():
        # Names may be in scripts that the font lacks: a box in a title is no error of the run.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        FigureCanvasAgg(figure).print_figure(file, dpi=dots_per_inch, format="png")


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file of moderate resolution, to be embedded in a report."""
    stream = io.BytesIO()
    save(figure, stream, dots_per_inch=90)
    return stream.getvalue()


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, PANELS_PER_ROW)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.2 * columns, 3.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def _add_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        columns = min(len(panels), PANELS_PER_ROW)
        figure.legend(handles, labels, loc="outside upper center", ncols=columns)
