"""The parts of a comparison's HTML page: all in one file, which opens without a network."""

import base64
import html
import io
import wave
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.core.files import absolute
from jaxgan.reporting.statistics import Interval
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.evaluation.comparison import NOISY, Comparison, Contest
from jaxgan.speech.evaluation.tables import Columns, numbers_first
from jaxgan.speech.evaluation.validation import spectrogram_image
from jaxgan.speech.networks.stft import FrontEnd

EXAMPLES = 6
"""Utterances that can be heard."""
LONGEST_SECONDS = 8
"""Of each, so that the page stays small."""
COLUMNS = 4
"""Panels of a figure beside each other."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px;
  padding: 0 1em; color: #222; background: #fff; }
table { border-collapse: collapse; margin: .5em 0 1em; }
th, td { padding: .25em .6em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td small { color: #666; display: block; white-space: pre; }
.better { background: #e2f3e2; } .worse { background: #fbe3e0; }
.warning { border-left: 5px solid #d9822b; background: #fff6e9; padding: .5em 1em; }
.scroll { overflow-x: auto; } img { max-width: 100%; }
.sides { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 1em; }
.sides figure { margin: 0; } .sides img { width: 100%; height: 140px; } audio { width: 100%; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The whole page."""
    name = html.escape(title)
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><h1>{name}</h1>\n{body}\n</body></html>\n"
    )


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def section(heading: str, content: str) -> str:
    """A heading above its content; nothing where there is none."""
    return f"<h2>{html.escape(heading)}</h2>\n{content}" if content else ""


def warning_box(lines: Sequence[str]) -> str:
    """What has to be read first; nothing where there is nothing to warn of."""
    if not lines:
        return ""
    return f'<div class="warning">{"".join(map(paragraph, lines))}</div>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already: whole `<td>` elements."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(text: str, note: str = "", kind: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    below = f"<small>{html.escape(note)}</small>" if note else ""
    return f"<td{chosen}>{html.escape(text)}{below}</td>"


def _number(interval: Interval, sign: str = "") -> tuple[str, str]:
    if np.isnan(interval.mean):
        return "-", ""
    return f"{interval.mean:{sign}.3f}", f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"


def score_table(means: Mapping[str, Mapping[str, Interval]], found: Sequence[Contest]) -> str:
    """Means and intervals; coloured where a system differs for certain from the noisy speech."""
    verdicts = {(c.system, c.score): c.better for c in found if c.rival == NOISY}
    kinds = {1: "better", -1: "worse", 0: ""}
    rows = [
        [
            _cell(system),
            *(
                _cell(*_number(means[score][system]), kinds[verdicts.get((system, score), 0)])
                for score in means
            ),
        ]
        for system in next(iter(means.values()))
    ]
    note = paragraph(
        "Mean over utterances and its 95 % bootstrap interval. Green and red: better and worse "
        "than the noisy speech, Wilcoxon's signed-rank test, p below 0.05 after Holm's correction."
    )
    return _table(["system", *means], rows) + note


def breakdown(comparison: Comparison, condition: str) -> str:
    """Means of every system over the utterances of each of a condition's words."""
    words = np.array(comparison.conditions[condition])
    rows = []
    for word in sorted(set(words.tolist()), key=numbers_first):
        chosen = words == word
        values = [comparison.values(score, chosen) for score in comparison.scores]
        for system in comparison.columns:
            own = [systems[system] for systems in values]
            cells = (_cell(f"{column.mean():.3f}" if len(column) else "-") for column in own)
            rows.append([_cell(f"{word} ({chosen.sum()})"), _cell(system), *cells])
    return _table([f"{condition} (utterances)", "system", *comparison.scores], rows)


def contest_table(found: Sequence[Contest]) -> str:
    """Every paired difference with its interval and corrected p-value."""
    kinds = {1: "better", -1: "worse", 0: ""}
    scores = list(dict.fromkeys(contest.score for contest in found))
    pairs = list(dict.fromkeys((contest.system, contest.rival) for contest in found))
    by_place = {(c.system, c.rival, c.score): c for c in found}
    rows = []
    for system, rival in pairs:
        cells = [_cell(f"{system} - {rival}")]
        for score in scores:
            contest = by_place[system, rival, score]
            text, note = _number(contest.difference.mean, "+")
            cells.append(_cell(text, f"{note}\np {contest.p:.2g}", kinds[contest.better]))
        rows.append(cells)
    return _table(["difference", *scores], rows) if rows else ""


