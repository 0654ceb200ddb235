"""Bad GAN: its losses by hand, and samples around two modes."""

import functools

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from configs import bad_gan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.toys import ring_centres
from jaxgan.images.networks import density, noisy_mlp, pair
from jaxgan.images.systems import bad_gan
from jaxgan.images.training import Rows
from jaxgan.recipes import make

LABELS = np.arange(512, dtype=np.int32) % 8
RANDOM = np.random.default_rng(0)
POINTS = (ring_centres(1.0)[LABELS] + RANDOM.normal(0, 0.05, (512, 2))).astype(np.float32)
FITTED = density.fit(POINTS, 2, 0.1)


def tiny_system(**values):
    config = configs.get_config("tiny")
    config.discriminator_learning_rate = 3e-3
    config.generator_learning_rate = 3e-3
    config.average_decay = 0.9
    config.update(values)
    return bad_gan.make_system(config, (2,), 8, FITTED)


@pytest.fixture(scope="module", name="state")
def first_state():
    system = tiny_system()
    init = noisy_mlp.initial(system.networks, system.optimizers, POINTS[:64], averaged=True)
    return jax.jit(init)(jax.random.key(0))


def test_the_losses_by_hand(state):
    """All in one program, since compiling takes most of the time."""
    images, labels, real = POINTS[:8], LABELS[:8], POINTS[8:24]
    system = tiny_system(entropy_weight=0.3, pull_away_weight=0.7, density_weight=0.2)

    @jax.jit
    def program(state):
        generator, discriminator = (state.players[name] for name in ("generator", "discriminator"))
        key = functools.partial(step_key, state)
        fake, _ = pair.generate(system.networks, generator, key(bad_gan.CODES), 16)
        judged = [
            noisy_mlp.judge(system.networks.discriminator, discriminator, samples, key(stream))
            for samples, stream in (
                (images, bad_gan.ON_LABELLED),
                (real, bad_gan.ON_REAL),
                (fake, bad_gan.ON_FAKE),
            )
        ]
        _, of_d = bad_gan.discriminator_step(state, images, labels, real, system=system)
        _, of_g = bad_gan.generator_step(state, real, system=system)
        return judged, density.log_density(FITTED, fake), of_d, of_g

    judged, log_q, of_d, of_g = program(state)
    (logits, _), (on_real, h_real), (on_fake, h_fake) = [
        [np.asarray(part, np.float64) for part in parts] for parts in judged
    ]
    log_z, log_z_real, log_z_fake = (logsumexp(x, axis=1) for x in (logits, on_real, on_fake))
    expected = np.mean(log_z - logits[np.arange(8), labels])
    expected += 0.5 * np.mean(np.log(1 + np.exp(log_z_real)) - log_z_real)
    expected += 0.5 * np.mean(np.log(1 + np.exp(log_z_fake)))
    p = np.exp(on_real - log_z_real[:, None])
    expected += 0.3 * np.mean(-np.sum(p * np.log(p), axis=1))
    assert float(of_d["d_loss"]) == pytest.approx(expected, rel=1e-4)
    matching = np.mean((h_real.mean(0) - h_fake.mean(0)) ** 2)
    unit = h_fake / np.linalg.norm(h_fake, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(16, dtype=bool)]
    excess = np.maximum(0, np.asarray(log_q, np.float64) - FITTED.threshold)
    expected = matching + 0.7 * np.mean(cosines**2) + 0.2 * excess.mean()
    assert float(of_g["g_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(of_g["dense"]) == pytest.approx(np.mean(excess > 0))


def test_samples_leave_dense_regions_and_labels_are_learned(state):
    """Two labels of each mode; an untrained classifier errs on 7 of 8 points."""
    data = Resident(POINTS, np.where(np.arange(512) < 16, LABELS, -1))
    system = tiny_system(density_weight=5.0)
    step = jax.jit(functools.partial(bad_gan.step, system=system))
    for _ in range(200):
        rows = Rows(RANDOM.integers(512, size=(2, 32)), RANDOM.permutation(16)[:8])
        state, metrics = step(state, rows, data)
    answer = noisy_mlp.classify(system.networks.discriminator)
    answers = np.argmax(answer(state.players["discriminator"], POINTS), axis=1)
    assert np.mean(answers != LABELS) < 0.1
    assert float(metrics["dense"]) < 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"density_weight": -1.0}, "config.density_weight=-1.0: must be 0 or more"),
        ({"density": {"share": 2.0}}, "config.density.share=2.0: must be from 0 to 1"),
        ({"labelled_batch_size": 17}, "config.labelled_batch_size=17: only 16"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = configs.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
