import copy
import itertools
import json
import math
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from jaxgan.core import checkpoint, devices, log, loop, signals
from jaxgan.core import config as configs
from jaxgan.core.checkpoint import Checkpoints
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.players import load_players
from jaxgan.core.recipe import Evaluation


def rounds_config(rounds, **changes):
    config = toy.get_config()
    config.update({"rounds": rounds, **changes})
    return config


def numbers(workdir):
    """The rows of metrics.jsonl without what the clock says."""
    clocks = ("wall_seconds", "time/", "throughput/", "compilations")
    return [
        {name: value for name, value in row.items() if not name.startswith(clocks)}
        for row in log.read(workdir)
    ]


class Hooked:
    """A recipe that calls something in the middle of its rounds."""

    def __init__(self, recipe, hook):
        self.recipe, self.hook = recipe, hook
        self.init, self.evaluate = recipe.init, recipe.evaluate

    def round(self, run_state, history, number, timer):
        self.hook(number)
        return self.recipe.round(run_state, history, number, timer)


class Scripted:
    """A recipe whose validation finds what the test says."""

    def __init__(self, recipe, objectives):
        self.objectives = objectives
        self.init, self.round = recipe.init, recipe.round

    def evaluate(self, run_state, number):
        return lambda: Evaluation({"score": self.objectives[number]}, self.objectives[number])


