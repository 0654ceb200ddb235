"""Compares trained generators on the same held-out data: `python -m jaxgan.compare W1 W2 ...`.

Every run is measured as eval.py does, each of its seeds separately. The report shows the metrics,
samples, the course of training, and the settings that differ.
"""

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, writable
from jaxgan.core.recipe import EvaluationRequest
from jaxgan.images.commands import GRID
from jaxgan.images.data.dataset import DATA, described
from jaxgan.reporting import report
from jaxgan.reporting.comparison import config_table, system_names, training_curves
from jaxgan.reporting.report import Gallery, Image, Panel, Section
from jaxgan.reporting.statistics import bootstrap
from jaxgan.reporting.summary import SUMMARY
from jaxgan.reporting.tables import Cell, Table, show, to_markdown, write_json

Found = Mapping[str, list[float | None]]
"""Values by metric, one for each seed."""
Evaluate = Callable[..., None]
"""As `Declaration.evaluate`."""


def compare(
    workdirs: Sequence[str], evaluates: Sequence[Evaluate], checkpoint: str, output: str | None
) -> None:
    """Measures every run, prints a table and writes a report.

    Args:
        workdirs: the folders of the runs.
        evaluates: the function that measures each of them.
        checkpoint: the checkpoint of each run: "best", "last" or a round.
        output: folder for report.html, table.md, summary.json and, for every run and seed, what
            eval.py writes; None: compare-images.

    Raises:
        UserError: a folder, a checkpoint or a file cannot be used, or the runs do not have the same
            held-out data.
    """
    names = system_names(workdirs)
    folders = dict(zip(names, map(absolute, workdirs), strict=True))
    require_same_data(folders)
    settings = {name: configs.read(folder) for name, folder in folders.items()}
    place = Path(output or "compare-images").expanduser()
    found: dict[str, Found] = {}
    for (name, folder), evaluate in zip(folders.items(), evaluates, strict=True):
        summaries = []
        for seed in range(settings[name].get("seeds", 1)):
            own = place / "runs" / name / f"seed_{seed}"
            # What eval.py prints is in the table.
            with contextlib.redirect_stdout(io.StringIO()):
                evaluate(folder, checkpoint, EvaluationRequest(output=str(own), seed_index=seed))
            summaries.append(json.loads((own / SUMMARY).read_text()))
        metrics = [metric for metric in summaries[0] if metric != "count"]
        found[name] = {metric: [one.get(metric) for one in summaries] for metric in metrics}
    table = metrics_table(found)
    show(table)
    curves = training_curves(dict(zip(names, workdirs, strict=True)), "eval/")
    sections = [
        Section("Metrics", [table]),
        Section("Samples", galleries=galleries(place, names)),
        Section("Training", images=curves),
        Section("Configs", [config_table(settings)]),
    ]
    introduction = f"{len(names)} runs, measured on the same held-out data."
    page = report.render(", ".join(names), introduction, warnings(settings), sections)
    with writable(place):
        (place / "report.html").write_text(page, encoding="utf-8", errors="replace")
        (place / "table.md").write_text(to_markdown(table), encoding="utf-8")
        write_json(place / SUMMARY, found)
    print(f"report, table and samples: {place}")


def require_same_data(folders: Mapping[str, epath.Path]) -> None:
    """Raises UserError if a folder holds no run of images, or one with other held-out data."""
    first, digest = "", ""
    for name, folder in folders.items():
        path = folder / DATA
        if not path.exists():
            raise UserError(f"{folder} is not a run of images; compare only such runs")
        own = described(folder, "valid").get("sha256", "")
        first, digest = first or name, digest or own
        if own != digest:
            raise UserError(
                f"{folder}: its held-out data are not those of {first}, so their metrics cannot be "
                "compared; train both with the same config.data and config.seed"
            )


def metrics_table(found: Mapping[str, Found]) -> Table:
    """Returns a row for each run and a column for each metric: means over their intervals."""
    metrics = list(dict.fromkeys(metric for values in found.values() for metric in values))
    rows = [
        [Cell(name), *(_cell(values.get(metric, [])) for metric in metrics)]
        for name, values in found.items()
    ]
    caption = "Means over seeds and their 95 % bootstrap intervals, where a run has several seeds."
    return Table(["run", *metrics], rows, caption=caption)


def galleries(place: Path, names: Sequence[str]) -> list[Gallery]:
    """Returns the samples of every run's first seed side by side, without runs of points."""
    grids = {name: place / "runs" / name / "seed_0" / GRID for name in names}
    panels = [
        Panel(name, Image(path.read_bytes(), f"samples of {name}"))
        for name, path in grids.items()
        if path.exists()
    ]
    return [Gallery("the first samples of each run", panels)] if panels else []


def warnings(settings: Mapping[str, ConfigDict]) -> list[str]:
    """Returns a line if some run has one seed only, which cannot tell chance from the method."""
    single = [name for name, config in settings.items() if config.get("seeds", 1) == 1]
    if not single:
        return []
    return [f"one seed each, so no interval: {', '.join(single)}; config.seeds trains several"]


def _cell(values: Sequence[float | None]) -> Cell:
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return Cell("-")
    interval = bootstrap(known)
    note = f"{interval.low:.3g} to {interval.high:.3g}" if len(known) > 1 else ""
    return Cell(f"{interval.mean:.4g}", note)
