"""The losses by hand, and what eval.py reports."""

import csv
import functools
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agents import train

from configs.chess_style import get_config
from jaxgan import recipes
from jaxgan.control.chess import commands, games
from jaxgan.control.chess.dataset import TEST, TRAIN, open_dataset
from jaxgan.control.chess.positions import after
from jaxgan.control.systems import chess_style
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import EvaluationRequest
from jaxgan.core.state import step_key
from jaxgan.reporting.summary import SUMMARY


@pytest.fixture(scope="module")
def opened():
    """The config, the data on one device, a batch of rows [2, 8], and the data themselves."""
    config = get_config("tiny")
    config.alternatives = 3
    dataset = open_dataset(config, lambda text: None)
    train = dataset.parts[TRAIN]
    rows = jnp.stack([jnp.asarray(train.of(own)[:8]) for own in (True, False)])
    return config, dataset.games.place(devices.make_mesh(1)), rows, dataset.games


candidates = jax.jit(games.candidates, static_argnames="count")


def start(config):
    """The system of a config, and its first state."""
    system = chess_style.make_system(config)
    return system, jax.jit(functools.partial(chess_style.initial, system=system))(jax.random.key(1))


def stepped(step, system, *arguments):
    return jax.jit(functools.partial(step, system=system))(*arguments)


def softplus(x):
    return np.logaddexp(0, x)


def test_random_moves_are_legal_uniform_and_not_the_played_one(opened):
    _, data, _, found = opened
    row = int(np.argmin(np.where(np.diff(found.starts) < 8, 99, np.diff(found.starts))))
    legal = found.legal[found.starts[row] : found.starts[row + 1]]
    each = np.asarray(jax.jit(after)(found.squares[row], legal))
    rows = jnp.array([row])
    before, following, exists = candidates(data, rows, jax.random.key(0), count=4000)
    np.testing.assert_array_equal(before[0], found.squares[row])
    np.testing.assert_array_equal(following[0, 0], each[found.played[row]])
    matches = (np.asarray(following)[0, 1:, None] == each).all(-1)
    counts = matches.sum(0)
    assert exists.all()
    assert counts.sum() == 4000
    assert counts[found.played[row]] == 0
    others = np.delete(counts, found.played[row])
    expected = 4000 / len(others)
    assert np.abs(others - expected).max() < 5 * np.sqrt(expected)


def test_a_forced_move_has_no_alternative(opened):
    _, data, _, found = opened
    forced = data._replace(starts=jnp.arange(len(found.starts)), played=0 * data.played)
    _, _, exists = candidates(forced, jnp.array([0, 1]), jax.random.key(0), count=3)
    assert exists.tolist() == [[True, False, False, False]] * 2


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_loss_of_the_discriminator(opened, share):
    config, data, rows, _ = opened
    config.generated_share = share
    system, state = start(config)
    moved, found = stepped(chess_style.discriminator_step, system, state, rows, data)
    before, following, exists = candidates(data, rows[0], step_key(state, 0), count=3)
    values = np.where(exists, system.value(state.players, following), -np.inf)
    logits = np.asarray(system.judge(state.players, before, following))
    generated = logits[np.arange(8), values.argmax(1)]
    x, y, _ = candidates(data, rows[1], jax.random.key(5), count=3)
    other = np.asarray(system.judge(state.players, x, y))[:, 0]
    loss = softplus(-logits[:, 0]).mean()
    loss += (1 - share) * softplus(other).mean() + share * softplus(generated).mean()
    assert found["d_loss"] == pytest.approx(loss, rel=1e-5)
    same = jax.tree.map(np.array_equal, state.players["evaluator"], moved.players["evaluator"])
    assert all(jax.tree.leaves(same))
    assert moved.step == 1


def test_the_loss_of_the_evaluator(opened):
    config, data, rows, _ = opened
    system, state = start(config)
    moved, found = stepped(chess_style.evaluator_step, system, state, rows, data)
    flat = rows.T.reshape(-1)
    x, following, exists = candidates(data, flat, step_key(state), count=3)
    assert exists.all()
    values = np.asarray(system.value(state.players, following))
    logits = np.asarray(system.judge(state.players, x, following))
    kept = values[:, 0] - np.asarray(system.value(state.players, x))
    chances = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    expected = {
        "ranking": softplus(values[:, 1:] - values[:, :1]).mean(),
        "equality": (softplus(-kept) + softplus(kept)).mean(),
        "style": (chances * softplus(-logits)).sum(1).mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    unmoved = state.players["discriminator"], moved.players["discriminator"]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, *unmoved)))
    assert moved.step == 1


def test_the_style_reaches_the_evaluator(opened):
    config, data, rows, _ = opened
    moved = []
    for weight in (0.0, 4.0):
        config.style_weight = weight
        system, state = start(config)
        state, _ = stepped(chess_style.evaluator_step, system, state, rows, data)
        moved.append(jax.tree.leaves(state.players["evaluator"].params))
    assert any(not np.array_equal(one, other) for one, other in zip(*moved, strict=True))


def test_it_learns_to_rank_and_to_recognise_the_scripted_attacker(tmp_path):
    config = get_config("tiny")
    config.data.count, config.batch_size, config.widths = 120, 64, (32,)
    config.rounds, config.steps_per_round = 1, 150
    config.discriminator_steps, config.generated_share = 1, 0.0
    config.evaluator_learning_rate = config.discriminator_learning_rate = 5e-3
    config.validation.positions = 200
    train(config, tmp_path)
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    # The untrained networks have 0.5 on average.
    assert row["eval/ranking_accuracy"] > 0.55
    assert row["eval/style_auc_games"] > 0.8

    evaluate = recipes.command(tmp_path, "evaluate")
    for flag, value in {"data": "games", "scores": "stoi", "seed_index": 1}.items():
        with pytest.raises(UserError, match=f"^--{flag}={value}: .*; leave --{flag} out"):
            evaluate(tmp_path, "last", EvaluationRequest(**{flag: value}))
    output = tmp_path / "found"
    request = EvaluationRequest(output=str(output))
    evaluate(tmp_path, "last", request)
    summary = json.loads((output / SUMMARY).read_text())
    assert list(summary) == [
        *("count", "ranking_accuracy", "style_auc_games", "style_auc_later"),
        *("style_auc_moves", "top_1", "top_5", "style_of_choice", "style_of_player"),
    ]
    test = open_dataset(config, lambda text: None).parts[TEST]
    assert summary["count"] == len(np.unique(test.games))
    with (output / commands.GAMES).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["count"]
    assert sum(float(row["moves"]) for row in rows) == len(test.rows)
    own = [float(row["style"]) for row in rows if float(row["own"])]
    others = [float(row["style"]) for row in rows if not float(row["own"])]
    area = np.mean([[a > b for b in others] for a in own])
    assert summary["style_auc_games"] == pytest.approx(area, abs=1e-3)


@pytest.mark.parametrize(
    ("key", "value"),
    [("style_weight", -1.0), ("generated_share", 2.0), ("batch_size", 12), ("alternatives", 0)],
)
def test_settings_are_checked(key, value):
    config = get_config("tiny")
    config[key] = value
    with pytest.raises(UserError, match=rf"config\.{key}={value}: must be"):
        recipes.make(config, devices.make_mesh(8))


def test_without_python_chess_the_error_is_one_line(tmp_path):
    code = "import sys; sys.modules['chess'] = None; from jaxgan.commands import train; "
    code += f"sys.exit(train.main(['--config=chess_style:tiny', '--workdir={tmp_path}']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "pip install 'jaxgan[chess]', or pip install chess"
    )
    assert "Traceback" not in done.stderr
