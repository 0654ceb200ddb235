"""Odena's semi-supervised GAN: its losses by hand, and few labels on the ring."""

import functools

import jax
import numpy as np
import pytest

from configs import semi_supervised as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.toys import ring_centres
from jaxgan.images.networks import pair
from jaxgan.images.systems import semi_supervised
from jaxgan.images.training import Rows
from jaxgan.recipes import make

LABELS = np.arange(512, dtype=np.int32) % 8
RANDOM = np.random.default_rng(0)
POINTS = (ring_centres(1.0)[LABELS] + RANDOM.normal(0, 0.05, (512, 2))).astype(np.float32)


def tiny_system(**values):
    config = configs.get_config("tiny")
    config.generator_learning_rate = config.discriminator_learning_rate = 3e-3
    config.update(values)
    return semi_supervised.System(
        networks=pair.make_networks(config, (2,), outputs=9),
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        unlabelled=config.unlabelled,
        average_decay=config.average_decay,
    )


SYSTEM = tiny_system()


@pytest.fixture(scope="module", name="state")
def first_state():
    init = pair.initial(SYSTEM.networks, SYSTEM.optimizers, SYSTEM.average_decay)
    return jax.jit(init)(jax.random.key(0))


def test_the_losses_by_hand(state):
    """All in one program, since compiling takes most of the time."""
    images, labels, real = POINTS[:8], LABELS[:8], POINTS[8:24]

    @jax.jit
    def program(state):
        generator, discriminator = (state.players[name] for name in ("generator", "discriminator"))
        fake, _ = pair.generate(SYSTEM.networks, generator, step_key(state), 16)
        outputs, _ = pair.judge(SYSTEM.networks, discriminator, images, real, fake)
        args = (state, images, labels, real)
        of_d = [
            semi_supervised.discriminator_step(*args, system=tiny_system(unlabelled=unlabelled))[1]
            for unlabelled in (True, False)
        ]
        of_g = [
            semi_supervised.generator_step(state, 16, system=tiny_system(loss=loss))[1]["g_loss"]
            for loss in ("minimax", "non_saturating")
        ]
        return outputs, of_d, of_g

    outputs, of_d, of_g = program(state)
    exponentials = [np.exp(np.asarray(part, np.float64)) for part in outputs]
    on_labelled, on_real, on_fake = (x / x.sum(axis=1, keepdims=True) for x in exponentials)
    assert on_fake.shape == (16, 9)
    supervised = -np.mean(np.log(on_labelled[np.arange(8), labels]))
    unknown = -np.mean(np.log(1 - on_real[:, 8])) - np.mean(np.log(on_fake[:, 8]))
    for found, expected in zip(of_d, (supervised + unknown, supervised), strict=True):
        assert float(found["supervised"]) == pytest.approx(supervised, rel=1e-4)
        assert float(found["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(of_g[0]) == pytest.approx(np.mean(np.log(on_fake[:, 8])), rel=1e-4)
    assert float(of_g[1]) == pytest.approx(-np.mean(np.log(1 - on_fake[:, 8])), rel=1e-4)


def test_two_labels_of_each_mode_of_the_ring_are_enough(state):
    """An untrained classifier errs on 7 of 8 points. Other labels have no influence."""
    step = jax.jit(functools.partial(semi_supervised.step, system=SYSTEM))
    data = Resident(POINTS, np.where(np.arange(512) < 16, LABELS, -1))
    rows = Rows(RANDOM.integers(16, 512, size=(1, 32)), np.arange(8))
    one, other = (step(state, rows, Resident(POINTS, known))[0] for known in (LABELS, data.labels))
    jax.tree.map(np.testing.assert_array_equal, one.players, other.players)
    for _ in range(200):
        rows = Rows(RANDOM.integers(512, size=(1, 32)), RANDOM.permutation(16)[:8])
        state, _ = step(state, rows, data)
    (outputs,), _ = pair.judge(SYSTEM.networks, state.players["discriminator"], POINTS)
    assert np.mean(np.argmax(outputs[:, :-1], axis=1) != LABELS) < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "config.loss=hinge: choose one of minimax, non_saturating"),
        ({"labelled_batch_size": 0}, "config.labelled_batch_size=0: must be 1 or more"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = configs.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
