"""sample.py and eval.py on trained generators of points and images."""

import itertools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import eval as evaluation
import jaxgan
import sample
import train
from configs import gan as gan_config
from jaxgan import compare
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images import commands

TINY = ["--config=configs/gan.py:tiny"]
GLYPHS = [
    *("--config.data.kind=glyphs", "--config.network=mlp", "--config.rounds=1"),
    *("--config.validation.every=1", "--config.validation.samples=500", "--config.data.valid=100"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, flags in {"points": [], "images": GLYPHS}.items():
        assert train.main([*TINY, f"--workdir={folder / name}", *flags]) == 0
    with pytest.MonkeyPatch.context() as patch:
        mesh = devices.make_mesh(1)  # the seeds of a run share one device
        patch.setattr(devices, "make_mesh", lambda: mesh)
        assert train.main([*TINY, f"--workdir={folder / 'two'}", "--config.seeds=2"]) == 0
    return folder


def arguments(runs, name, output, *more):
    return [f"--workdir={runs / name}", f"--output={output}", *more]


def test_images_become_a_grid_and_an_npz_file(runs, tmp_path):
    for folder in ("one", "two"):
        assert sample.main(arguments(runs, "images", tmp_path / folder, "--count=5")) == 0
    one, two = (np.load(tmp_path / folder / "samples.npz") for folder in ("one", "two"))
    assert one["samples"].shape == (5, 28, 28, 1)
    assert one["samples"].dtype == np.uint8
    np.testing.assert_array_equal(one["samples"], two["samples"])
    with Image.open(tmp_path / "one" / "samples.png") as grid:
        assert grid.size == (3 * 30 - 2, 2 * 30 - 2)
    assert sample.main(arguments(runs, "images", tmp_path / "other", "--count=5", "--seed=1")) == 0
    other = np.load(tmp_path / "other" / "samples.npz")["samples"]
    assert (other != one["samples"]).any()


def test_what_is_loaded_draws_what_the_command_writes(runs, tmp_path):
    flags = ("--count=5", "--seed=4", "--checkpoint=best")
    for name in ("images", "points"):
        assert sample.main(arguments(runs, name, tmp_path / name, *flags)) == 0
        sampler = jaxgan.load(runs / name)
        written = np.load(tmp_path / name / "samples.npz")["samples"]
        found = sampler(5, seed=4)
        assert found.dtype == written.dtype
        np.testing.assert_array_equal(found, written)
        assert sampler.classes == ()
    flags = arguments(runs, "two", tmp_path / "second", "--count=3", "--seed_index=1")
    assert sample.main(flags) == 0
    written = np.load(tmp_path / "second" / "samples.npz")["samples"]
    np.testing.assert_array_equal(jaxgan.load(runs / "two", "last", seed_index=1)(3), written)
    with pytest.raises(UserError, match=r"--seed_index=2: .* has the seeds 0 to 1"):
        jaxgan.load(runs / "two", seed_index=2)


def test_runs_are_compared_by_their_metrics_and_samples(runs, tmp_path, capsys):
    shutil.copytree(runs / "images", runs / "copy")
    compared = [str(runs / "images"), str(runs / "copy")]
    assert compare.main([*compared, f"--output={tmp_path / 'images'}"]) == 0
    found = json.loads((tmp_path / "images" / "summary.json").read_text())
    assert found["images"] == found["copy"]
    assert evaluation.main(arguments(runs, "images", tmp_path / "alone")) == 0
    alone = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert {name: [value] for name, value in alone.items() if name != "count"} == found["copy"]
    page = (tmp_path / "images" / "report.html").read_text()
    assert page.count("data:image/png") == 3  # two grids and the curves of training
    assert "one seed each, so no interval: images, copy" in page
    capsys.readouterr()


def test_the_seeds_of_a_run_give_an_interval(runs, tmp_path, capsys):
    compared = [str(runs / "points"), str(runs / "two")]
    assert compare.main([*compared, f"--output={tmp_path}"]) == 0
    found = json.loads((tmp_path / "summary.json").read_text())
    assert {len(values) for values in found["points"].values()} == {1}
    assert {len(values) for values in found["two"].values()} == {2}
    name, values = next(iter(found["two"].items()))
    page = (tmp_path / "report.html").read_text()
    assert f"{min(values):.3g} to {max(values):.3g}" in page
    assert "one seed each, so no interval: points;" in page
    assert name in capsys.readouterr().out


def test_runs_that_cannot_be_compared(runs, tmp_path, capsys):
    compared = [str(runs / "points"), str(runs / "images"), f"--output={tmp_path}"]
    assert compare.main(compared) == 2
    assert "its held-out data are not those of points" in capsys.readouterr().err
    assert compare.main([str(runs / "points"), "--data=x"]) == 2
    assert "--data" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_points_become_an_npz_file(runs, tmp_path):
    assert sample.main(arguments(runs, "points", tmp_path / "new", "--count=7")) == 0
    assert np.load(tmp_path / "new" / "samples.npz")["samples"].shape == (7, 2)
    assert not (tmp_path / "new" / "samples.png").exists()


def test_a_row_leads_from_one_code_to_another(runs, tmp_path):
    for name in ("one", "two"):
        flags = arguments(runs, "images", tmp_path / name, "--count=3", "--interpolate=5")
        assert sample.main(flags) == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["interpolation.png"]
    one, two = ((tmp_path / name / "interpolation.png").read_bytes() for name in ("one", "two"))
    assert one == two
    with Image.open(tmp_path / "one" / "interpolation.png") as grid:
        assert grid.size == (5 * 30 - 2, 3 * 30 - 2)
        pixels = np.asarray(grid).astype(int)
    tiles = pixels[:28, :, 0]
    images = [tiles[:, 30 * column : 30 * column + 28] for column in range(5)]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(images)]
    assert 0 < max(steps) < np.abs(images[0] - images[-1]).mean()


def test_points_have_no_path(runs, tmp_path, capsys):
    assert sample.main(arguments(runs, "points", tmp_path / "new", "--interpolate=3")) == 2
    assert (
        "--interpolate=3: only images can be interpolated, and these are points"
        in capsys.readouterr().err
    )
    assert sample.main(arguments(runs, "images", tmp_path / "new", "--interpolate=1")) == 2
    assert "--interpolate=1: must be 2 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--temperature=2"], "--temperature=2.0: only sequences use a temperature"),
        (["--prime=x.npz"], "--prime=x.npz: this system does not continue or write"),
        (["--label=3"], "--label=3: this system's generator has no classes"),
    ],
)
def test_flags_that_do_not_fit(runs, tmp_path, capsys, flags, message):
    assert sample.main(arguments(runs, "images", tmp_path, *flags)) == 2
    assert message in capsys.readouterr().err
    assert sample.main([f"--workdir={runs / 'images'}"]) == 2
    assert "--output: give a folder to write" in capsys.readouterr().err


