"""The script that tables rewards and controls, with runs that are made up."""

import json
from pathlib import Path

import pytest

from configs import mask_regression
from jaxgan.core import config as configs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PRESET = "mask_ppo.py:tiny"


@pytest.fixture
def avse_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import avse_table

    return avse_table


@pytest.fixture
def runs(avse_table, monkeypatch):
    """Replaces train.py: writes the last round of a run, and records the settings."""
    recorded = {}

    def train(preset, settings, overrides, workdir):
        flags = [f"--config.{key}={value}" for key, value in settings.items()]
        config = configs.load(str(BENCHMARKS.parent / "configs" / preset), [*flags, *overrides])
        recorded[str(workdir.relative_to(workdir.parents[1]))] = config
        workdir.mkdir(parents=True, exist_ok=True)
        configs.write(config, workdir)
        row = {
            "round": config.rounds,
            "train/divergence": config.get("divergence_weight"),
            "train/reward_gain": 0.0,
            "valid/words": 2 + config.seed + (config.get("policy_weight", 0) > 0) / 4,
            "valid/words_noisy": 1.0,
            "valid/stoi": None,
        }
        (workdir / "metrics.jsonl").write_text(json.dumps(row) + "\n")

    monkeypatch.setattr(avse_table, "train", train)
    return recorded


@pytest.fixture
def start(tmp_path):
    config = mask_regression.get_config("tiny")
    config.generator.width = 6
    config.data.seed = 5
    (tmp_path / "start").mkdir()
    configs.write(config, tmp_path / "start")
    return tmp_path / "start"


def test_runs_take_the_network_and_the_data_of_the_start(avse_table, runs, start, tmp_path):
    flags = [f"--start={start}", f"--preset={PRESET}", "--seeds=3", f"--workdir={tmp_path / 'out'}"]
    assert avse_table.main([*flags, "--config.deviation=0.2"]) == 0
    names = {name.partition("/")[0] for name in runs}
    assert {"pretrained", "anchor_only", "shuffled_rewards", "words", "words_K_1"} <= names
    assert len(runs) == 3 * len(names)
    for name, config in runs.items():
        assert (config.generator.width, config.data.seed, config.deviation) == (6, 5, 0.2)
        assert config.init_from == str(start)
        assert name.endswith(f"seed{config.seed}")
    assert runs["pretrained/seed0"].generator_learning_rate == 0
    assert runs["anchor_only/seed1"].policy_weight == 0
    assert runs["shuffled_rewards/seed2"].shuffle_rewards
    assert runs["words_without_KL/seed0"].divergence_weight == 0
    assert [runs[f"words_K_{k}/seed0"].samples for k in (1, 4)] == [1, 4]
    updates = {name: c.rounds * c.utterances_per_round for name, c in runs.items()}
    assert {count for name, count in updates.items() if "pretrained" not in name} == {400}


def test_the_table_has_intervals_and_paired_differences(avse_table, runs, start, tmp_path):
    out = tmp_path / "out"
    flags = [f"--start={start}", f"--preset={PRESET}", f"--workdir={out}", "--budget=0.1"]
    assert avse_table.main(flags) == 0
    values, minus_start, minus_anchor = (out / "table.md").read_text().split("\n\nminus")
    # Seeds give 2.25, 3.25 and 4.25: their standard deviation is 1, t(2) is 4.303.
    assert "| words | 3.25 ± 2.48 |" in values
    assert "| noisy | 1.00 ± 0.00 |" in values
    assert "stoi" not in values
    assert "| anchor only | -0.25 ± 0.00 |" in minus_start
    assert "| words | 0.25 ± 0.00 |" in minus_anchor
    assert "| anchor only |" not in minus_anchor
    assert runs["words/seed0"].rounds * runs["words/seed0"].utterances_per_round == 40


def test_the_starts_are_trained_where_there_are_none(avse_table, runs, tmp_path):
    flags = ["--recipe=mask_regression", "--seeds=2", f"--workdir={tmp_path}", "--budget=0.1"]
    assert avse_table.main(flags) == 0
    first = runs["start_mask_regression/seed1"]
    assert (first.recipe, first.seed) == ("mask_regression", 1)
    assert first.rounds < mask_regression.get_config("quick").rounds
    assert runs["words/seed1"].init_from == str(tmp_path / "start_mask_regression/seed1")
    assert runs["words/seed1"].generator == first.generator


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--start=nowhere"], "--start=nowhere: no run of train.py"),
        (["--budget=0"], "give a --budget above 0"),
        (["--seed=4"], "--seed=4: no such option"),
    ],
)
def test_mistakes_in_flags(avse_table, flags, message, capsys):
    with pytest.raises(SystemExit) as caught:
        avse_table.main(flags)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
