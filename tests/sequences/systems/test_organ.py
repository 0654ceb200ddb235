import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import leaves_equal, tiny_text_config

from configs import seqgan as seqgan_config
from jaxgan import recipes
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.timer import Timer
from jaxgan.sequences.data.corpora import open_corpus
from jaxgan.sequences.evaluation.bleu import References
from jaxgan.sequences.evaluation.objectives import Ratings
from jaxgan.sequences.systems.organ import (
    System,
    mixed_rewards,
    open_validation,
    repetition_penalty,
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    config = tiny_text_config(tmp_path_factory.mktemp("organ"), g_steps=3)
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as made:
        yield made


@pytest.fixture(scope="module")
def corpus(recipe):
    return open_corpus(recipe._config, devices.make_mesh(1))


def test_the_repetition_penalty_by_hand():
    sequences = np.array([[[1, 1], [5, 0]], [[1, 1], [6, 0]], [[2, 2], [7, 0]], [[1, 1], [8, 0]]])
    expected = [[0.5 / 3, 1], [0.5 / 3, 1], [0.5, 1], [0.5 / 3, 1]]
    np.testing.assert_allclose(repetition_penalty(sequences), expected, rtol=1e-6)


def system_with(**changes):
    others = dict.fromkeys(System.__dataclass_fields__)
    return System(**{**others, **changes})


def explored(corpus):
    encode, length = corpus.vocabulary.encode, corpus.length
    own = ["ab", "cc", "cc", "bba"]
    completed = [["ab", "aa"], ["ca", "cc"], ["cc", "ca"], ["bb", "ba"]]
    completions = np.stack([encode(lines) for lines in completed])[:, None]
    completions = np.repeat(completions, length - 1, axis=1)
    judgements = np.linspace(0, 1, 4 * length, dtype=np.float32).reshape(4, -1)
    return encode(own), completions, judgements


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_reward_is_the_mixture_by_hand(recipe, corpus, share, penalty):
    tokens, completions, judgements = explored(corpus)
    rewards, ratings = mixed_rewards(
        tokens,
        completions,
        judgements,
        rate=recipe.validation.ratings,
        system=system_with(share=share, repetition_penalty=penalty),
    )
    # Shares of "a" of the two completions of each sequence, and of the sequence.
    of_completions = np.array([[0.5, 1.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.5]])
    own = np.array([0.5, 0.0, 0.0, 1 / 3])
    np.testing.assert_allclose(ratings, own, atol=1e-6)
    if penalty:
        own = own * np.array([0.75, 0.75 / 2, 0.75 / 2, 0.75])
    objective = np.repeat(of_completions.mean(1)[:, None], corpus.length, axis=1)
    objective[:, -1] = own
    expected = share * judgements + (1 - share) * objective
    np.testing.assert_allclose(rewards, expected, atol=1e-6)


def test_an_objective_without_any_rating_stops_the_run(corpus):
    with pytest.raises(UserError, match=r"none of \d+ sequences has a rating"):
        mixed_rewards(
            *explored(corpus),
            rate=lambda rows: np.full(len(rows), np.nan),
            system=system_with(share=0.5, repetition_penalty=True),
        )


def test_the_metrics_of_samples_by_hand(recipe, corpus):
    assert "ab" in corpus.text_lines(corpus.train)
    samples = corpus.vocabulary.encode(["ab", "ab", "cca", "", "cbb"])
    found = recipe.validation.measure_ratings(samples)
    assert found["eval/objective"] == pytest.approx((0.5 + 0.5 + 1 / 3) / 5)
    assert found["eval/objective_valid"] == pytest.approx((0.5 + 0.5 + 1 / 3) / 4)
    assert found["eval/validity"] == pytest.approx(4 / 5)
    assert found["eval/uniqueness"] == pytest.approx(3 / 4)
    assert found["eval/novelty"] == pytest.approx(2 / 3)


def test_a_round_logs_all_of_its_steps_of_g(recipe, monkeypatch):
    rewards, logged = recipe.rewards, []
    calls = recipe.validation.ratings.calls

    def record(*explored):
        found, metrics = rewards(*explored)
        logged.append({**metrics, "reward": float(jax.device_get(jnp.mean(found[:, -1])))})
        return found, metrics

    monkeypatch.setattr(recipe, "rewards", record)
    state, metrics = recipe.generator_pass(recipe.init(jax.random.key(0)), Timer())
    validated = recipe.evaluate(state, 1)().metrics
    assert int(state.step) == 3
    counted = metrics["cost/objective_calls"] + validated["eval/objective_calls"]
    assert counted == recipe.validation.ratings.calls - calls
    assert min(metrics["cost/objective_calls"], validated["eval/objective_calls"]) > 0
    for name in ("objective", "reward"):
        values = [step[name] for step in logged]
        assert len(set(values)) == 3
        assert metrics[name] == pytest.approx(np.mean(values))


def test_an_objective_is_learned(tmp_path):
    config = tiny_text_config(
        tmp_path,
        share=0.0,
        discriminator_rounds=0,
        pretrain_rounds=5,
        rounds=45,
        batch_size=16,
        roll_outs=4,
        policy_learning_rate=2e-2,
        **{"validation.samples": 200},
    )
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        state = recipe.init(jax.random.key(0))
        for number in range(1, 46):
            if number == 6:
                before = recipe.evaluate(state, 0)().metrics
            state, _, _ = recipe.round(state, (), number, Timer())
        after = recipe.evaluate(state, 0)().metrics
    assert after["eval/objective"] > before["eval/objective"] + 0.2


def pg_bleu_config():
    """The preset pg_bleu of SeqGAN, tiny."""
    config = seqgan_config.get_config("pg_bleu")
    seqgan_config.tiny(config)
    config.discriminator_rounds, config.pretrain_rounds = 0, 0
    return config


def test_bleu_against_the_data_is_an_objective():
    config, mesh = pg_bleu_config(), devices.make_mesh(1)
    corpus = open_corpus(config, mesh)
    ratings = Ratings(config, corpus)
    # Two in five of the data, a random choice, are the references.
    whole = References(corpus.lists(corpus.train), 3)
    assert np.isclose(ratings(corpus.train), 1).sum() >= 16
    most = [whole.bleu(row)[-1] for row in corpus.lists(corpus.held_out)]
    assert (ratings(corpus.held_out) <= np.array(most) + 1e-6).all()
    recipe = recipes.make(config, mesh)
    state = recipe.init(jax.random.key(0))
    before = jax.device_get(state.players["discriminator"].params)
    state, _, metrics = recipe.round(state, (), 1, Timer())
    assert 0 < metrics["objective"] < 1
    assert leaves_equal(before, state.players["discriminator"].params)


def test_bleu_is_an_objective_of_text(tmp_path):
    config = pg_bleu_config()
    config.data = tiny_text_config(tmp_path).data
    mesh = devices.make_mesh(1)
    corpus = open_corpus(config, mesh)
    found = open_validation(config, mesh, corpus).measure_ratings(corpus.held_out)
    assert found["eval/objective"] > 0.4
    assert found["eval/novelty"] == 0
    assert 0 <= found["eval/diversity"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "beauty"}, "config.objective='beauty': give one of bleu, tonality"),
        ({"objective": "rating_functions:nothing"}, "has no 'nothing'"),
        ({"share": 1.5}, "config.share=1.5: must be from 0 to 1"),
        ({"share": 0.0}, "config.share=0 uses no discriminator"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        recipes.make(tiny_text_config(tmp_path, **changes), devices.make_mesh(1))
