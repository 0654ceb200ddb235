import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import (
    all_sequences,
    leaves_equal,
    make_discriminator,
    make_state,
    make_system,
    run,
    tiny_config,
)

from jaxgan import recipes
from jaxgan.core import devices, log, loop
from jaxgan.core.checkpoint import Checkpoints
from jaxgan.core.errors import UserError
from jaxgan.core.steps import Steps
from jaxgan.core.timer import Timer
from jaxgan.sequences.networks.language_model import previous_tokens
from jaxgan.sequences.networks.sampling import scheduled_inputs
from jaxgan.sequences.systems import seqgan
from jaxgan.sequences.training import average

V, T = 3, 3
EVERY = all_sequences(V, T)
REAL, GENERATED = EVERY[:10], EVERY[10:]


def moved(before, after):
    """The names of the players that differ."""
    return {
        name
        for name, player in before.players.items()
        if not leaves_equal(player, after.players[name])
    }


# The steps.


def test_g_follows_the_likelihood_of_scheduled_inputs():
    system = make_system()
    state = make_state(system)
    rows = np.array([5, 0, 21, 13])
    step = run(seqgan.likelihood_step, system)
    model, params = system.generator.network, state.players["generator"].params

    @jax.jit
    def expected(tokens, truth):
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), seqgan.DATA_STREAM)
        inputs = scheduled_inputs(model, params, tokens, key, truth)
        return [-model.apply({"params": params}, tokens, x).mean() for x in (inputs, None)]

    scheduled, forced = expected(EVERY[rows], jnp.float32(0.5))
    after, metrics = step(state, rows, EVERY, jnp.float32(0.5))
    assert float(metrics["likelihood_loss"]) == pytest.approx(float(scheduled), abs=1e-5)
    assert moved(state, after) == {"generator"}
    after, metrics = step(state, rows, EVERY, jnp.float32(1.0))
    assert float(metrics["likelihood_loss"]) == pytest.approx(float(forced), abs=1e-5)
    assert abs(float(scheduled) - float(forced)) > 1e-3
    np.testing.assert_array_equal(previous_tokens(EVERY[rows])[:, 0], 0)


def test_g_learns_a_distribution():
    system = make_system()
    steps = Steps(
        lambda *given: seqgan.likelihood_step(*given, system=system),
        system.mesh,
        ("generator",),
        batches=100,
    )
    state, batches = make_state(system), [jnp.array([3, 3, 14])] * 100
    data, truth = jax.device_put((EVERY, np.float32(1)))
    for _ in range(8):
        state, reports = steps(state, batches, data, truth)
    # The entropy of (2/3, 1/3), over 3 tokens.
    assert average(reports)["likelihood_loss"] == pytest.approx(0.6365 / 3, abs=0.02)


@pytest.mark.parametrize("outputs", [2, 1])
def test_eight_devices_move_d_as_one_does(outputs):
    rows = np.random.default_rng(0).permutation(24).astype(np.int32)[:16]
    changes = {
        "discriminator": make_discriminator(outputs=outputs),
        "discriminator_optimizer": optax.sgd(0.1),  # a critic diverges with steps of 1
    }
    found = []
    for count in (1, 8):
        system = make_system(**changes, mesh=devices.make_mesh(count))
        state = devices.put_replicated(make_state(system), system.mesh)
        placed = devices.put_sharded(rows, system.mesh)
        data = devices.put_replicated((REAL, GENERATED), system.mesh)
        after, metrics = run(seqgan.discriminator_step, system)(state, placed, *data)
        assert moved(state, after) == {"discriminator"}
        found.append((after.players["discriminator"].params, metrics))
    one, eight = jax.device_get(found)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, eight)


def test_a_critic_learns_to_rank():
    system = make_system(
        discriminator=make_discriminator(outputs=1), discriminator_optimizer=optax.adam(0.02)
    )
    steps = Steps(
        lambda *given: seqgan.discriminator_step(*given, system=system),
        system.mesh,
        ("discriminator",),
        batches=40,
    )
    state, batches = make_state(system), [jnp.arange(20)] * 40
    data = jax.device_put((REAL, GENERATED))
    found = []
    for _ in range(3):
        state, reports = steps(state, batches, *data)
        found.append(average(reports))
    assert found[-1]["d_loss"] < found[0]["d_loss"]
    assert found[-1]["d_accuracy"] > 0.8


def test_only_a_baseline_makes_a_constant_reward_move_nothing():
    for baseline in (True, False):
        system = make_system(judge="constant", baseline=baseline)
        state = make_state(system)
        tokens, rewards = run(seqgan.explore, system)(state, jnp.arange(8))
        assert (np.asarray(rewards) == 1).all()
        after, metrics = run(seqgan.policy_step, system)(state, (tokens, rewards))
        params = [each.players["generator"].params for each in (state, after)]
        assert leaves_equal(*params) is baseline
        assert float(metrics["reward"]) == 1
        assert leaves_equal(after.players["discriminator"], state.players["discriminator"])