def with_config(recipe, config):
    """The toy with another config but the same compiled steps."""
    other = copy.copy(recipe)
    other.config = config
    return other


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    """A run of 4 rounds in one go."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    loop.run(recipe, rounds_config(4), workdir)
    return workdir


def test_run_leaves_what_the_contract_names(uninterrupted):
    rows = log.read(uninterrupted)
    assert [row["round"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows] == [2, 6, 10, 14]
    assert all(one["wall_seconds"] < two["wall_seconds"] for one, two in itertools.pairwise(rows))
    every_round = {"train/d_loss", "train/g_loss", "replay/records", "time/round", "time/score"}
    assert all(every_round <= row.keys() for row in rows)
    assert [row["round"] for row in rows if "valid/score" in row] == [2, 4]
    assert [row["round"] for row in rows if "time/validation" in row] == [2, 4]
    assert [row["round"] for row in rows if "time/checkpoint" in row] == [2, 3, 4]
    assert json.loads((uninterrupted / "config.json").read_text())["rounds"] == 4
    assert list(uninterrupted.glob("events.out.tfevents.*"))
    points_per_second = rows[2]["throughput/points_per_second"]
    assert points_per_second == pytest.approx(2 * toy.BATCH / rows[2]["time/round"])


def test_only_the_first_rounds_compile(uninterrupted):
    rows = log.read(uninterrupted)
    assert rows[0]["compilations"] > 0
    assert rows[3]["compilations"] == 0
    assert rows[3]["time/compile"] == 0


def test_the_history_grows_by_one_record_a_round(uninterrupted, restore):
    run_state, history, position = restore(uninterrupted)
    assert len(history) == 4
    assert position.round == 4
    assert int(run_state.step) == 14
    np.testing.assert_array_equal(history[2]["scores"], toy.host_score(history[2]["points"]))


@pytest.mark.parametrize("every", [1, 3])
def test_resume_is_bit_exact(recipe, uninterrupted, restore, assert_same, tmp_path, every):
    for rounds in (1, 3, 4):
        loop.run(recipe, rounds_config(rounds, checkpoint={"every": every}), tmp_path)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])
    # A run whose last round was an earlier one was validated there as well.
    trained = [
        [{key: row[key] for key in row if not key.startswith("valid/")} for row in numbers(folder)]
        for folder in (uninterrupted, tmp_path)
    ]
    assert trained[0] == trained[1]
    assert json.loads((tmp_path / "config.json").read_text())["rounds"] == 4


def test_a_run_killed_before_its_checkpoint_loses_only_what_came_after_the_last(
    recipe, uninterrupted, restore, assert_same, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        real = Checkpoints.save

        def save(self, run_state, history, position):
            # The history's record is on disk, the checkpoint is not: the worst moment.
            if position.round == 3:
                self._append(history)
                (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()
                raise SystemExit("killed")
            return real(self, run_state, history, position)

        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(SystemExit):
            loop.run(recipe, rounds_config(4), tmp_path)
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "history" / "round_000003.npz").exists()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 4, "step":')
    loop.run(recipe, rounds_config(4), tmp_path)
    assert numbers(tmp_path) == numbers(uninterrupted)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])


def test_wall_seconds_add_up_over_starts(recipe, tmp_path, restore):
    loop.run(recipe, rounds_config(1), tmp_path)
    first = restore(tmp_path)[2].wall_seconds
    loop.run(recipe, rounds_config(2), tmp_path)
    rows = log.read(tmp_path)
    assert rows[1]["wall_seconds"] > first
    assert rows[0]["wall_seconds"] < rows[1]["wall_seconds"]


def test_a_finished_run_says_so_and_touches_nothing(recipe, uninterrupted, capsys):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}
    loop.run(recipe, rounds_config(4), uninterrupted)
    assert "finished, 4 rounds are done" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}


def test_another_config_is_refused_by_name(recipe, uninterrupted):
    changed = rounds_config(5, learning_rate=0.1, scoring={"workers": 7})
    with pytest.raises(UserError, match=r"learning_rate was 0\.05 and is now 0\.1") as refusal:
        loop.run(recipe, changed, uninterrupted)
    assert "workers" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_seed_below_zero_is_refused(recipe, tmp_path):
    with pytest.raises(UserError, match=r"config\.seed=-1: must be 0 or more"):
        loop.run(recipe, rounds_config(2, seed=-1), tmp_path)


def test_validation_says_how_much_of_it_stands_beside_the_progress(recipe, tmp_path, capsys):
    class Named(Scripted):
        def evaluate(self, run_state, number):
            return lambda: Evaluation({"one": 1.0, "two": 2.0, "three": 3.0}, 1.0, shown=2)

    loop.run(Named(recipe, {}), rounds_config(1), tmp_path)
    line = capsys.readouterr().out.splitlines()[1]
    assert "one 1  two 2" in line
    assert "three" not in line


@pytest.mark.parametrize("key", ["rounds", "validation.every", "checkpoint.every"])
def test_settings_of_the_loop_are_checked_before_anything_is_made(recipe, tmp_path, key):
    config = rounds_config(2)
    config.update_from_flattened_dict({key: 0})
    with pytest.raises(UserError, match=f"config.{key}=0: must be 1 or more"):
        loop.run(recipe, config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_fewer_rounds_are_refused(recipe, uninterrupted):
    with pytest.raises(UserError, match="rounds was 4 and is now 3"):
        loop.run(recipe, rounds_config(3), uninterrupted)


def test_a_folder_without_a_checkpoint_begins_anew_with_any_config(recipe, tmp_path):
    configs.write(rounds_config(9, learning_rate=1.0), tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"round": 1, "step": 2}\n')
    loop.run(recipe, rounds_config(1), tmp_path)
    assert [row["round"] for row in log.read(tmp_path)] == [1]


def test_best_and_last_are_kept_and_no_other(recipe, tmp_path, assert_same):
    objectives = {1: 0.1, 2: 0.9, 3: 0.3, 4: math.nan}
    scripted = Scripted(recipe, objectives)
    every = {"validation": {"every": 1}}
    loop.run(scripted, rounds_config(2, **every), tmp_path / "two")
    loop.run(scripted, rounds_config(4, **every), tmp_path / "four")
    assert checkpoint.rounds(tmp_path / "four") == [2, 4]
    best = load_players(tmp_path / "four", "best")
    assert_same(best, load_players(tmp_path / "two", "last"))
    assert_same(best, load_players(tmp_path / "four", "2"))
    last = load_players(tmp_path / "four", "last")
    kernel = last["generator"].params["Dense_0"]["kernel"]
    assert not np.array_equal(kernel, best["generator"].params["Dense_0"]["kernel"])
    assert log.read(tmp_path / "four")[3]["valid/score"] is None


def test_the_best_is_kept_over_a_restart_and_between_due_checkpoints(recipe, tmp_path):
    scripted = Scripted(recipe, {2: 0.9, 4: 0.3, 5: 0.1, 6: 0.2, 8: 0.95})
    seldom = {"checkpoint": {"every": 5}}
    loop.run(scripted, rounds_config(5, **seldom), tmp_path)
    assert checkpoint.rounds(tmp_path) == [2, 5]
    loop.run(scripted, rounds_config(6, **seldom), tmp_path)
    assert checkpoint.rounds(tmp_path) == [2, 6]
    loop.run(scripted, rounds_config(8, **seldom), tmp_path)
    assert checkpoint.rounds(tmp_path) == [8]


def test_a_validation_is_waited_for_when_the_next_round_is_trained(
    recipe, tmp_path, restore, assert_same
):
    happened = []

    def evaluate(run_state, number):
        happened.append(f"ask {number}")

        def found():
            happened.append(f"wait {number}")
            return Evaluation({"score": -float(number)}, -float(number))

        return found

    slow = Hooked(recipe, lambda number: happened.append(f"train {number}"))
    slow.evaluate = evaluate
    config = rounds_config(3)
    config.validation.every = 1
    loop.run(slow, config, tmp_path / "slow")
    assert happened == [
        *("train 1", "ask 1", "train 2", "wait 1", "ask 2", "train 3", "wait 2"),
        *("ask 3", "wait 3"),
    ]
    assert [row["valid/score"] for row in log.read(tmp_path / "slow")] == [-1, -2, -3]
    # The first round, the best, is saved as it was, after the second was trained.
    loop.run(recipe, rounds_config(1), tmp_path / "one")
    best, one = (load_players(tmp_path / name, "best") for name in ("slow", "one"))
    assert_same(best, one)


def test_init_from_takes_the_networks_and_nothing_else(recipe, uninterrupted, restore, tmp_path):
    config = rounds_config(1, init_from=str(uninterrupted), learning_rate=0.0, seed=8)
    loop.run(toy.Toy(config, devices.make_mesh(1)), config, tmp_path)
    run_state, history, _ = restore(tmp_path)
    assert len(history) == 1
    assert int(run_state.step) == 2
    best = load_players(uninterrupted, "best")
    for name, player in run_state.players.items():
        jax.tree.map(np.testing.assert_array_equal, player.params, best[name].params)


def test_init_checkpoint_says_which_networks_a_run_begins_with(recipe, restore, tmp_path):
    every = {"validation": {"every": 1}}
    loop.run(Scripted(recipe, {1: 0.9, 2: 0.1}), rounds_config(2, **every), tmp_path / "old")
    for which, taken in (("best", "1"), ("last", "2")):
        config = rounds_config(1, init_from=str(tmp_path / "old"), init_checkpoint=which)
        config.learning_rate = 0.0
        loop.run(toy.Toy(config, devices.make_mesh(1)), config, tmp_path / which)
        expected = load_players(tmp_path / "old", taken)
        for name, player in restore(tmp_path / which)[0].players.items():
            jax.tree.map(np.testing.assert_array_equal, player.params, expected[name].params)


def test_what_a_recipe_keeps_lies_in_the_folder_and_must_stay_the_same(recipe, tmp_path):
    keeping = copy.copy(recipe)
    keeping.keeps = {"names.json": b"[1]"}
    loop.run(keeping, rounds_config(1), tmp_path)
    assert (tmp_path / "names.json").read_bytes() == b"[1]"
    loop.run(keeping, rounds_config(2), tmp_path)
    keeping.keeps = {"names.json": b"[2]"}
    with pytest.raises(UserError, match=r"names\.json is not what the data give now"):
        loop.run(keeping, rounds_config(3), tmp_path)
    assert (tmp_path / "names.json").read_bytes() == b"[1]"


def test_a_metric_of_validation_with_a_slash_keeps_its_name(recipe, tmp_path):
    class Named(Scripted):
        def evaluate(self, run_state, number):
            return lambda: Evaluation({"eval/score": 0.5}, 0.5)

    loop.run(Named(recipe, {}), rounds_config(1), tmp_path)
    row = log.read(tmp_path)[0]
    assert row["eval/score"] == 0.5
    assert "valid/eval/score" not in row


def test_init_from_another_network_is_refused(uninterrupted, tmp_path):
    config = rounds_config(1, init_from=str(uninterrupted), hidden=9)
    message = r"discriminator.params .* Dense_0/bias is float32\[8\] there and float32\[9\] here"
    with pytest.raises(UserError, match=message):
        loop.run(toy.Toy(config, devices.make_mesh(1)), config, tmp_path)
    assert not checkpoint.rounds(tmp_path)


def test_init_from_a_folder_without_a_run_is_refused(recipe, tmp_path):
    config = rounds_config(1, init_from=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="nothing/checkpoints holds no checkpoint"):
        loop.run(recipe, config, tmp_path / "new")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    recipe, tmp_path, restore
):
    config = rounds_config(4, nan_in_round=3)
    with pytest.raises(NonFiniteError, match=r"round 3: train/g_loss \(nan\)") as failure:
        loop.run(with_config(recipe, config), config, tmp_path)
    assert "checkpoint of round 2 is kept" in str(failure.value)
    assert checkpoint.rounds(tmp_path) == [2]
    assert log.read(tmp_path)[2]["train/g_loss"] is None
    run_state, history, _ = restore(tmp_path)
    assert len(history) == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run_state.players))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_round_saved(
    number, recipe, uninterrupted, restore, assert_same, tmp_path, capfd
):
    interrupted = Hooked(recipe, lambda now: now == 3 and os.kill(os.getpid(), number))
    config = rounds_config(4, checkpoint={"every": 10})
    loop.run(interrupted, config, tmp_path)
    output = capfd.readouterr()
    assert f"{number.name}: finishing this round" in output.err
    assert "nothing is saved yet" in output.err
    assert "stopped and saved after round 3; the same command goes on" in output.out
    assert restore(tmp_path)[2].round == 3
    loop.run(recipe, config, tmp_path)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])
    assert numbers(uninterrupted) == numbers(tmp_path)


def test_a_second_signal_stops_at_once_and_leaves_the_checkpoint(
    recipe, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(signals, "_SAME_REQUEST_SECONDS", 0.0)

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)

    def twice(number):
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit, match="130"):
        loop.run(Hooked(recipe, twice), rounds_config(4), tmp_path)
    assert "again to stop at once (round 1 is saved)" in capfd.readouterr().err
    assert checkpoint.rounds(tmp_path) == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_runs_in_a_thread_that_gets_no_signals(recipe, tmp_path):
    thread = threading.Thread(target=loop.run, args=(recipe, rounds_config(1), tmp_path))
    thread.start()
    thread.join()
    assert checkpoint.rounds(tmp_path) == [1]


def test_eight_devices_give_the_numbers_of_one(recipe, uninterrupted, tmp_path, restore):
    eight = toy.Toy(toy.get_config(), devices.make_mesh(8))
    loop.run(eight, rounds_config(3), tmp_path)
    for one, other in zip(numbers(uninterrupted)[:3], numbers(tmp_path), strict=True):
        for name in one:
            assert other[name] == pytest.approx(one[name], rel=1e-5)
    # What eight devices saved goes on with one.
    loop.run(recipe, rounds_config(4), tmp_path)
    for one, other in zip(
        jax.tree.leaves(restore(uninterrupted)[0].players),
        jax.tree.leaves(restore(tmp_path)[0].players),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_implicit_transfers_in_a_round_raise(recipe, tmp_path):
    careless = Hooked(recipe, lambda number: jnp.zeros(3))
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        loop.run(careless, rounds_config(1), tmp_path)


def test_debug_nans_names_the_operation(tmp_path):
    config = rounds_config(1, nan_in_round=1)
    # Compiled under the flag, so that jax does not donate what it then has to look at again.
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        loop.run(toy.Toy(config, devices.make_mesh(1)), config, tmp_path)


def test_profile_writes_a_trace_of_one_round(recipe, tmp_path):
    loop.run(recipe, rounds_config(2), tmp_path, profile=2)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_profile_of_a_round_that_will_not_run_is_refused(recipe, uninterrupted, tmp_path):
    with pytest.raises(UserError, match="--profile=9: the rounds still to run are 1 to 2"):
        loop.run(recipe, rounds_config(2), tmp_path, profile=9)
    with pytest.raises(UserError, match="--profile=2: the rounds still to run are 5 to 6"):
        loop.run(recipe, rounds_config(6), uninterrupted, profile=2)


def test_a_workdir_that_cannot_be_made_is_told(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; give a folder"):
        loop.run(recipe, rounds_config(1), tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot write in .*file/below .*Not a directory"):
        loop.run(recipe, rounds_config(1), tmp_path / "file" / "below")


def test_a_second_run_in_the_same_folder_is_refused_and_disturbs_nothing(recipe, tmp_path):
    refused = []

    def second(number):
        with pytest.raises(UserError, match="another run is at work in") as refusal:
            loop.run(recipe, rounds_config(3), tmp_path)
        refused.append(str(refusal.value))

    loop.run(Hooked(recipe, second), rounds_config(2), tmp_path)
    assert len(refused) == 2
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2]
    assert json.loads((tmp_path / "config.json").read_text())["rounds"] == 2
    loop.run(recipe, rounds_config(3), tmp_path)
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2, 3]


def test_plain_lines_where_there_is_no_terminal(recipe, tmp_path, capsys):
    loop.run(recipe, rounds_config(2), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("begins, 2 rounds")
    assert lines[1].startswith("round 1/2  d_loss ")
    assert " score 0." in lines[2]
    assert "done, 2 rounds" in lines[3]
    assert "the best is round 2" in lines[3]
