import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import leaves_equal, tiny_config

from configs import organ as organ_config
from jaxgan import recipes
from jaxgan.core import devices, log, loop
from jaxgan.core.errors import UserError
from jaxgan.core.timer import Timer
from jaxgan.sequences.evaluation.bleu import References
from jaxgan.sequences.systems.organ import repetition_penalty
from jaxgan.sequences.systems.policy import Explored

LINES = ["ab", "abc", "bca", "ccc", "bbca", "acb", "cab", "bb", "aa", "cb"]


def organ_settings(tmp_path=None, **changes):
    config = organ_config.get_config()
    config.update_from_flattened_dict(
        {
            key: value
            for key, value in tiny_config().to_dict().items()
            if not isinstance(value, dict) and key != "recipe"
        }
    )
    for section in ("generator", "discriminator", "validation", "checkpoint"):
        config[section].update(tiny_config()[section])
    small = {
        "objective": "rating_functions:share_of_first",
        "scoring.workers": 1,
        "data.kind": "text",
        "data.unit": "characters",
        "discriminator.widths": (1, 2),
        "discriminator.filters": (3, 4),
    }
    config.update_from_flattened_dict(small)
    if tmp_path:
        path = tmp_path / "lines.txt"
        path.write_text("\n".join(LINES * 4))
        config.data.path = str(path)
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    made = recipes.make(organ_settings(tmp_path_factory.mktemp("organ")), devices.make_mesh(1))
    yield made
    made.close()


def test_the_penalty_of_repetitions_by_hand():
    sequences = np.array([[[1, 1], [5, 0]], [[1, 1], [6, 0]], [[2, 2], [7, 0]], [[1, 1], [8, 0]]])
    expected = [[0.5 / 3, 1], [0.5 / 3, 1], [0.5, 1], [0.5 / 3, 1]]
    np.testing.assert_allclose(repetition_penalty(sequences), expected, rtol=1e-6)


def make_explored(recipe):
    encode = recipe.corpus.vocabulary.encode
    own = ["ab", "cc", "cc", "bba"]
    done = [["ab", "aa"], ["ca", "cc"], ["cc", "ca"], ["bb", "ba"]]
    completions = np.stack([encode(lines) for lines in done])[:, None]
    completions = np.repeat(completions, recipe.system.length - 1, axis=1)
    values = np.linspace(0, 1, 4 * recipe.system.length, dtype=np.float32).reshape(4, -1)
    return Explored(jnp.asarray(encode(own)), jnp.asarray(completions), jnp.asarray(values))


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_reward_is_the_mixture_by_hand(recipe, share, penalty):
    config = recipe.config
    explored = make_explored(recipe)
    before = config.share, config.repetition_penalty
    config.share, config.repetition_penalty = share, penalty
    try:
        rewards, _ = recipe.rewards(explored)
    finally:
        config.share, config.repetition_penalty = before
    # Shares of "a" of the two completions of each sequence, and of the sequence.
    done = np.array([[0.5, 1.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.5]])
    own = np.array([0.5, 0.0, 0.0, 1 / 3])
    if penalty:
        own = own * np.array([0.75, 0.75 / 2, 0.75 / 2, 0.75])
    objective = np.repeat(done.mean(1)[:, None], recipe.system.length, axis=1)
    objective[:, -1] = own
    expected = share * np.asarray(explored.values) + (1 - share) * objective
    np.testing.assert_allclose(rewards, expected, atol=1e-6)


def test_an_objective_that_nothing_has_is_told(recipe, monkeypatch):
    monkeypatch.setattr(
        type(recipe.ratings), "__call__", lambda _, rows: np.full(len(rows), np.nan)
    )
    with pytest.raises(UserError, match=r"not one of \d+ sequences has a value"):
        recipe.rewards(make_explored(recipe))


def test_what_samples_are_worth_by_hand(recipe):
    encode = recipe.corpus.vocabulary.encode
    held = recipe.corpus.vocabulary.decode(recipe.corpus.train)
    assert "ab" in held
    found = recipe.measure(encode(["ab", "ab", "cca", "", "cbb"]))
    assert found["eval/objective"] == pytest.approx((0.5 + 0.5 + 1 / 3) / 5)
    assert found["eval/objective_valid"] == pytest.approx((0.5 + 0.5 + 1 / 3) / 4)
    assert found["eval/validity"] == pytest.approx(4 / 5)
    assert found["eval/uniqueness"] == pytest.approx(3 / 4)
    assert found["eval/novelty"] == pytest.approx(2 / 3)


