"""What every system has to pass. It runs for every recipe, from the preset "tiny" of its config."""

import contextlib
import importlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices, loop, settings
from jaxgan.core.log import read
from jaxgan.core.players import load_players
from jaxgan.core.steps import Steps
from jaxgan.core.timer import Timer


def tiny_configs():
    """The preset "tiny" of the first config of every recipe, by the recipe's name."""
    found = {}
    for path in sorted((Path(__file__).parents[1] / "configs").glob("*.py")):
        module = importlib.import_module(f"configs.{path.stem}")
        with contextlib.suppress(ValueError):
            config = module.get_config("tiny")
            found.setdefault(config.recipe, config)
    return found


CONFIGS = tiny_configs()
NEVER_MOVE = {"dtn": {"features"}, "mask_ppo": {"base"}}
"""Players that a system compares others with."""
EXCHANGE_ROWS = {"distance_gan", "segan", "triple_gan"}
"""Devices exchange rows of a batch, not only sums. DistanceGAN compares images of a batch. SEGAN's
D appends a batch, which is divided over devices, to its reference batch, which each of them holds;
Triple-GAN's networks receive several batches as one."""


@pytest.fixture(scope="module")
def shared_cache(make_cache):
    return make_cache()


@pytest.fixture(autouse=True)
def own_cache(shared_cache, monkeypatch):
    """One cache folder for all tests of this file, away from the user's."""
    monkeypatch.setenv("JAXGAN_CACHE", str(shared_cache))


@contextlib.contextmanager
def open_recipe(name, count=1):
    config = CONFIGS[name].copy_and_resolve_references()
    with contextlib.closing(recipes.make(config, devices.make_mesh(count))) as recipe:
        yield config, recipe


def play(name, count):
    """Trains the rounds of a config and returns the state before and after, and the metrics."""
    with open_recipe(name, count) as (config, recipe):
        key = jax.random.key(config.seed)
        abstract = jax.eval_shape(recipe.init, key)
        state, history, rows = recipe.init(key), (), []
        before = jax.device_get(state)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), abstract
        )
        for number in range(1, config.rounds + 1):
            with jax.transfer_guard("disallow"):
                state, record, metrics = recipe.round(state, history, number, Timer())
            history = (*history, record)
            rows.append({name: float(value) for name, value in metrics.items()})
        return before, jax.device_get(state), rows


def same(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


def test_every_recipe_has_a_tiny_config():
    assert set(CONFIGS) == set(recipes.RECIPES)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_serialises(name, tmp_path):
    config = CONFIGS[name]
    settings.check(config)
    configs.write(config, tmp_path)
    restored = configs.read(tmp_path)
    assert configs.differences(config, restored) == []
    json.dumps(configs.flat(restored))


@pytest.mark.parametrize("name", CONFIGS)
def test_rounds_are_finite_move_only_declared_players_and_equal_those_on_eight_devices(
    name, monkeypatch
):
    moved = set()
    call = Steps.__call__

    def watched(steps, state, batches, *shared):
        before = jax.device_get(state.players)
        after, reports = call(steps, state, batches, *shared)
        fetched = jax.device_get(after.players)
        for player in fetched:
            if player not in steps.moves:
                assert same(before[player], fetched[player]), player
            elif not same(before[player].params, fetched[player].params):
                moved.add(player)
        return after, reports

    monkeypatch.setattr(Steps, "__call__", watched)
    before, one, rows = play(name, 1)
    assert moved == set(before.players) - NEVER_MOVE.get(name, set()), "some player never moves"
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    for leaf in jax.tree.leaves(one):
        if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            assert np.isfinite(leaf).all()
    assert one.step > before.step

    texts = set()

    def compiled(steps, state, batches, *shared):
        batches = list(batches)
        for program in steps.prepare(state, batches, *shared):
            texts.add(program.result().as_text())
        return call(steps, state, batches, *shared)

    monkeypatch.setattr(Steps, "__call__", compiled)
    _, eight, other_rows = play(name, 8)
    assert texts
    for text in texts:
        exchanged = re.findall(" (?:all-gather|all-to-all|collective-permute)\\(", text)
        assert not exchanged or name in EXCHANGE_ROWS
    # Adam divides by |g|: if a gradient is nearly zero, its sign is rounding.
    a, b = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.players)])
        for state in (one, eight)
    )
    assert np.mean(np.abs(a - b) < 1e-3) > 0.99
    for metric, value in rows[0].items():
        assert value == pytest.approx(other_rows[0][metric], rel=1e-3, abs=1e-4), metric


@pytest.mark.parametrize("name", CONFIGS)
def test_stop_and_resume_equals_not_stopping_bit_for_bit(name, tmp_path):
    def train(rounds, workdir):
        with open_recipe(name) as (config, recipe):
            config.rounds = rounds
            loop.run(recipe, config, workdir)

    last = CONFIGS[name].rounds
    train(last, tmp_path / "whole")
    for rounds in range(1, last + 1):
        train(rounds, tmp_path / "parts")
    whole, parts = (load_players(tmp_path / folder, "last") for folder in ("whole", "parts"))
    assert same(whole, parts)
    for one, other in zip(read(tmp_path / "whole"), read(tmp_path / "parts"), strict=True):
        for metric in one:
            if metric.startswith("train/"):
                assert one[metric] == other[metric], metric