def _image(data: bytes, alternative: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{html.escape(alternative)}" src="data:image/png;base64,{encoded}">'


def _drawn(figure: Figure, alternative: str) -> str:
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(stream, dpi=90, format="png")
    return _image(stream.getvalue(), alternative)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 3.0 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def scatter(columns: Mapping[str, Columns], rival: str) -> str:
    """A panel for each score: every utterance of every system over that of the rival."""
    scores = list(columns[rival])
    figure, panels = _panels(len(scores))
    for axes, score in zip(panels, scores, strict=True):
        for name in columns:
            if name != rival:
                axes.scatter(
                    columns[rival][score], columns[name][score], s=8, alpha=0.6, label=name
                )
        values = np.concatenate([scores_of[score] for scores_of in columns.values()])
        if np.isfinite(values).any():
            ends = [np.nanmin(values), np.nanmax(values)]
            axes.plot(ends, ends, color="grey", linewidth=1)
        axes.set_title(score, parse_math=False)
        axes.set_xlabel(rival)
    _legend(figure, panels)
    return _drawn(figure, f"scores of every utterance over {rival}")


def curves(folders: Mapping[str, str]) -> str:
    """A panel for each validation metric over the rounds; nothing where no run has any."""
    histories = {name: log.read(absolute(folder)) for name, folder in folders.items()}
    metrics = list(
        dict.fromkeys(
            metric
            for rows in histories.values()
            for row in rows
            for metric in row
            if metric.startswith("valid/") and not metric.endswith("unscorable")
        )
    )
    if not metrics:
        return ""
    figure, panels = _panels(len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        for name, rows in histories.items():
            known = [(row["round"], row[metric]) for row in rows if row.get(metric) is not None]
            axes.plot(*(zip(*known, strict=True) if known else ((), ())), ".-", label=name)
        axes.set_title(metric, parse_math=False, fontsize="medium")
        axes.set_xlabel("round")
    _legend(figure, panels)
    return _drawn(figure, "validation over the rounds of training")


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=4)


def config_table(systems: Mapping[str, ConfigDict]) -> str:
    """Every key whose value is not the same in all configs; nothing where none differs."""
    first, *others = systems.values()
    keys = list(
        dict.fromkeys(key for other in others for key, _, _ in configs.differences(first, other))
    )
    values = {name: configs.flat(config) for name, config in systems.items()}
    rows = [
        [_cell(key), *(_cell(str(values[name].get(key, "-"))) for name in systems)] for key in keys
    ]
    return _table(["key", *systems], rows) if rows else ""


def example(
    name: str,
    sides: Mapping[str, np.ndarray],
    scores: Mapping[str, Mapping[str, float]],
    front_end: FrontEnd,
) -> str:
    """One utterance to hear and to see on every side.

    Args:
        name: of the utterance.
        sides: int16 [n] by the side's name.
        scores: by side, its scores; sides without scores show none.
        front_end: of the spectrograms.
    """
    figures = []
    for side, samples in sides.items():
        cut = samples[: LONGEST_SECONDS * SAMPLE_RATE]
        padded = np.pad(cut, (0, max(0, front_end.window - len(cut))))
        picture = io.BytesIO()
        imsave(picture, spectrogram_image(padded, front_end), format="png")
        values = ", ".join(f"{score} {value:.2f}" for score, value in scores.get(side, {}).items())
        figures.append(
            f"<figure><figcaption><b>{html.escape(side)}</b></figcaption>"
            f"{_image(picture.getvalue(), f'spectrogram of {side}')}"
            f'<audio controls preload="none" src="data:audio/wav;base64,'
            f'{base64.b64encode(_wav(cut)).decode()}"></audio>'
            f"<small>{html.escape(values)}</small></figure>"
        )
    return f'<h3>{html.escape(name)}</h3><div class="sides">{"".join(figures)}</div>'


def _wav(samples: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()
