"""Several seeds in one program equal runs of their own."""

import contextlib
import dataclasses
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eval as evaluation
import sample
from jaxgan import recipes
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.players import load_players
from jaxgan.core.seeds import of_seed, stacked_init, stacked_step
from jaxgan.core.state import make_run_state
from jaxgan.core.steps import Steps
from jaxgan.core.timer import Timer

SEEDS = 2
INITIAL, TRAINED = {"rtol": 1e-5, "atol": 1e-7}, {"rtol": 1e-4, "atol": 1e-5}
"""How close the parameters of a seed are to those of a run of its own."""


def config_of(name, **settings):
    config = importlib.import_module(f"configs.{name}").get_config("tiny")
    config.update(settings)
    return config


@contextlib.contextmanager
def recipe_of(config):
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        yield recipe


def play(config, rounds, validate):
    """The initial and the last state, the metrics of the last round and of its validation."""
    with recipe_of(config) as recipe:
        state = recipe.init(jax.random.key(config.seed))
        before = jax.device_get(state)
        for number in range(1, rounds + 1):
            with jax.transfer_guard("disallow"):
                state, _, metrics = recipe.round(state, (), number, Timer())
        found = recipe.evaluate(state, rounds)().metrics if validate else {}
        return before, jax.device_get(state), metrics, found


def assert_close(one, other, **tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gan", {}),
        ("wgan", {"thorough_critic_steps": 4}),
        ("semi_supervised", {}),
    ],
)
def test_a_seed_equals_a_run_of_its_own(name, settings):
    whole = name == "gan"  # the others: one round of the last seed
    rounds = 2 if whole else 1
    together = config_of(name, seed=5, seeds=SEEDS, **settings)
    before, after, metrics, found = play(together, rounds, whole)
    for place in range(SEEDS) if whole else (SEEDS - 1,):
        alone = play(config_of(name, seed=5 + place, **settings), rounds, whole)
        assert_close(of_seed(before.players, place), alone[0].players, **INITIAL)
        assert jax.random.key_data(before.key[place]).tolist() == (
            jax.random.key_data(alone[0].key).tolist()
        )
        assert after.step == alone[1].step
        assert_close(of_seed(after.players, place), alone[1].players, **TRAINED)
        assert_close(
            jax.tree.map(lambda leaf, at=place: leaf[at] if leaf.ndim else leaf, after.memory),
            alone[1].memory,
            **TRAINED,
        )
        for metric, value in alone[2].items():
            if not metric.startswith("throughput"):
                mine = metrics[f"train/{metric}/seed_{place}"]
                assert mine == pytest.approx(value, rel=1e-4, abs=1e-5), metric
        for metric, value in alone[3].items():
            mine = found[f"{metric}/seed_{place}"]
            assert mine == pytest.approx(value, rel=1e-3, abs=1e-4), metric
    assert metrics["throughput/images"] == SEEDS * alone[2]["throughput/images"]
    for metric in [name for name in found if "/seed_" not in name]:
        each = [found[f"{metric}/seed_{place}"] for place in range(SEEDS)]
        assert found[metric] == pytest.approx(np.mean(each))


def test_one_seed_has_the_layout_of_a_run_without_the_setting():
    config = config_of("gan")
    with recipe_of(config) as recipe:
        state = recipe.init(jax.random.key(0))
        assert state.key.shape == ()
        _, _, metrics = recipe.round(state, (), 1, Timer())
    assert set(metrics) == {"d_loss", "d_real", "d_fake", "g_loss", "throughput/images"}


