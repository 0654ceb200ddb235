"""What every recipe that enhances speech has to pass, whatever it learns from."""

import contextlib

import jax
import numpy as np
import pytest
from corpora import pair_corpus
from tiny_runs import equal, play

from jaxgan.core import devices, loop
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.log import read
from jaxgan.core.players import adopt, load_players
from jaxgan.scores.pool import ScorePool
from jaxgan.speech.data.corpora import Corpora
from jaxgan.speech.training import Training

SHORT = [3000, 2667, 2334, 3072, 2166, 2933, 2567, 3033]


@contextlib.contextmanager
def open_recipe(kind, config, corpora=None, count=None):
    """A recipe on a small corpus; `kind` makes it of a config and a Training."""
    corpora = corpora or Corpora(pair_corpus(SHORT, 1), pair_corpus(SHORT[:4], 1), None)
    scores = (config.score, *config.validation.scores)
    pool = ScorePool(scores, 16000, config.scoring.workers, config.scoring.deadline_seconds)
    training = Training(config, devices.make_mesh(count), corpora, pool)
    with contextlib.closing(training):
        yield kind(config, training)


def one_device_equals_eight(kind, config, tolerance=5e-4):
    """Asserts that two rounds give the same players and metrics on 1 and on 8 devices."""
    results = []
    for count in (1, 8):
        with open_recipe(kind, config, count=count) as recipe:
            results.append(play(recipe, 2))
    (one, _, one_rows), (eight, _, eight_rows) = results
    for name, player in one.players.items():
        leaves = map(jax.tree.leaves, (player.params, eight.players[name].params))
        for a, b in zip(*leaves, strict=True):
            # Adam divides by |g|: where a gradient is all but zero its sign is rounding.
            assert np.mean(np.abs(a - b) < tolerance) > 0.999, name
    for name, value in one_rows[0].items():
        assert value == pytest.approx(eight_rows[0][name], abs=tolerance), name


def begins_with_a_generator_alone(recipe, place):
    """Asserts that a recipe takes the generator of a run that has no discriminator."""
    state, other = (recipe.init(jax.random.key(seed)) for seed in (1, 2))
    alone = other.replace(players={"generator": other.players["generator"]})
    with contextlib.closing(Checkpoints(place)) as checkpoints:
        checkpoints.save(alone, (), Position(1))
    begun = adopt(state, place, optional=recipe.optional_players)
    assert equal(begun.players["generator"].params, other.players["generator"].params)
    assert equal(begun.players["discriminator"], state.players["discriminator"])


def train(kind, config, workdir):
    """A run to its end, from where the folder's last checkpoint leaves it."""
    with open_recipe(kind, config) as recipe:
        loop.run(recipe, config, workdir)
    return load_players(workdir, "last"), read(workdir)


def resumes_bit_for_bit(kind, make_config, place, metric="train/g_loss"):
    """Asserts that 4 rounds equal 2 and 2 more; `make_config(rounds=n)` gives the config."""
    whole, whole_rows = train(kind, make_config(rounds=4), place / "whole")
    train(kind, make_config(rounds=2), place / "parts")
    parts, parts_rows = train(kind, make_config(rounds=4), place / "parts")
    assert equal(whole, parts)
    names = [name for name in whole_rows[-1] if name.startswith(("train/", "valid/"))]
    assert metric in names
    for a, b in zip(whole_rows, parts_rows, strict=True):
        for name in names:
            assert a.get(name) == b.get(name), name