def test_evaluation_writes_what_validation_measures(runs, tmp_path):
    assert evaluation.main(arguments(runs, "points", tmp_path / "points")) == 0
    summary = json.loads((tmp_path / "points" / "summary.json").read_text())
    assert set(summary) == {"count", "modes", "high_quality", "loose_modes", "reverse_kl"}
    assert summary["count"] == gan_config.get_config("tiny").validation.samples
    assert evaluation.main(arguments(runs, "images", tmp_path / "images")) == 0
    assert (tmp_path / "images" / "samples.png").exists()
    summary = json.loads((tmp_path / "images" / "summary.json").read_text())
    assert summary["birthday_samples"] == 22
    assert 0 <= summary["birthday_collisions"] <= 1


def test_other_data_are_refused(runs, tmp_path, capsys):
    folder = runs / "points"
    before = (folder / "data.json").read_text()
    (folder / "data.json").write_text(before.replace('"count": 64', '"count": 65'))
    try:
        assert evaluation.main(arguments(runs, "points", tmp_path)) == 2
    finally:
        (folder / "data.json").write_text(before)
    assert "does not match the data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ("improved_gan", ["error"]),
        ("infogan", ["clustering_accuracy"]),
        ("vae", ["negative_elbo", "negative_importance_bound"]),
    ],
)
def test_evaluation_measures_the_players_as_validation_does(config, names, tmp_path):
    flags = ["--config.rounds=1", "--config.steps_per_round=1", f"--workdir={tmp_path / 'run'}"]
    assert train.main([f"--config=configs/{config}.py:tiny", *flags]) == 0
    flags = [f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'out'}"]
    assert evaluation.main(flags) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert {name: summary[name] for name in names} == {
        name: metrics[f"eval/{name}"] for name in names
    }
    assert len(summary) > 1 + len(names), "the samples are measured, too"


def test_a_run_without_a_generator_is_refused(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "load_seed", lambda *_: {"mapper": None, "critic": None})
    assert sample.main(arguments(runs, "points", tmp_path)) == 2
    message = "samples come from a player named 'generator', and this run has only critic, mapper"
    assert message in capsys.readouterr().err