def test_a_stopped_run_continues_bit_for_bit_and_the_commands_choose_a_seed(tmp_path, capsys):
    def train(rounds, folder):
        config = config_of("gan", seeds=SEEDS, rounds=rounds)
        with recipe_of(config) as recipe:
            loop.run(recipe, config, tmp_path / folder)

    train(2, "whole")
    for rounds in (1, 2):
        train(rounds, "parts")
    whole, parts = (load_players(tmp_path / folder, "last") for folder in ("whole", "parts"))
    assert_close(whole, parts, rtol=0, atol=0)
    row = read(tmp_path / "whole")[-1]
    each = [row[f"train/d_loss/seed_{place}"] for place in range(SEEDS)]
    assert row["train/d_loss"] == pytest.approx(np.mean(each))
    assert len(set(each)) == SEEDS
    assert {f"eval/modes/seed_{place}" for place in range(SEEDS)} < set(row)

    folder = f"--workdir={tmp_path / 'whole'}"
    drawn = []
    for place in (0, 1):
        output = tmp_path / f"samples{place}"
        flags = [folder, f"--seed_index={place}", f"--output={output}", "--count=4"]
        assert sample.main(flags) == 0
        drawn.append(np.load(output / "samples.npz")["samples"])
    assert not np.array_equal(*drawn)
    flags = [folder, "--seed_index=1", f"--output={tmp_path / 'eval'}", "--checkpoint=last"]
    assert evaluation.main(flags) == 0
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert set(summary) == {"count", "modes", "high_quality", "loose_modes", "reverse_kl"}
    for main in (sample.main, evaluation.main):
        assert main([folder, "--seed_index=2", f"--output={tmp_path / 'no'}"]) == 2
        assert "--seed_index=2: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("gan", 2, "config.seeds=3: several seeds share one device, and there are 2"),
        ("improved_gan", 1, "config.seeds=3: the initial networks of improved_gan depend on data"),
    ],
)
def test_several_seeds_that_cannot_be_trained_together(name, count, message):
    with pytest.raises(UserError, match=message):
        recipes.make(config_of(name, seeds=3), devices.make_mesh(count))


def test_a_decision_by_a_shared_counter_stays_one_decision():
    def init(key):
        return make_run_state(key, {}, {"counter": jnp.zeros((), jnp.int32), "sum": jnp.zeros(())})

    def step(state, batch):
        def more(memory):
            return {**memory, "sum": memory["sum"] + batch}

        memory = jax.lax.cond(
            state.memory["counter"] % 2 == 0, more, lambda memory: memory, state.memory
        )
        memory["counter"] = memory["counter"] + 1
        return dataclasses.replace(state, memory=memory, step=state.step + 1), {"seen": batch}

    state = stacked_init(init, 0, 2)(jax.random.key(0))
    batch = jnp.array([1.0, 10.0])
    text = str(jax.make_jaxpr(stacked_step(step))(state, batch))
    assert "cond[" in text
    mesh = devices.make_mesh(1)
    batches = devices.put([np.array([1.0, 10.0], np.float32)] * 3, devices.replicated(mesh))
    state = devices.put_replicated(state, mesh)
    state, _ = Steps(stacked_step(step), mesh, [])(state, batches)
    assert state.memory["sum"].tolist() == [2, 20]
    assert int(state.memory["counter"]) == int(state.step) == 3


def test_a_counter_that_differs_between_seeds_is_refused():
    def init(key):
        return make_run_state(key, {}, {"counter": jnp.zeros((), jnp.int32)})

    def step(state, batch):
        counter = state.memory["counter"] + (batch > 5)
        return dataclasses.replace(state, memory={"counter": counter}), {}

    state = stacked_init(init, 0, 2)(jax.random.key(0))
    with pytest.raises(UserError, match=r"config.seeds: the number of updates differs"):
        stacked_step(step)(state, jnp.array([1.0, 10.0]))


def test_a_step_that_moves_another_player_is_still_noticed():
    from configs import gan

    config = gan.get_config("tiny")
    config.seeds = 2
    with recipe_of(config) as recipe:
        recipe._steps.moves = ("discriminator",)
        with pytest.raises(ValueError, match="the step changes the player 'generator'"):
            recipe.round(recipe.init(jax.random.key(0)), (), 1, Timer())
