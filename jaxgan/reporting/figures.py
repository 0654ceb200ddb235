"""Figures of scores and of training, drawn without a display."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgan.reporting.tables import Columns

PANELS_PER_ROW = 3
COLOURS: Sequence[tuple[float, float, float]] = colormaps["tab10"].colors  # type: ignore[attr-defined]
MARKERS = "osD^vP*Xhd"


def scatter(
    columns: Mapping[str, Columns], baseline: str, labels: Mapping[str, str] | None = None
) -> Figure:
    """Returns a panel for each score: every item of every other system over the baseline's.

    Points are translucent and drawn in a random order, so that no system hides another. A large
    marker is the mean over the items that have the score in both systems; it is also written above
    the panel.

    Args:
        columns: scores of the same items by system.
        baseline: the system on the horizontal axis.
        labels: a readable name with its unit, by score; a score without one keeps its own name.
    """
    scores = list(columns[baseline])
    systems = [name for name in columns if name != baseline]
    figure, panels = _panels(len(scores))
    for axes, score in zip(panels, scores, strict=True):
        label = (labels or {}).get(score, score)
        means = _draw_points(axes, columns, baseline, systems, score)
        every = np.concatenate([values[score] for values in columns.values()])
        if np.isfinite(every).any():
            ends = [np.nanmin(every), np.nanmax(every)]
            axes.plot(ends, ends, color="grey", linewidth=1, zorder=1)
        axes.set_title("\n".join([label, *means]), parse_math=False, fontsize="medium")
        axes.set_xlabel(baseline, parse_math=False)
        axes.set_ylabel(systems[0] if len(systems) == 1 else "", parse_math=False)
        axes.set_box_aspect(1)
    if len(systems) > 1:
        _add_legend(figure, panels)
    return figure


def curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    metrics: Sequence[str],
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Returns a panel for each metric: its values over the rounds of every run.

    Each run's line and markers are smaller than those of the run before, so that equal curves all
    stay visible.

    Args:
        histories: rows of metrics.jsonl by run, as `core.log.read` returns them.
        metrics: one or more; a run without one has no curve there.
        labels: a readable name with its unit, by metric.
    """
    figure, panels = _panels(len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        for number, (name, rows) in enumerate(histories.items()):
            known = [row for row in rows if row.get(metric) is not None]
            later = _share_after(number, len(histories))
            axes.plot(
                [row["round"] for row in known],
                [row[metric] for row in known],
                color=COLOURS[number % len(COLOURS)],
                linewidth=1 + 3 * later,
                marker=MARKERS[number % len(MARKERS)],
                markersize=3 + 4 * later,
                alpha=0.7,
                label=name,
            )
        axes.set_title((labels or {}).get(metric, metric), parse_math=False, fontsize="medium")
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _add_legend(figure, panels)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG to a path and, next to it with the suffix .pdf, as PDF."""
    _print(figure, path, "png", dpi=150)
    # Type 42 embeds the font as TrueType, which publishers require; no date: equal files for equal
    # figures.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        _print(figure, path.with_suffix(".pdf"), "pdf", metadata={"CreationDate": None})


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file of moderate resolution, to be embedded in a report."""
    stream = io.BytesIO()
    _print(figure, stream, "png", dpi=90)
    return stream.getvalue()


def _print(figure: Figure, file: Path | io.BytesIO, kind: str, **options: Any) -> None:
    with warnings.catch_warnings():
        # Names may be in scripts that the font lacks: a box in a title is not an error.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        FigureCanvasAgg(figure).print_figure(file, format=kind, **options)


def _draw_points(
    axes: Axes,
    columns: Mapping[str, Columns],
    baseline: str,
    systems: Sequence[str],
    score: str,
) -> list[str]:
    """Draws the items of all systems and their means, and returns a line for each mean."""
    x = columns[baseline][score]
    places, owners, lines = [], [], []
    for number, name in enumerate(systems):
        y = columns[name][score]
        both = np.isfinite(x) & np.isfinite(y)
        places.append(np.stack([x[both], y[both]], axis=1))
        owners += [number] * int(both.sum())
        mean_x, mean_y = places[-1].mean(axis=0) if both.any() else (np.nan, np.nan)
        axes.plot(
            [mean_x],
            [mean_y],
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markeredgecolor="black",
            markersize=7 + 6 * _share_after(number, len(systems)),
            linestyle="",
            label=f"{name} (large: mean)",
            zorder=3,
        )
        if both.any():
            prefix = "mean" if len(systems) == 1 else f"{_short(name)}:"
            lines.append(f"{prefix} {mean_x:.2f} to {mean_y:.2f}")
    points = np.concatenate(places)
    order = np.random.default_rng(0).permutation(len(points))
    colours = np.array([COLOURS[owner % len(COLOURS)] for owner in owners]).reshape(-1, 3)
    axes.scatter(
        points[order, 0],
        points[order, 1],
        c=colours[order],
        s=12,
        alpha=0.5,
        linewidths=0,
        zorder=2,
    )
    return lines


def _share_after(number: int, count: int) -> float:
    """Returns the share of `count` systems that are drawn after system `number`, from 0.

    Sizes shrink with it, so that equal lines and markers all stay visible.
    """
    return (count - 1 - number) / count


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"...{name[-21:]}"


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, PANELS_PER_ROW)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def _add_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        columns = min(len(panels), PANELS_PER_ROW)
        figure.legend(handles, labels, loc="outside upper center", ncols=columns)
