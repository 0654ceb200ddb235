"""sample.py and the evaluation of trained generators."""

import contextlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config, tiny_text_config

import jaxgan
from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices, log, loop
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import EvaluationRequest
from jaxgan.sequences.evaluation import sampler

ROOT = Path(__file__).parents[2]


def sample_main(arguments):
    spec = importlib.util.spec_from_file_location("sample", ROOT / "sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(arguments)


def evaluate(workdir, checkpoint="last", data=None, output=None, scores="", seed=0):
    request = EvaluationRequest(data, output, scores, seed)
    recipes.command(workdir, "evaluate")(workdir, checkpoint, request)


def train(config, workdir):
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        loop.run(recipe, config, workdir)
    return workdir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of ORGAN on text that has just started."""
    folder = tmp_path_factory.mktemp("text")
    config = tiny_text_config(folder, rounds=1, **{"checkpoint.every": 1})
    return train(config, folder / "run")


def test_sample_draws_lines(run, capsys, tmp_path):
    command = [f"--workdir={run}", "--count=12"]
    assert sample_main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    known = set(json.loads((run / "vocabulary.json").read_text())["tokens"])
    assert set("".join(lines)) <= known
    assert sample_main([*command, f"--output={tmp_path / 'new' / 'drawn.txt'}"]) == 0
    assert (tmp_path / "new" / "drawn.txt").read_text().splitlines() == lines
    assert sample_main([*command, "--seed=1", "--checkpoint=best"]) == 0
    assert capsys.readouterr().out.splitlines() != lines


def test_what_is_loaded_draws_what_the_command_writes(run, capsys):
    flags = [f"--workdir={run}", "--count=12", "--seed=3", "--temperature=2", "--checkpoint=best"]
    assert sample_main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert jaxgan.load(run)(12, seed=3, temperature=2.0) == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count=0: give a whole number"),
        ({"count": 1, "seed": 1.5}, r"seed=1\.5: give a whole number"),
        ({"count": 1, "label": "a"}, "label=a: generators of sequences have no classes"),
        ({"count": 1, "temperature": 0}, "temperature=0: must be above 0"),
    ],
)
def test_wrong_arguments_of_a_loaded_sampler_are_named(run, arguments, message):
    with pytest.raises(UserError, match=f"^{message}"):
        jaxgan.load(run)(**arguments)


def test_a_run_of_sequences_has_one_seed(run):
    with pytest.raises(UserError, match="--seed_index=1: only systems of images and of control"):
        jaxgan.load(run, seed_index=1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir=nowhere"], "is not the folder of a run"),
        (["--count=0"], "--count=0: must be 1 or more"),
        (["--temperature=0"], "--temperature=0.0: must be above 0"),
        (["--interpolate=3"], "--interpolate=3: only images can be interpolated"),
        (["--checkpoint=77"], "77"),
        (["--text=a"], "--text=a: this system does not continue or write"),
        (["--bias=-1"], "--bias=-1.0: must be 0 or more"),
    ],
)
def test_mistakes_with_sample_are_reported_in_one_line(run, capsys, flags, message):
    workdir = [] if "--workdir" in flags[0] else [f"--workdir={run}"]
    assert sample_main([*workdir, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_evaluation_writes_samples_and_their_metrics(run, tmp_path, capsys):
    evaluate(run)
    lines = (run / "eval" / "samples.txt").read_text().splitlines()
    summary = json.loads((run / "eval" / "summary.json").read_text())
    assert summary["count"] == len(lines) == 24
    validated = {name for row in log.read(run) for name in row if name.startswith("eval/")}
    assert {f"eval/{name}" for name in summary} == {*validated, "eval/count"}
    ratings = [line.count("a") / len(line) if line else 0.0 for line in lines]
    assert summary["objective"] == pytest.approx(np.mean(ratings), abs=1e-6)
    assert "objective" in capsys.readouterr().out
    evaluate(run, "best", output=str(tmp_path))
    assert (tmp_path / "samples.txt").read_text().splitlines() == lines


def test_evaluation_of_an_oracle_s_run(tmp_path):
    workdir = train(tiny_config(rounds=1), tmp_path / "run")
    evaluate(workdir, "1")
    summary = json.loads((workdir / "eval" / "summary.json").read_text())
    assert {"nll_oracle", "nll_gen", "self_bleu_4", "distinct"} <= summary.keys()
    tokens = [line.split() for line in (workdir / "eval" / "samples.txt").read_text().splitlines()]
    assert np.asarray(tokens, int).shape == (24, 5)
    assert sampler.load(workdir).model.ends is False


@pytest.mark.parametrize("flags", [{"data": "clean"}, {"scores": "stoi"}])
def test_flags_that_evaluation_cannot_use_are_refused(run, flags):
    [(name, value)] = flags.items()
    with pytest.raises(UserError, match=f"--{name}={value}: .* leave --{name} out"):
        evaluate(run, **flags)


def test_a_changed_text_is_refused(run):
    config = configs.read(run)
    path = Path(config.data.path)
    before = path.read_text()
    try:
        path.write_text(before.replace("a", "d"))
        with pytest.raises(UserError, match=r"vocabulary\.json does not match the data"):
            evaluate(run)
        config.rounds = 2
        with (
            contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe,
            pytest.raises(UserError, match=r"vocabulary\.json differs from what the data now give"),
        ):
            loop.run(recipe, config, run)
    finally:
        path.write_text(before)
