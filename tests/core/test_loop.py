import itertools
import json
import math
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from jaxgan.core import checkpoint, log, loop
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.players import load_players
from jaxgan.core.recipe import Evaluation


def scripted(objectives):
    """Returns a recipe's `evaluate` that finds the given objective of each round."""
    return lambda state, number: (
        lambda: Evaluation({"score": objectives[number]}, objectives[number])
    )


def test_a_run_writes_its_metrics_config_and_events(uninterrupted):
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
    # The first round compiles: its throughput is that of the rest of its time.
    assert 0 < rows[0]["time/compile_wait"] < rows[0]["time/round"]
    rest = rows[0]["time/round"] - rows[0]["time/compile_wait"]
    assert rows[0]["throughput/points_per_second"] == pytest.approx(toy.BATCH / rest)


def test_a_run_ends_after_validations_without_a_better_one(
    recipe, restore, assert_same, tmp_path, capsys
):
    found = {2: 0.1, 4: 0.5, 6: 0.5, 8: 0.2, 10: 0.9}
    scripted_recipe = toy.changed(recipe, evaluate=scripted(found))
    config = toy.get_config(rounds=10, checkpoint={"every": 100})
    config.validation.patience = 2
    loop.run(scripted_recipe, config, tmp_path / "whole")
    assert "ends early: the last 2 validations were no better" in capsys.readouterr().out
    assert [row["round"] for row in log.read(tmp_path / "whole")] == list(range(1, 9))
    assert restore(tmp_path / "whole")[2].best_round == 4
    # Stopped between two validations, the run continues to the same end.
    short = toy.get_config(rounds=7, checkpoint={"every": 100})
    short.validation.patience = 2
    loop.run(toy.changed(recipe, evaluate=scripted({**found, 7: 0.0})), short, tmp_path / "parts")
    for _ in range(2):  # the second time, nothing is left to do
        loop.run(scripted_recipe, config, tmp_path / "parts")
        assert_same(restore(tmp_path / "parts")[0], restore(tmp_path / "whole")[0])
    # More patience continues a run that has ended early.
    config.validation.patience = 3
    loop.run(scripted_recipe, config, tmp_path / "whole")
    assert restore(tmp_path / "whole")[2].best_round == 10


def test_without_patience_a_run_has_all_rounds(recipe, restore, tmp_path):
    config = toy.get_config(rounds=8)
    found = dict.fromkeys(range(9), 0.1)
    loop.run(toy.changed(recipe, evaluate=scripted(found)), config, tmp_path)
    assert restore(tmp_path)[2].round == 8


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