def test_random_rewards_are_uniform_and_new_in_every_step():
    system = make_system(judge="random")
    state = make_state(system)
    explore = run(seqgan.explore, system)
    _, one = explore(state, jnp.arange(400))
    _, other = explore(state.replace(step=state.step + 1), jnp.arange(400))
    assert float(jnp.mean(one)) == pytest.approx(0.5, abs=0.04)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_rewards_are_judgements_of_the_roll_out_policy_s_completions():
    system = make_system(roll_outs=1)
    state = make_state(system)
    # The roll-out policy draws only 1.
    bias = jnp.array([-50.0, 50.0, -50.0])
    state = state.replace(memory={"roll_out": {**state.memory["roll_out"], "output_bias": bias}})
    tokens, rewards = run(seqgan.explore, system)(state, jnp.arange(8))
    network, params = system.discriminator, state.players["discriminator"].params
    judge = jax.jit(lambda tokens: jax.nn.softmax(network.apply({"params": params}, tokens))[:, 1])
    for given in range(1, T + 1):
        completed = np.asarray(tokens).copy()
        completed[:, given:] = 1
        np.testing.assert_allclose(rewards[:, given - 1], judge(completed), atol=1e-5)
    assert len(np.unique(np.asarray(tokens)[:, 1:])) > 1


# The recipe.


@pytest.fixture(scope="module")
def recipe():
    return recipes.make(tiny_config(), devices.make_mesh(1))


def numbers(workdir, evaluated=True):
    clocks = ("wall_seconds", "time/", "throughput/", "compilations")
    left_out = clocks if evaluated else (*clocks, "eval/")
    return [
        {name: value for name, value in row.items() if not name.startswith(left_out)}
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


def test_every_kind_of_round_logs_its_metrics(uninterrupted):
    rows = log.read(uninterrupted)
    names = ("train/likelihood_loss", "train/d_loss", "train/reward")
    assert [tuple(name in row for name in names) for row in rows] == [
        (True, False, False),
        (False, True, False),
        *[(False, True, True)] * 2,
    ]
    # Batches: 5 of the data; 10 of both; 1 of G and 10 of D.
    assert [row["step"] for row in rows] == [5, 15, 26, 37]
    measured = [row for row in rows if "eval/nll_oracle" in row]
    assert [row["round"] for row in measured] == [2, 4]
    names = {"nll_oracle", "nll_gen", "distinct", "unique", "bleu_4", "self_bleu_4", "self_bleu_2"}
    assert {f"eval/{name}" for name in names} <= measured[0].keys()
    assert rows[-1]["compilations"] == 0


def test_the_adversarial_rounds_start_with_a_new_optimizer_and_roll_out_policy(recipe):
    state = recipe.init(jax.random.key(0))
    for number in (1, 2):
        state, _, _ = recipe.round(state, (), number, Timer())
    pretrained = jax.device_get(state.players["generator"])
    assert int(pretrained.opt_state[1][0].count) == 5
    state, _, _ = recipe.round(state, (), 3, Timer())
    player = jax.device_get(state.players["generator"])
    assert int(player.opt_state[1][0].count) == 1
    expected = jax.tree.map(lambda a, b: 0.8 * a + 0.2 * b, pretrained.params, player.params)
    expected["embedding"] = player.params["embedding"]
    found = jax.device_get(state.memory["roll_out"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_a_round_logs_the_means_over_its_steps_of_g(recipe, monkeypatch):
    """And its transfers between host and devices are explicit, as the run loop demands."""
    steps, reports = recipe.training.policy_steps, []

    def record(*arguments):
        state, report = steps(*arguments)
        reports.append(average(report))
        return state, report

    config = tiny_config(g_steps=3)
    monkeypatch.setattr(recipe.training, "policy_steps", record)
    monkeypatch.setattr(recipe, "_config", config)
    state = recipe.init(jax.random.key(0))
    with jax.transfer_guard("disallow"):
        state, metrics = recipe.generator_pass(state, Timer())
    assert int(state.step) == 3
    for name in ("g_loss", "reward"):
        values = [report[name] for report in reports]
        assert len(set(values)) == 3
        assert metrics[name] == pytest.approx(np.mean(values))


def test_likelihood_comes_near_the_oracle():
    config = tiny_config(
        **{
            "rounds": 24,
            "pretrain_rounds": 24,
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
    for number in range(1, 25):
        state, _, _ = recipe.round(state, (), number, Timer())
    last = recipe.evaluate(state, 24)().metrics
    assert bounds["oracle"] < last["eval/nll_gen"] < bounds["oracle"] + 0.15
    assert last["eval/nll_oracle"] < bounds["oracle"] + 0.4
    assert first["eval/nll_oracle"] == pytest.approx(bounds["uniform"], abs=0.4)


def test_controls_never_train_the_discriminator():
    config = tiny_config(judge="random", discriminator_rounds=0, pretrain_rounds=0)
    recipe = recipes.make(config, devices.make_mesh(1))
    state = recipe.init(jax.random.key(0))
    before = jax.device_get(state.players["discriminator"].params)
    state, _, metrics = recipe.round(state, (), 1, Timer())
    assert "d_loss" not in metrics
    assert leaves_equal(before, state.players["discriminator"].params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judge": "nobody"}, "config.judge=nobody: choose one of"),
        ({"judge": "constant"}, "config.discriminator_rounds=1 must be 0"),
        ({"roll_outs": 0}, "config.roll_outs=0: must be 1 or more"),
        ({"discriminator.widths": (1, 6)}, "the sequences have 5 tokens"),
        ({"discriminator.widths": (1, 2, 3)}, "give one of each"),
        ({"data.kind": "poems"}, "config.data.kind='poems': choose one of oracle, text"),
        ({"data.oracle": "nowhere.pkl"}, "config.data.oracle=nowhere.pkl cannot be read"),
        ({"batch_size": 6}, "must be a multiple of the 8 devices"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(changes, message):
    mesh = devices.make_mesh(8 if "batch_size" in changes else 1)
    with pytest.raises(UserError, match=message):
        seqgan.make(tiny_config(**changes), mesh)
