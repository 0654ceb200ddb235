"""What D sees, the losses by hand, and the measurements of a run and of another GAN's."""

import functools
import json

import jax
import numpy as np
import pytest

import eval as evaluation
import train
from configs import sketch_retrieval as sketch_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images import retrieval
from jaxgan.images.data.edges import sketch
from jaxgan.images.evaluation.trained_discriminator import load_discriminator
from jaxgan.images.networks import pair
from jaxgan.images.systems import sketch_retrieval
from jaxgan.recipes import make

IMAGES = jax.random.uniform(jax.random.key(1), (8, 4, 4, 1), minval=-1)


def test_the_first_images_of_a_minibatch_become_sketches():
    found = np.asarray(sketch_retrieval.with_sketches(IMAGES, 0.5))
    np.testing.assert_array_equal(found[:4], sketch(IMAGES[:4]))
    np.testing.assert_array_equal(found[4:], IMAGES[4:])


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_losses_of_both_steps_by_hand(noise):
    config = sketch_config.get_config("tiny")
    networks, optimizers = pair.make_networks(config, (4, 4, 1)), pair.make_optimizers(config)
    system = sketch_retrieval.System(networks, optimizers, 0.5, noise, 0.0)
    state = jax.jit(pair.initial(networks, optimizers, 0.0))(jax.random.key(0))

    @jax.jit
    def outputs(state):
        codes, on_real, on_fake = (step_key(state, stream) for stream in range(3))
        fake, _ = pair.generate(networks, state.players["generator"], codes, 8)
        seen = (
            IMAGES + noise * jax.random.normal(on_real, IMAGES.shape),
            fake + noise * jax.random.normal(on_fake, IMAGES.shape),
        )
        return pair.judge(networks, state.players["discriminator"], *seen)[0]

    on_real, on_fake = outputs(state)
    by_hand = np.mean(np.log1p(np.exp(-on_real))) + np.mean(np.log1p(np.exp(on_fake)))
    move = jax.jit(functools.partial(sketch_retrieval.discriminator_step, system=system))
    moved, metrics = move(state, IMAGES)
    assert float(metrics["d_loss"]) == pytest.approx(by_hand, rel=1e-5)
    _, on_fake = outputs(moved)
    move = jax.jit(functools.partial(sketch_retrieval.generator_step, count=8, system=system))
    _, metrics = move(moved)
    assert float(metrics["g_loss"]) == pytest.approx(np.mean(np.log1p(np.exp(-on_fake))), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sketches": 1.1}, r"config\.sketches=1\.1: must be from 0 to 1"),
        ({"noise": -1.0}, r"config\.noise=-1\.0: must be 0 or more"),
        ({"data.kind": "ring"}, r"config\.data\.kind: sketches are made of images"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = sketch_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    flags = ["--config=configs/sketch_retrieval.py:tiny", "--config.rounds=1"]
    flags += ["--config.data.valid=100", "--config.validation.every=1"]
    assert train.main([*flags, f"--workdir={folder}"]) == 0
    return folder


def test_eval_reports_what_validation_does_and_the_controls(run, tmp_path):
    assert evaluation.main([f"--workdir={run}", f"--output={tmp_path}"]) == 0
    found = json.loads((tmp_path / "summary.json").read_text())
    logged = json.loads((run / "metrics.jsonl").read_text())
    for name in ("p10", "p10_edges"):
        assert found[f"discriminator_{name}"] == logged[f"eval/{name}"]
        values = [found[f"{kind}_{name}"] for kind in ("untrained", "pixels", "pca64")]
        assert all(0 < value < 1 for value in values)
    assert found["count"] == 20
    assert found["discriminator_p10_edges_shift_4"] < found["discriminator_p10_edges"] + 0.1


def test_the_discriminators_of_other_gans_are_encoders_too(tmp_path, capsys):
    flags = ["--config.data.kind=glyphs", "--config.rounds=1", "--config.steps_per_round=1"]
    flags += [f"--workdir={tmp_path}", "--config.data.valid=100"]
    assert train.main(["--config=configs/gan.py:tiny", *flags]) == 0
    assert retrieval.main([f"--workdir={tmp_path}"]) == 0
    found = json.loads((tmp_path / "retrieval" / "summary.json").read_text())
    assert 0 < found["discriminator_p10"] < 1


def test_the_features_are_those_of_the_trained_network(run):
    values = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    trained = load_discriminator(run, "last", devices.make_mesh(1))
    answers = trained(values)
    last = trained.player.params["MLP_0"]["Dense_1"]
    made = answers.features @ np.asarray(last["kernel"]) + np.asarray(last["bias"])
    np.testing.assert_allclose(answers.logits, made[:, 0], atol=1e-5)
    assert np.abs(trained.untrained()(values).features - answers.features).max() > 0.01


def test_a_discriminator_that_sees_more_than_a_sample_is_refused(tmp_path):
    flags = ["--config.rounds=1", "--config.steps_per_round=1", f"--workdir={tmp_path}"]
    assert train.main(["--config=configs/gan.py:tiny", "--config.packing=2", *flags]) == 0
    with pytest.raises(UserError, match="'gan', which has no discriminator of single samples"):
        load_discriminator(tmp_path, "last", devices.make_mesh(1))