def test_plain_lines_without_a_terminal(recipe, tmp_path, capsys):
    loop.run(recipe, toy.get_config(rounds=2), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("starts, 2 rounds")
    assert lines[1].startswith("round 1/2  d_loss ")
    assert lines[2].startswith("round 2/2  d_loss ")
    assert lines[3].startswith("validation of round 2: score 0.")
    assert "done, 2 rounds" in lines[4]
    assert "the best is round 2" in lines[4]


def test_names_of_validation_metrics(recipe, tmp_path, capsys):
    evaluation = Evaluation({"one": 1.0, "eval/two": 2.0, "three": 3.0}, 1.0, shown=2)
    named = toy.changed(recipe, evaluate=lambda state, number: lambda: evaluation)
    loop.run(named, toy.get_config(rounds=1), tmp_path)
    row = log.read(tmp_path)[0]
    assert row["valid/one"] == 1.0
    assert row["eval/two"] == 2.0
    assert "valid/eval/two" not in row
    line = capsys.readouterr().out.splitlines()[2]
    assert line == "validation of round 1: one 1  eval/two 2"


def test_the_loop_trains_the_next_round_before_it_waits_for_a_validation(
    recipe, tmp_path, assert_same
):
    happened = []

    def evaluate(state, number):
        happened.append(f"start {number}")

        def wait():
            happened.append(f"wait {number}")
            return Evaluation({"score": -float(number)}, -float(number))

        return wait

    slow = toy.changed(
        recipe, evaluate=evaluate, hook=lambda number: happened.append(f"train {number}")
    )
    loop.run(slow, toy.get_config(rounds=3, validation={"every": 1}), tmp_path / "slow")
    assert happened == [
        *("train 1", "start 1", "train 2", "wait 1", "start 2", "train 3", "wait 2"),
        *("start 3", "wait 3"),
    ]
    assert [row["valid/score"] for row in log.read(tmp_path / "slow")] == [-1, -2, -3]
    # The first round, the best, is saved as it was, although the second has been trained.
    loop.run(recipe, toy.get_config(rounds=1), tmp_path / "one")
    assert_same(*(load_players(tmp_path / name, "best") for name in ("slow", "one")))


def test_a_validated_round_is_shown_before_the_next_one_is_trained(recipe, tmp_path, capsys):
    shown = []
    watching = toy.changed(recipe, hook=lambda number: shown.append(capsys.readouterr().out))
    config = toy.get_config(rounds=3, validation={"every": 1})
    loop.run(watching, config, tmp_path)
    assert "round 1/3" in shown[1]
    assert "validation of round 1: score" in shown[2]


def test_the_tracker_receives_the_rows_of_the_log_and_after_a_restart_only_new_ones(
    recipe, tmp_path, monkeypatch
):
    module = types.ModuleType("tracking")
    module.rows = []
    module.log_row = module.rows.append
    monkeypatch.setitem(sys.modules, "tracking", module)
    for rounds in (2, 3, 3):
        config = toy.get_config(rounds=rounds, tracker="tracking:log_row")
        loop.run(recipe, config, tmp_path)
    assert [row["round"] for row in module.rows] == [1, 2, 3]
    assert module.rows == log.read(tmp_path)


def test_a_tracker_that_fails_is_reported_once_and_training_goes_on(
    recipe, tmp_path, capsys, monkeypatch
):
    module = types.ModuleType("failing")
    called = []

    def log_row(row):
        called.append(row.pop("round"))  # the row is the function's own
        if called[-1] == 3:
            sys.exit("cannot\nconnect")
        raise ValueError("no network")

    module.log_row = log_row
    monkeypatch.setitem(sys.modules, "failing", module)
    loop.run(recipe, toy.get_config(tracker="failing:log_row"), tmp_path)
    lines = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("config.tracker")
    ]
    assert lines == [
        "config.tracker=failing:log_row: round 1: ValueError: no network; training goes on, and "
        "further errors are not shown"
    ]
    assert called == [1, 2, 3, 4]
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2, 3, 4]


