"""The generator that draws in several steps, the losses, and the battle of two runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eval as evaluation
import train
from configs import gran as gran_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images import battle
from jaxgan.images.networks import pair, recurrent
from jaxgan.images.systems import gran
from jaxgan.recipes import make

SHAPE = (4, 4, 1)


def dense(params, x):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)


def layers(params, x, slope):
    names = sorted(params["MLP_0"])
    for name in names[:-1]:
        x = dense(params["MLP_0"][name], x)
        x = np.where(x > 0, x, slope * x)
    return dense(params["MLP_0"][names[-1]], x)


@pytest.mark.parametrize("steps", [1, 3])
def test_an_image_is_the_sigmoid_of_the_sum_of_all_changes(steps):
    network = recurrent.fully_connected(SHAPE, jnp.float32, (8,), code=3, steps=steps)
    codes = jax.random.normal(jax.random.key(1), (5, 2))
    variables = network.init(jax.random.key(0), codes)
    params = variables["params"]
    noise = np.tanh(dense(params["Dense_0"], np.asarray(codes, np.float64)))
    change, canvas = np.zeros((5, 16)), np.zeros((5, 16))
    for _ in range(steps):
        read = np.tanh(layers(params["encoder"], change, 0.2))
        change = layers(params["decoder"], np.concatenate([noise, read], axis=1), 0.0)
        canvas += change
    expected = 2 / (1 + np.exp(-canvas)) - 1
    found = jax.jit(network.apply)(variables, codes)
    np.testing.assert_allclose(found, expected.reshape(5, *SHAPE), atol=1e-5)


def test_more_steps_need_no_more_parameters_and_change_the_image():
    codes = jax.random.normal(jax.random.key(1), (2, 2))
    one, three = (
        recurrent.convolutional((8, 8, 1), jnp.float32, 2, "layer", 4, steps) for steps in (1, 3)
    )
    variables = jax.jit(one.init)(jax.random.key(0), codes)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, jax.eval_shape(three.init, jax.random.key(0), codes)
    )
    found = [np.asarray(jax.jit(network.apply)(variables, codes)) for network in (one, three)]
    assert found[0].shape == (2, 8, 8, 1)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_the_losses_of_both_steps_by_hand():
    config = gran_config.get_config("tiny")
    networks = gran.make_networks(config, (2,))
    optimizers = pair.make_optimizers(config)
    system = gran.System(networks, optimizers, config.loss, config.average_decay)
    initial = jax.jit(pair.initial(networks, optimizers, config.average_decay))
    state = initial(jax.random.key(0))
    real = jax.random.normal(jax.random.key(1), (8, 2))

    @jax.jit
    def outputs(state):
        fake, _ = pair.generate(networks, state.players["generator"], step_key(state), 8)
        judged, _ = pair.judge(networks, state.players["discriminator"], real, fake)
        return judged

    on_real, on_fake = (np.asarray(output, np.float64) for output in outputs(state))
    by_hand = np.mean(np.log1p(np.exp(-on_real))) + np.mean(np.log1p(np.exp(on_fake)))
    discriminator_step = functools.partial(gran.discriminator_step, system=system)
    moved, of_discriminator = jax.jit(discriminator_step)(state, real)
    assert float(of_discriminator["d_loss"]) == pytest.approx(by_hand, rel=1e-5)
    _, on_fake = outputs(moved)
    by_hand = np.mean(np.log1p(np.exp(-np.asarray(on_fake, np.float64))))
    loss, key = gran.LOSSES["non_saturating"].generator, step_key(moved)
    generator_step = functools.partial(pair.move_generator, system, loss=loss, count=8)
    _, of_generator = jax.jit(lambda state, key: generator_step(state, key=key))(moved, key)
    assert float(of_generator["g_loss"]) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "wasserstein"}, "config.loss=wasserstein: choose one of minimax"),
        ({"generator.steps": 0}, "config.generator.steps=0: must be 1 or more"),
        ({"generator.code": 1}, "config.generator.code=1"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = gran_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))


def test_batch_normalisation_is_refused():
    config = gran_config.get_config()
    config.generator.normalisation = "batch"
    with pytest.raises(UserError, match="normalisation=batch: choose one of layer, none"):
        make(config, devices.make_mesh(1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, flags in {
        "three": ["--config=configs/gran.py:tiny", "--config.generator.steps=3"],
        "gan": ["--config=configs/gan.py:tiny", "--config.loss=least_squares"],
        "wgan": ["--config=configs/wgan.py:tiny", "--config.data.kind=ring"],
    }.items():
        assert train.main([*flags, "--config.rounds=1", f"--workdir={folder / name}"]) == 0
    return folder


def test_two_runs_judge_each_others_samples(runs, capsys):
    flags = [str(runs / "three"), str(runs / "gan"), "--checkpoint=last"]
    assert battle.main(flags) == 2
    message = capsys.readouterr().err
    assert message == (
        f"{runs / 'three' / 'eval' / 'samples.npz'} is missing: "
        f"first run eval.py --workdir={runs / 'three'}\n"
    )
    for name in ("three", "gan"):
        assert evaluation.main([f"--workdir={runs / name}", "--checkpoint=last"]) == 0
    capsys.readouterr()

    def result(*runs):
        assert battle.main([*map(str, runs), "--checkpoint=last"]) == 0
        printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
        return float(printed["test_ratio"]), float(printed["samples_ratio"]), printed["winner"]

    assert result(runs / "gan", runs / "gan") == (1, 1, "draw")
    one, other = (
        result(*pair) for pair in [(runs / "three", runs / "gan"), (runs / "gan", runs / "three")]
    )
    for first, second in zip(one[:2], other[:2], strict=True):
        products = {first * second if np.isfinite(first + second) else 1.0}
        assert products.pop() == pytest.approx(1, abs=0.02)


def test_a_critic_cannot_fight(runs, capsys):
    assert battle.main([str(runs / "wgan"), str(runs / "gan")]) == 2
    assert "with the loss None does not tell real from generated" in capsys.readouterr().err
