"""The script that makes the tables of systems of images, with runs that are made up."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from jaxgan.core import config as configs
from jaxgan.images.data.dataset import Images, Opened

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gan_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gan_table

    return gan_table


@pytest.fixture
def runs(gan_table, monkeypatch):
    """Replaces train.py: writes metrics of two validations, and records the settings."""
    recorded = {}

    def train(preset, settings, overrides, workdir):
        recorded[workdir] = preset, dict(settings)
        workdir.mkdir(parents=True, exist_ok=True)
        seeds = settings.get("seeds", 1)
        lines = []
        for number in (1, 2):
            row = {"round": number, "wall_seconds": 6.0 * number}
            for seed in range(seeds):
                place = settings.get("seed", seed)
                suffix = f"/seed_{seed}" if seeds > 1 else ""
                row[f"eval/modes{suffix}"] = 9 - number + 0.1 * place
                row[f"eval/high_quality{suffix}"] = 0.25
                row[f"eval/loose_modes{suffix}"] = 8.0
                row[f"eval/error{suffix}"] = None if place == 2 else 0.1 * number + 0.01 * place
            lines.append(json.dumps(row) + "\n")
        (workdir / "metrics.jsonl").write_text("".join(lines))

    monkeypatch.setattr(gan_table, "train", train)
    return recorded


def test_a_table_of_points_has_gates_and_the_best_and_the_last_validation(
    gan_table, runs, tmp_path, capsys
):
    assert gan_table.main(["--tables=ring", f"--workdir={tmp_path}", "--config.a=b"]) == 0
    text = (tmp_path / "tables.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines()[2:]}
    # Modes of the seeds: 7.0, 7.1, 7.2 at the end and one more before. t(0.975, 2) is 4.303.
    half = 4.303 * 0.1 / 3**0.5
    assert rows["minimax"][1:3] == [f"7.1 ± {half:.1f}", f"8.1 ± {half:.1f}"]
    assert rows["minimax"][3] == "0.25 ± 0.00"
    gates = {name: row[-2] for name, row in rows.items()}
    assert gates["minimax"] == "-"
    assert gates["non-saturating"] == gates["WGAN-GP, lambda 0.1"] == "missed"
    assert gates["WGAN, clip 0.1"] == "passed"
    assert rows["minimax"][-1] == "4 |"
    assert "ring" in capsys.readouterr().out
    found = json.loads((tmp_path / "tables.json").read_text())
    assert found["settings"] == ["--config.a=b"]
    of_seeds = found["ring"]["minimax"]["validations of each seed"]
    assert [seed["eval/modes"][-1] for seed in of_seeds] == [7.0, 7.1, 7.2]
    assert all(settings["seeds"] == 3 for _, settings in runs.values())


def test_seeds_of_images_are_runs_of_their_own(gan_table, runs, tmp_path):
    flags = ["--tables=labels", f"--mnist={tmp_path}", f"--workdir={tmp_path}", "--budget=0.02"]
    assert gan_table.main(flags) == 0
    assert len(runs) == 6 * 3
    settings = runs[tmp_path / "labels" / "triple_gan" / "seed1"][1]
    assert (settings["seed"], settings["data.seed"], settings["rounds"]) == (1, 1, 2)
    row = (tmp_path / "tables.md").read_text().splitlines()[4].split(" | ")
    # The third seed has no error.
    assert row[1].startswith("0.2050 ± ")
    assert row[2].startswith("0.1050 ± ")


@pytest.mark.parametrize("budget", [0.01, 1.0])
def test_every_row_is_a_config(gan_table, budget):
    folder, scale = Path("somewhere"), gan_table.Scale(budget, width=8, rate=5.0)
    rows = [
        *(row for kind in ("ring", "grid25") for row in gan_table.points(kind, budget)),
        *gan_table.losses(folder, folder, scale),
        *gan_table.labels(folder, scale),
        *gan_table.codes(folder, scale),
        *gan_table.classes(folder, folder, scale),
    ]
    for row in rows:
        flags = [f"--config.{key}={value}" for key, value in row.settings.items()]
        config = configs.load(str(BENCHMARKS.parent / "configs" / row.preset), flags)
        if row.together:
            assert config.rounds * config.steps_per_round == 8 * round(500 * budget)
            assert config.data.kind in ("ring", "grid25")
        elif row.preset == "dcgan.py" and row.name != "untrained":
            assert config.generator.features == config.discriminator.features == 8
            assert config.generator_learning_rate == pytest.approx(5 * 2e-4)
            excess = config.rounds * config.steps_per_round - 20 * 938 * budget
            assert 0 <= excess < config.rounds  # the same number of steps in every round


def test_the_birthday_test_estimates_known_supports_and_spares_real_images(
    gan_table, monkeypatch, tmp_path
):
    def values(count, seed):
        return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)

    def images(count, seed):
        return Images(values(count, seed), np.zeros(count, np.int32), ("a",))

    opened = Opened(images(20000, 0), images(5000, 1))
    flat = lambda of: types.SimpleNamespace(features=of.reshape(len(of), -1).astype(np.float32))  # noqa: E731
    monkeypatch.setattr(gan_table.idx, "open_idx", lambda data: opened)
    monkeypatch.setattr(gan_table, "classifier_of", lambda *given: tmp_path)
    monkeypatch.setattr(gan_table, "load_classifier", lambda *given: flat)
    monkeypatch.setattr(gan_table, "REPEATS", 10)
    flags = ["--tables=birthday", f"--fashion={tmp_path}", f"--workdir={tmp_path}"]
    assert gan_table.main(flags) == 0
    found = json.loads((tmp_path / "tables.json").read_text())["birthday"]
    for count in gan_table.DISCRETE:
        support = found[f"{count} training images, repeated"]["support"]
        assert count / 2.5 < support < 2.5 * count
    real = found["different training images"]
    assert real["support"] is None
    assert real["repeats with a collision"] < 0.4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tables=rings"], "--tables=rings: choose from ring, grid25"),
        (["--tables=labels"], "--mnist: name the folder of MNIST"),
        (["--tables=losses"], "--fashion: name the folder of Fashion-MNIST"),
        (["--seed=3"], "--seed=3: no such option"),
    ],
)
def test_a_mistake_in_the_flags_is_named(gan_table, capsys, flags, message):
    with pytest.raises(SystemExit):
        gan_table.main(flags)
    assert message in capsys.readouterr().err
