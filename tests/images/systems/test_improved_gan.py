"""Semi-supervised GAN with feature matching: its losses by hand, and few labels on the ring."""

import functools

import jax
import numpy as np
import pytest

from configs import improved_gan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.toys import ring_centres
from jaxgan.images.networks import noisy_mlp, pair
from jaxgan.images.systems import improved_gan
from jaxgan.images.training import Rows
from jaxgan.recipes import make

LABELS = np.arange(512, dtype=np.int32) % 8
RANDOM = np.random.default_rng(0)
POINTS = (ring_centres(1.0)[LABELS] + RANDOM.normal(0, 0.05, (512, 2))).astype(np.float32)
ROWS = Rows(RANDOM.integers(16, 512, size=(2, 32)), np.arange(8))


def tiny_system(**values):
    config = configs.get_config("tiny")
    config.generator_learning_rate = config.discriminator_learning_rate = 3e-3
    config.average_decay = 0.9
    config.update(values)
    networks = noisy_mlp.make_networks(config, (2,), 8)
    return improved_gan.System(
        networks=networks,
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        unlabelled=config.unlabelled,
        smoothing=config.smoothing,
        average_decay=config.average_decay,
    )


SYSTEM = tiny_system()
CLASSIFY = jax.jit(noisy_mlp.classify(SYSTEM.networks.discriminator))
step = jax.jit(functools.partial(improved_gan.step, system=SYSTEM))


@pytest.fixture(scope="module", name="state")
def first_state():
    init = noisy_mlp.initial(SYSTEM.networks, SYSTEM.optimizers, POINTS[:40], averaged=True)
    return jax.jit(init)(jax.random.key(0))


def log_sum_exp(logits):
    return np.log(np.exp(logits).sum(axis=1))


def test_the_losses_by_hand(state):
    """All in one program, since compiling takes most of the time."""
    images, labels, real = POINTS[:8], LABELS[:8], POINTS[8:24]

    @jax.jit
    def program(state):
        discriminator, key = state.players["discriminator"], functools.partial(step_key, state)
        codes = key(improved_gan.CODES)
        fake, _ = pair.generate(SYSTEM.networks, state.players["generator"], codes, 16)
        outputs = [
            noisy_mlp.judge(SYSTEM.networks.discriminator, discriminator, samples, key(stream))
            for samples, stream in (
                (images, improved_gan.ON_LABELLED),
                (real, improved_gan.ON_REAL),
                (fake, improved_gan.ON_FAKE),
            )
        ]
        smoothed = tiny_system(smoothing=0.1)
        _, of_d = improved_gan.discriminator_step(state, images, labels, real, system=smoothed)
        of_g = [
            improved_gan.generator_step(state, real, system=tiny_system(loss=loss))[1]["g_loss"]
            for loss in ("feature_matching", "non_saturating")
        ]
        return outputs, of_d, of_g

    outputs, of_d, of_g = program(state)
    (logits, _), (on_real, h_real), (on_fake, h_fake) = [
        [np.asarray(part, np.float64) for part in output] for output in outputs
    ]
    supervised = np.mean(log_sum_exp(logits) - logits[np.arange(8), labels])
    p_real, p_fake = (z / (z + 1) for z in (np.exp(on_real).sum(1), np.exp(on_fake).sum(1)))
    of_real = -0.9 * np.log(p_real) - 0.1 * np.log(1 - p_real)
    expected = supervised + 0.5 * (np.mean(of_real) + np.mean(-np.log(1 - p_fake)))
    assert float(of_d["supervised"]) == pytest.approx(supervised, rel=1e-4)
    assert float(of_d["d_loss"]) == pytest.approx(expected, rel=1e-4)
    matching = np.sum((h_real.mean(0) - h_fake.mean(0)) ** 2)
    assert float(of_g[0]) == pytest.approx(matching, rel=1e-4)
    assert float(of_g[1]) == pytest.approx(np.mean(-np.log(p_fake)), rel=1e-4)


def test_labels_of_unlabelled_samples_have_no_influence(state):
    hidden = np.where(np.arange(512) < 16, LABELS, -1)
    one, other = (step(state, ROWS, Resident(POINTS, labels))[0] for labels in (LABELS, hidden))
    jax.tree.map(np.testing.assert_array_equal, one.players, other.players)


def test_the_control_sees_no_unlabelled_sample(state):
    control = jax.jit(functools.partial(improved_gan.step, system=tiny_system(unlabelled=False)))
    moved = np.concatenate([POINTS[:16], POINTS[16:] + 3])
    (one, metrics), (other, _) = (
        control(state, ROWS, Resident(points, LABELS)) for points in (POINTS, moved)
    )
    jax.tree.map(np.testing.assert_array_equal, one.players, other.players)
    jax.tree.map(
        np.testing.assert_array_equal, one.players["generator"], state.players["generator"]
    )
    assert float(metrics["d_loss"]) == float(metrics["supervised"])


def test_two_labels_of_each_mode_of_the_ring_are_enough(state):
    """An untrained classifier errs on 7 of 8 points."""
    data = Resident(POINTS, LABELS)
    for _ in range(150):
        rows = Rows(RANDOM.integers(512, size=(2, 32)), RANDOM.permutation(16)[:8])
        state, _ = step(state, rows, data)
    answers = np.argmax(CLASSIFY(state.players["discriminator"], POINTS), axis=1)
    assert np.mean(answers != LABELS) < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "config.loss=hinge: choose one of feature_matching, non_saturating"),
        ({"smoothing": 0.7}, "config.smoothing=0.7: must be from 0 to 0.5"),
        ({"labelled_batch_size": 17}, "config.labelled_batch_size=17: only 16"),
        ({"historical_weight": -1.0}, "config.historical_weight=-1.0"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = configs.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
