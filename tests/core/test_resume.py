"""Runs that continue: after a stop, from other networks, on other devices."""

import json
import math

import jax
import numpy as np
import pytest
import toy

from jaxgan.core import checkpoint, devices, log, loop
from jaxgan.core import config as configs
from jaxgan.core.checkpoint import Checkpoints
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players
from jaxgan.core.recipe import Evaluation


@pytest.mark.parametrize("every", [1, 3])
def test_resume_is_exact(recipe, uninterrupted, restore, assert_same, numbers, tmp_path, every):
    seconds = []
    for rounds in (1, 3, 4):
        loop.run(recipe, toy.get_config(rounds=rounds, checkpoint={"every": every}), tmp_path)
        seconds.append(restore(tmp_path)[2].wall_seconds)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])
    # A run whose last round was an earlier one was validated there as well.
    trained = [
        [{key: row[key] for key in row if not key.startswith("valid/")} for row in numbers(folder)]
        for folder in (uninterrupted, tmp_path)
    ]
    assert trained[0] == trained[1]
    assert json.loads((tmp_path / "config.json").read_text())["rounds"] == 4
    assert 0 < seconds[0] < seconds[1] < log.read(tmp_path)[3]["wall_seconds"]


def test_a_run_with_a_bounded_history_resumes_exactly(recipe, restore, assert_same, tmp_path):
    bounded = toy.changed(recipe, history_window=2)
    loop.run(bounded, toy.get_config(rounds=6), tmp_path / "whole")
    for rounds in (2, 5, 6):
        config = toy.get_config(rounds=rounds, checkpoint={"every": 4})
        loop.run(bounded, config, tmp_path / "parts")
    whole, parts = (restore(tmp_path / name)[:2] for name in ("whole", "parts"))
    assert_same(whole, parts)
    assert [bool(record) for record in whole[1]] == [False] * 4 + [True] * 2
    for name in ("whole", "parts"):
        kept = {checkpoint.find(tmp_path / name, which).name for which in ("best", "last")}
        listed = {int(last) - back for last in kept for back in (0, 1)}
        files = {path.name for path in (tmp_path / name / "history").iterdir()}
        assert files == {f"round_{number:06d}.npz" for number in listed}
        assert "round_000006.npz" in files
        assert len(files) <= 4


def test_a_killed_run_loses_only_the_rounds_since_its_checkpoint(
    recipe, uninterrupted, restore, assert_same, numbers, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        real = Checkpoints.save

        def save(self, run_state, history, position):
            # The worst moment: the record of the history is on disk, the checkpoint is not.
            if position.round == 3:
                self._append(history)
                (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()
                raise SystemExit("killed")
            return real(self, run_state, history, position)

        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(SystemExit):
            loop.run(recipe, toy.get_config(), tmp_path)
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "history" / "round_000003.npz").exists()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 4, "step":')
    loop.run(recipe, toy.get_config(), tmp_path)
    assert numbers(tmp_path) == numbers(uninterrupted)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])


def test_a_finished_run_says_so_and_changes_nothing(recipe, uninterrupted, capsys):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}
    loop.run(recipe, toy.get_config(), uninterrupted)
    assert "finished, 4 rounds are done" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}


def test_another_config_is_refused_and_the_keys_are_named(recipe, uninterrupted):
    other = toy.get_config(rounds=3, learning_rate=0.1, scoring={"workers": 7})
    with pytest.raises(UserError) as refusal:
        loop.run(recipe, other, uninterrupted, may_change=toy.MAY_CHANGE)
    message = str(refusal.value)
    assert "learning_rate was 0.05 and is now 0.1" in message
    assert "rounds was 4 and is now 3" in message
    assert "workers" not in message
    assert "\n" not in message
    with pytest.raises(UserError, match=r"scoring\.workers was 0 and is now 7"):
        loop.check(toy.get_config(scoring={"workers": 7}), uninterrupted)


def test_a_folder_without_a_checkpoint_starts_from_scratch_with_any_config(recipe, tmp_path):
    configs.write(toy.get_config(rounds=9, learning_rate=1.0), tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"round": 1, "step": 2}\n')
    loop.run(recipe, toy.get_config(rounds=1), tmp_path)
    assert [row["round"] for row in log.read(tmp_path)] == [1]


def test_the_files_of_a_recipe_must_stay_the_same(recipe, tmp_path):
    one, other = (toy.changed(recipe, files={"names.json": names}) for names in (b"[1]", b"[2]"))
    loop.run(one, toy.get_config(rounds=1), tmp_path)
    assert (tmp_path / "names.json").read_bytes() == b"[1]"
    loop.run(one, toy.get_config(rounds=2), tmp_path)
    with pytest.raises(UserError, match=r"names\.json differs from what the data now give"):
        loop.run(other, toy.get_config(rounds=3), tmp_path)
    assert (tmp_path / "names.json").read_bytes() == b"[1]"


@pytest.mark.parametrize("which", ["best", "last"])
def test_init_from_takes_the_networks_and_nothing_else(
    recipe, uninterrupted, restore, tmp_path, which
):
    # A best checkpoint that is not the last one.
    objectives = {1: 0.9, 2: 0.1, 3: math.nan, 4: math.nan}
    judged = toy.changed(
        recipe,
        evaluate=lambda state, number: lambda: Evaluation({}, objectives[number]),
    )
    old = tmp_path / "old"
    loop.run(judged, toy.get_config(rounds=2, validation={"every": 1}), old)
    # It trains nothing, so its checkpoint holds the networks that it started with.
    resting = toy.changed(recipe, round=lambda state, *_: (state, {}, {}))
    config = toy.get_config(rounds=1, init_from=str(old), init_checkpoint=which, seed=8)
    loop.run(resting, config, tmp_path / "new")
    run_state, history, _ = restore(tmp_path / "new")
    assert history == [{}]
    assert int(run_state.step) == 0
    expected = load_players(old, {"best": "1", "last": "2"}[which])
    for name, player in run_state.players.items():
        jax.tree.map(np.testing.assert_array_equal, player.params, expected[name].params)


def test_init_from_another_network_is_refused(uninterrupted, tmp_path):
    config = toy.get_config(init_from=str(uninterrupted), hidden=9)
    message = r"discriminator.params .* Dense_0/bias is float32\[8\] there and float32\[9\] here"
    with pytest.raises(UserError, match=message):
        loop.run(toy.Toy(config, devices.make_mesh(1)), config, tmp_path)
    assert not checkpoint.rounds(tmp_path)


def test_init_from_a_folder_without_a_run_is_refused(recipe, tmp_path):
    config = toy.get_config(init_from=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="nothing/checkpoints holds no checkpoint"):
        loop.run(recipe, config, tmp_path / "new")


def test_eight_devices_give_the_numbers_of_one(recipe, uninterrupted, numbers, restore, tmp_path):
    eight = toy.Toy(toy.get_config(), devices.make_mesh(8))
    loop.run(eight, toy.get_config(rounds=3), tmp_path)
    for one, other in zip(numbers(uninterrupted)[:3], numbers(tmp_path), strict=True):
        for name in one:
            assert other[name] == pytest.approx(one[name], rel=1e-5)
    # One device continues what eight devices saved.
    loop.run(recipe, toy.get_config(), tmp_path)
    players = [restore(folder)[0].players for folder in (uninterrupted, tmp_path)]
    for one, other in zip(*map(jax.tree.leaves, players), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