def test_an_objective_is_learned(tmp_path):
    config = organ_settings(
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
    recipe = recipes.make(config, devices.make_mesh(1))
    state = recipe.init(jax.random.key(0))
    for number in range(1, 46):
        if number == 6:
            before = recipe.evaluate(state, 0)().metrics
        state, _, _ = recipe.round(state, (), number, Timer())
    after = recipe.evaluate(state, 0)().metrics
    recipe.close()
    assert after["eval/objective"] > before["eval/objective"] + 0.2


def test_a_round_tells_of_all_its_steps_of_g(tmp_path):
    recipe = recipes.make(organ_settings(tmp_path, g_steps=3), devices.make_mesh(1))
    rewards, told = recipe.rewards, []

    def listen(explored):
        found, metrics = rewards(explored)
        told.append({**metrics, "reward": float(np.mean(found[:, -1]))})
        return found, metrics

    recipe.rewards = listen
    state = recipe.begin_policy(recipe.init(jax.random.key(0)))
    state, metrics = recipe.policy_pass(state, Timer())
    validated = recipe.evaluate(state, 1)().metrics
    recipe.close()
    columns = {name: [step[name] for step in told] for name in told[0]}
    assert all(len(set(column)) == 3 for column in columns.values())
    assert metrics["objective_calls"] == sum(columns["objective_calls"])
    assert metrics["objective_calls"] + validated["eval/objective_calls"] == recipe.ratings.calls
    assert validated["eval/objective_calls"] > 0
    for name in ("objective", "reward"):
        assert metrics[name] == pytest.approx(np.mean(columns[name]))


def test_resume_is_bit_exact(tmp_path):
    folders = []
    for name, stops in (("one", (5,)), ("two", (3, 4, 5))):
        for rounds in stops:
            config = organ_settings(tmp_path, rounds=rounds)
            recipe = recipes.make(config, devices.make_mesh(1))
            loop.run(recipe, config, tmp_path / name)
            recipe.close()
        folders.append(
            [
                {key: value for key, value in row.items() if key.startswith("train/")}
                for row in log.read(tmp_path / name)
            ]
        )
    for rows in folders:
        for row in rows:
            row.pop("train/objective_calls", None)  # what was rated before a stop is rated again
    assert folders[0] == folders[1]
    assert "train/objective" in folders[0][-1]


def test_a_critic_s_judgements_are_between_0_and_1(tmp_path):
    config = organ_settings(tmp_path, critic=True, penalty=0.0, share=1.0)
    recipe = recipes.make(config, devices.make_mesh(1))
    state = recipe.init(jax.random.key(0))
    before = jax.device_get(state.players["discriminator"].params)
    for number in range(1, 5):
        state, _, metrics = recipe.round(state, (), number, Timer())
    rows = devices.put_sharded(np.arange(8, dtype=np.int32), recipe.mesh)
    values = np.asarray(recipe.explore(state, rows).values)
    recipe.close()
    assert (values >= 0).all()
    assert (values <= 1).all()
    assert values.std() > 0
    assert np.isfinite(float(metrics["d_loss"]))
    assert not leaves_equal(before, jax.device_get(state.players["discriminator"].params))


def test_bleu_against_the_data_is_an_objective(tmp_path):
    """PG-BLEU, on an oracle's sequences."""
    config = organ_settings(
        objective="bleu",
        share=0.0,
        discriminator_rounds=0,
        rounds=3,
        **{"data.kind": "oracle", "data.vocabulary": 11, "data.length": 5, "data.count": 40},
    )
    recipe = recipes.make(config, devices.make_mesh(1))
    # Two in five of the data, a random choice.
    whole = References([row.tolist() for row in recipe.corpus.train], 3)
    ratings = recipe.ratings(recipe.corpus.train)
    assert np.isclose(ratings, 1).sum() >= 16
    held_out = recipe.corpus.held_out
    most = [whole.bleu(row.tolist())[-1] for row in held_out]
    assert (recipe.ratings(held_out) <= np.array(most) + 1e-6).all()
    state = recipe.init(jax.random.key(0))
    for number in (1, 2, 3):
        state, _, metrics = recipe.round(state, (), number, Timer())
    assert 0 < metrics["objective"] < 1
    recipe.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "beauty"}, "config.objective='beauty': give one of bleu, tonality"),
        ({"objective": "rating_functions:nothing"}, "has no 'nothing'"),
        ({"share": 1.5}, "config.share=1.5: must be from 0 to 1"),
        ({"share": 0.0}, "config.share=0 asks no discriminator"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        recipes.make(organ_settings(tmp_path, **changes), devices.make_mesh(1))
