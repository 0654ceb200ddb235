"""The script that makes the tables of agents, with runs that are made up."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxgan.control.environments.tabular import optimal_values, random_tables

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLES = random_tables(6, 3, 3, seed=2)


@pytest.fixture
def control_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import control_table

    return control_table


@pytest.fixture
def runs(control_table, monkeypatch):
    """Replaces train.py: writes twenty rounds, and records the settings."""
    recorded = {}

    def train(preset, settings, overrides, workdir):
        recorded[workdir.name] = preset, dict(settings), list(overrides)
        workdir.mkdir(parents=True, exist_ok=True)
        base = 100 if "double" in preset else 101
        lines = []
        for number in range(1, 21):
            row = {"round": number}
            for seed in range(settings["seeds"]):
                row[f"train/return/seed_{seed}"] = 10 * number + seed
                row[f"eval/max_q/seed_{seed}"] = 200 - number if number < 19 else base + seed
                early = 10 * (base - 100) if number < 19 else 0
                row[f"eval/overestimation/seed_{seed}"] = base + early + (-1) ** seed
            lines.append(json.dumps(row))
        (workdir / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(control_table, "train", train)
    return recorded


def test_the_values_of_a_policy_satisfy_bellmans_equation(control_table):
    policy = np.random.default_rng(0).dirichlet(np.ones(3), size=6)
    found = control_table.policy_values(TABLES, policy, 0.9)
    for state, action in np.ndindex(5, 3):
        expected = sum(
            TABLES.next_states[state, action, after]
            * (TABLES.rewards[state, action, after] + 0.9 * (policy[after] @ found[after]))
            for after in range(6)
        )
        assert found[state, action] == pytest.approx(expected, abs=1e-9)
    assert not found[5].any()


def test_the_values_of_the_best_policy_are_the_optimal_ones(control_table):
    optimal = optimal_values(TABLES, 0.9)
    found = control_table.policy_values(TABLES, np.eye(3)[optimal.argmax(axis=1)], 0.9)
    np.testing.assert_allclose(found, optimal, atol=1e-9)


def test_the_tables_show_the_last_tenth_of_every_seed(control_table, runs, tmp_path, capsys):
    options = ["--parts=returns,values", "--seeds=3", f"--workdir={tmp_path}", "--config.gamma=0.9"]
    assert control_table.main(options) == 0
    shown = capsys.readouterr().out
    # Rounds 19 and 20, of seeds 0, 1, 2.
    row = "196.0 (195.0 to 197.0) | 196.0 (195.0 to 197.0) | 195.0 196.0 197.0"
    assert f"| dqn, CartPole-v1 | {row} | 488.69 ± 16.11 |" in shown
    assert f"| ppo, Acrobot-v1 | {row} | -86.36 ± 1.32 |" in shown
    values = "196.0 (195.0 to 197.0) | 101.0 102.0 103.0 | 103.0 | 199 199 199"
    assert f"| nature, 10 | {values} | 102.0 100.0 102.0 |" in shown
    comparison = "Double's over-estimation minus Nature's"
    below = "below on 3 of 3 seeds"
    assert f"10 environment(s), last tenth: {comparison} -1.0 (-1.0 to -1.0); {below}" in shown
    assert f"10 environment(s), whole run: {comparison} -10.0 (-10.0 to -10.0); {below}" in shown
    # Nature with one environment is in both tables, but trained in one folder.
    preset, settings, overrides = runs["dqn_nature-CartPole-v1"]
    assert preset == "dqn.py:nature"
    assert settings == {"seeds": 3, "checkpoint.every": 50, "env": "CartPole-v1"}
    assert overrides == ["--config.gamma=0.9"]
    assert len(runs) == 4 + 2 * 4 - 1