def test_a_tracker_that_cannot_be_imported_is_refused_before_anything_is_written(recipe, tmp_path):
    with pytest.raises(UserError, match=r"config\.tracker: 'gone:log': cannot import 'gone'"):
        loop.run(recipe, toy.get_config(tracker="gone:log"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_only_the_best_and_the_last_checkpoint_are_kept(recipe, tmp_path, assert_same):
    judged = toy.changed(recipe, evaluate=scripted({1: 0.1, 2: 0.9, 3: 0.3, 4: math.nan}))
    every = {"validation": {"every": 1}}
    loop.run(judged, toy.get_config(rounds=2, **every), tmp_path / "two")
    loop.run(judged, toy.get_config(**every), tmp_path / "four")
    assert checkpoint.rounds(tmp_path / "four") == [2, 4]
    best = load_players(tmp_path / "four", "best")
    assert_same(best, load_players(tmp_path / "two", "last"))
    assert_same(best, load_players(tmp_path / "four", "2"))
    last = load_players(tmp_path / "four", "last")
    kernel = last["generator"].params["Dense_0"]["kernel"]
    assert not np.array_equal(kernel, best["generator"].params["Dense_0"]["kernel"])
    assert log.read(tmp_path / "four")[3]["valid/score"] is None


def test_the_best_checkpoint_survives_restarts(recipe, tmp_path):
    judged = toy.changed(recipe, evaluate=scripted({2: 0.9, 4: 0.3, 5: 0.1, 6: 0.2, 8: 0.95}))
    for rounds, kept in ((5, [2, 5]), (6, [2, 6]), (8, [8])):
        loop.run(judged, toy.get_config(rounds=rounds, checkpoint={"every": 5}), tmp_path)
        assert checkpoint.rounds(tmp_path) == kept


@pytest.mark.parametrize("key", ["rounds", "validation.every", "seed"])
def test_settings_are_checked_before_anything_is_written(recipe, tmp_path, key):
    config = toy.get_config()
    config.update_from_flattened_dict({key: -1})
    with pytest.raises(UserError, match=rf"config\.{key}=-1: must be"):
        loop.run(recipe, config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    recipe, tmp_path, restore
):
    config = toy.get_config(nan_in_round=3)
    with pytest.raises(NonFiniteError, match=r"round 3: train/g_loss \(nan\)") as failure:
        loop.run(toy.changed(recipe, config=config), config, tmp_path)
    assert "checkpoint of round 2 is kept" in str(failure.value)
    assert checkpoint.rounds(tmp_path) == [2]
    assert log.read(tmp_path)[2]["train/g_loss"] is None
    run_state, history, _ = restore(tmp_path)
    assert len(history) == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run_state.players))


def test_debug_nans_raises_at_the_operation(recipe, tmp_path):
    logarithm = jax.jit(lambda step: jnp.log(step - 1.0))
    failing = toy.changed(
        recipe, round=lambda state, *_: (state, {}, {"loss": logarithm(state.step)})
    )
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        loop.run(failing, toy.get_config(), tmp_path)


def test_implicit_transfers_in_a_round_raise(recipe, tmp_path):
    careless = toy.changed(recipe, hook=lambda number: jnp.zeros(3))
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        loop.run(careless, toy.get_config(), tmp_path)


def test_profile_writes_a_trace_of_one_round(recipe, tmp_path):
    loop.run(recipe, toy.get_config(rounds=2), tmp_path, profile=2)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_profile_of_a_round_that_will_not_run_is_refused(recipe, uninterrupted, tmp_path):
    with pytest.raises(UserError, match="--profile=9: the remaining rounds are 1 to 4"):
        loop.run(recipe, toy.get_config(), tmp_path, profile=9)
    with pytest.raises(UserError, match="--profile=2: the remaining rounds are 5 to 6"):
        loop.run(recipe, toy.get_config(rounds=6), uninterrupted, profile=2)


def test_a_folder_that_cannot_be_created_is_named(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; give a folder"):
        loop.run(recipe, toy.get_config(), tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot write in .*file/below .*Not a directory"):
        loop.run(recipe, toy.get_config(), tmp_path / "file" / "below")


def test_a_second_run_in_the_same_folder_is_refused_and_disturbs_nothing(recipe, tmp_path):
    refused = []

    def second(number):
        with pytest.raises(UserError, match="another run is") as refusal:
            loop.run(recipe, toy.get_config(rounds=3), tmp_path)
        refused.append(str(refusal.value))

    loop.run(toy.changed(recipe, hook=second), toy.get_config(rounds=2), tmp_path)
    assert len(refused) == 2
    assert [row["round"] for row in log.read(tmp_path)] == [1, 2]
    assert json.loads((tmp_path / "config.json").read_text())["rounds"] == 2


def test_reports_are_written_at_each_start_may_change_and_disappear(recipe, tmp_path):
    path = tmp_path / "left_out.txt"
    for rounds, text in ((1, b"one"), (2, b"two"), (3, b"")):
        reporting = toy.changed(recipe, reports={path.name: text})
        loop.run(reporting, toy.get_config(rounds=rounds), tmp_path)
        assert (path.read_bytes() if path.exists() else b"") == text
    assert not path.exists()
