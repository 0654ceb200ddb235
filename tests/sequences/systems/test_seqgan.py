import json

import jax
import numpy as np
import pytest
from tiny import leaves_equal, tiny_config

from jaxgan import recipes
from jaxgan.core import devices, log, loop
from jaxgan.core.checkpoint import Checkpoints
from jaxgan.core.errors import UserError
from jaxgan.core.timer import Timer
from jaxgan.sequences.systems import seqgan


@pytest.fixture(scope="module")
def recipe():
    return recipes.make(tiny_config(), devices.make_mesh(1))


def numbers(workdir):
    clocks = ("wall_seconds", "time/", "throughput/", "compilations")
    return [
        {name: value for name, value in row.items() if not name.startswith(clocks)}
        for row in log.read(workdir)
    ]


def restore(recipe, workdir):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.restore(recipe.init(jax.random.key(0)))[0]
    finally:
        checkpoints.close()


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    loop.run(recipe, tiny_config(), workdir)
    return workdir


def test_every_kind_of_round_tells_what_it_does(uninterrupted):
    rows = log.read(uninterrupted)
    told = ("train/likelihood_loss", "train/d_loss", "train/reward")
    assert [tuple(name in row for name in told) for row in rows] == [
        *[(True, False, False)] * 2,
        (False, True, False),
        *[(False, True, True)] * 3,
    ]
    # Batches: 5 of the data; twice 10 of both; 1 of G and twice 10 of D.
    assert [row["step"] for row in rows] == [5, 10, 30, 51, 72, 93]
    measured = [row for row in rows if "eval/nll_oracle" in row]
    assert [row["round"] for row in measured] == [2, 4, 6]
    names = {"nll_oracle", "nll_gen", "distinct", "unique", "bleu_4", "self_bleu_4", "self_bleu_2"}
    assert {f"eval/{name}" for name in names} <= measured[0].keys()
    assert json.loads((uninterrupted / "config.json").read_text())["recipe"] == "seqgan"
    assert rows[-1]["compilations"] == 0


@pytest.mark.parametrize("stops", [(1, 2, 3, 4, 6), (5, 6)])
def test_resume_is_bit_exact_in_every_phase(recipe, uninterrupted, tmp_path, stops):
    for rounds in stops:
        loop.run(recipe, tiny_config(rounds=rounds), tmp_path)
    one, other = restore(recipe, uninterrupted), restore(recipe, tmp_path)
    assert leaves_equal(one.players, other.players)
    assert leaves_equal(one.memory, other.memory)
    assert int(one.step) == int(other.step)
    trained = [
        [{k: v for k, v in row.items() if not k.startswith("eval/")} for row in numbers(folder)]
        for folder in (uninterrupted, tmp_path)
    ]
    assert trained[0] == trained[1]


def test_eight_devices_give_the_numbers_of_one(uninterrupted, tmp_path):
    eight = recipes.make(tiny_config(), devices.make_mesh(8))
    loop.run(eight, tiny_config(rounds=4), tmp_path)
    for one, other in zip(numbers(uninterrupted)[:4], numbers(tmp_path), strict=True):
        for name in one:
            assert other[name] == pytest.approx(one[name], rel=1e-4, abs=1e-5), name


def test_the_adversarial_rounds_begin_with_a_fresh_optimizer_and_roll_out_policy(recipe):
    state = recipe.init(jax.random.key(0))
    for number in (1, 2, 3):
        state, _, _ = recipe.round(state, (), number, Timer())
    pretrained = jax.device_get(state.players["generator"])
    assert int(pretrained.opt_state[1][0].count) == 10
    state, _, _ = recipe.round(state, (), 4, Timer())
    player = jax.device_get(state.players["generator"])
    assert int(player.opt_state[1][0].count) == 1
    expected = jax.tree.map(lambda a, b: 0.8 * a + 0.2 * b, pretrained.params, player.params)
    expected["embedding"] = player.params["embedding"]
    found = jax.device_get(state.memory["roll_out"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_a_round_tells_the_means_of_its_steps_of_g():
    recipe = recipes.make(tiny_config(g_steps=3), devices.make_mesh(1))
    step, told = recipe.policy_step, []

    def listen(*arguments):
        state, metrics = step(*arguments)
        told.append(jax.device_get(metrics))
        return state, metrics

    recipe.policy_step = listen
    state = recipe.begin_policy(recipe.init(jax.random.key(0)))
    with jax.transfer_guard("disallow"):
        state, metrics = recipe.policy_pass(state, Timer())
    assert int(state.step) == 3
    losses, rewards = ([float(one[name]) for one in told] for name in ("loss", "reward"))
    assert len(set(losses)) == len(set(rewards)) == 3
    assert metrics["g_loss"] == pytest.approx(np.mean(losses))
    assert metrics["reward"] == pytest.approx(np.mean(rewards))


def test_likelihood_comes_near_the_oracle():
    config = tiny_config(
        **{
            "rounds": 30,
            "pretrain_rounds": 30,
            "data.count": 2000,
            "generator.hidden": 16,
            "generator.embedding": 16,
            "batch_size": 40,
        }
    )
    recipe = recipes.make(config, devices.make_mesh(1))
    bounds = recipe.validation.bounds
    state = recipe.init(jax.random.key(0))
    first = recipe.evaluate(state, 0)().metrics
    for number in range(1, 31):
        state, _, _ = recipe.round(state, (), number, Timer())
    last = recipe.evaluate(state, 30)().metrics
    assert bounds["oracle"] < last["eval/nll_gen"] < bounds["oracle"] + 0.15
    assert last["eval/nll_oracle"] < bounds["oracle"] + 0.4
    assert first["eval/nll_oracle"] == pytest.approx(bounds["uniform"], abs=0.4)


@pytest.mark.parametrize("judge", ["constant", "random"])
def test_controls_leave_the_discriminator_alone(judge):
    config = tiny_config(judge=judge, discriminator_rounds=0, pretrain_rounds=1, rounds=3)
    recipe = recipes.make(config, devices.make_mesh(1))
    state = recipe.init(jax.random.key(0))
    before = jax.device_get(state.players["discriminator"].params)
    for number in (1, 2, 3):
        state, _, metrics = recipe.round(state, (), number, Timer())
    assert "d_loss" not in metrics
    assert leaves_equal(before, jax.device_get(state.players["discriminator"].params))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judge": "nobody"}, "config.judge=nobody: choose one of"),
        ({"judge": "constant"}, "config.discriminator_rounds=1 must be 0"),
        ({"roll_outs": 0}, "config.roll_outs=0: must be 1 or more"),
        ({"discriminator.widths": (1, 2, 6)}, "the sequences have 5 tokens"),
        ({"discriminator.widths": (1, 2)}, "give one of each"),
        ({"data.kind": "poems"}, "config.data.kind='poems': choose one of oracle, text"),
        ({"data.oracle": "nowhere.pkl"}, "config.data.oracle=nowhere.pkl cannot be read"),
        ({"batch_size": 6}, "must be a multiple of the 8 devices"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes, message):
    mesh = devices.make_mesh(8 if "batch_size" in changes else 1)
    with pytest.raises(UserError, match=message):
        seqgan.make(tiny_config(**changes), mesh)
