"""train.py, sample.py and eval.py on a small run."""

import csv
import json
import shutil

import jax
import numpy as np
import pytest
from agents import train
from PIL import Image

import jaxgan
from configs.dqn import get_config
from configs.ppo import get_config as ppo_config
from jaxgan import recipes
from jaxgan.control import commands
from jaxgan.control.environments.named import ENVIRONMENTS
from jaxgan.core import config as configs
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import EvaluationRequest, SampleRequest
from jaxgan.reporting.summary import EVALUATED, SUMMARY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of two seeds on Catch, whose episodes have 9 steps."""
    config = get_config("tiny")
    config.seeds = 2
    return train(config, tmp_path_factory.mktemp("run"))


def returns(folder):
    with (folder / commands.RETURNS).open() as file:
        return [float(row["return"]) for row in csv.DictReader(file)]


def test_sample_writes_an_episode_and_returns(run, tmp_path, capsys):
    draw = recipes.command(run, "sample")
    for seed_index in (0, 1):
        draw(run, "last", SampleRequest(5, 3, str(tmp_path), seed_index=seed_index))
        found = returns(tmp_path)
        assert len(found) == 5
        assert set(found) <= {-1.0, 1.0}
        with Image.open(tmp_path / commands.ANIMATION) as picture:
            assert (picture.n_frames, picture.size) == (9, (80, 160))
    assert "wrote 5 returns" in capsys.readouterr().out


def test_a_loaded_policy_plays_the_episodes_that_sample_writes(run, tmp_path, capsys):
    environment = ENVIRONMENTS["Catch"]()
    for seed_index in (0, 1):
        request = SampleRequest(4, 3, str(tmp_path), seed_index=seed_index)
        recipes.command(run, "sample")(run, "last", request)
        policy = jaxgan.load(run, "last", seed_index)
        keys = jax.random.split(jax.random.key(3), 4)  # as `play` does; Catch draws only its start
        states = jax.vmap(environment.reset)(keys)
        totals = np.zeros(4)
        for _ in range(9):
            actions = policy(np.asarray(jax.vmap(environment.observe)(states)))
            states, rewards, _ = jax.vmap(environment.step)(states, actions, keys)
            totals += np.asarray(rewards)
        assert totals.tolist() == returns(tmp_path)
    capsys.readouterr()


def test_eval_writes_a_summary(run, tmp_path, capsys):
    request = EvaluationRequest(output=str(tmp_path), seed_index=1)
    recipes.command(run, "evaluate")(run, "last", request)
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert list(summary) == ["count", "return", "length", "max_q", "overestimation"]
    found = returns(tmp_path)
    assert (summary["count"], summary["length"]) == (4, 9.0)
    assert summary["return"] == pytest.approx(sum(found) / 4)
    assert "return" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SampleRequest(1, 0, "x", temperature=0.5), "--temperature=0.5: agents do not use it"),
        (SampleRequest(1, 0, "x", label="3"), "--label=3: agents do not use it"),
        (SampleRequest(1, 0, "x", text="a"), "--text=a: agents do not use it"),
        (SampleRequest(1, 0, "x", text=""), "--text=: agents do not use it"),
        (SampleRequest(1, 0, "x", bias=0.0), "--bias=0.0: agents do not use it"),
        (SampleRequest(1, 0, None), "--output: give a folder to write"),
        (SampleRequest(1, 0, "x", seed_index=2), "--seed_index=2: "),
    ],
)
def test_flags_that_do_not_fit_are_refused(run, request_, message):
    with pytest.raises(UserError) as error:
        recipes.command(run, "sample")(run, "last", request_)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EvaluationRequest(data="folder"), "--data=folder: an agent is measured by the episodes"),
        (EvaluationRequest(data="gymnasium:"), "--data=gymnasium:: an agent is measured by the"),
        (EvaluationRequest(scores="stoi"), "--scores=stoi: an agent is measured by the episodes"),
        (
            EvaluationRequest(data="gymnasium:CartPole-v1"),
            "--data=gymnasium:CartPole-v1: its actions are Discrete(2) and its observations",
        ),
    ],
)
def test_evaluations_that_do_not_fit_are_refused(run, request_, message):
    with pytest.raises(UserError) as error:
        recipes.command(run, "evaluate")(run, "last", request_)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("widths", (5,), "{}/config.json does not describe the networks of the checkpoint"),
        ("optimizer", "sgd", "{}/config.json does not describe the networks of the checkpoint"),
        ("dtype", "float99", "config.dtype=float99: choose one of float32, bfloat16"),
    ],
)
def test_a_config_that_was_changed_by_hand_is_refused(run, tmp_path, key, value, message):
    folder = shutil.copytree(run, tmp_path / "run")
    config = configs.read(folder)
    config[key] = value
    configs.write(config, folder)
    uses = [
        lambda: recipes.command(folder, "sample")(folder, "last", SampleRequest(1, 0, "x")),
        lambda: recipes.command(folder, "evaluate")(folder, "last", EvaluationRequest()),
        lambda: jaxgan.load(folder, "last"),
    ]
    for use in uses:
        with pytest.raises(UserError) as error:
            use()
        assert str(error.value).startswith(message.format(folder))


def test_a_policy_of_cartpole_plays_in_gymnasium(tmp_path):
    """An agent of PPO, whose preferences are logits, so nothing is said of values."""
    config = ppo_config("tiny")
    config.env, config.rounds, config.steps_per_round = "CartPole-v1", 1, 16
    train(config, tmp_path)
    request = EvaluationRequest(data="gymnasium:CartPole-v1")
    recipes.command(tmp_path, "evaluate")(tmp_path, "last", request)
    summary = json.loads((tmp_path / EVALUATED / SUMMARY).read_text())
    assert list(summary) == ["count", "return", "length"]
    assert summary["count"] == 4
    assert summary["return"] == summary["length"] >= 8
    assert len(returns(tmp_path / EVALUATED)) == 4
