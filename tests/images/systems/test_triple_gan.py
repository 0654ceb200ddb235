"""Triple-GAN: its losses by hand, and few labels on the ring."""

import functools

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from configs import triple_gan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.toys import ring_centres
from jaxgan.images.networks import noisy_mlp
from jaxgan.images.systems import triple_gan
from jaxgan.images.training import Rows
from jaxgan.recipes import make

LABELS = np.arange(512, dtype=np.int32) % 8
RANDOM = np.random.default_rng(0)
CENTRES = ring_centres(1.0)
POINTS = (CENTRES[LABELS] + RANDOM.normal(0, 0.05, (512, 2))).astype(np.float32)
LABELLED, SHARE, PSEUDO, CONFIDENCE, BALANCE = 0.8, 0.3, 0.7, 0.2, 0.6


def tiny_config(**values):
    config = configs.get_config("tiny")
    config.update(values)
    return config


def tiny_system(**values):
    return triple_gan.make_system(tiny_config(**values), (2,), 8)


@pytest.fixture(scope="module", name="state")
def first_state():
    system = tiny_system()
    networks, optimizers, averaged = system.networks, system.optimizers, True
    init = noisy_mlp.initial(
        networks, optimizers, POINTS[:64], averaged, system.classes, system.classifier
    )
    return jax.jit(init)(jax.random.key(0))


def test_the_losses_by_hand(state):
    """All in one program, since compiling takes most of the time."""
    images, labels, other, second = POINTS[:8], LABELS[:8], POINTS[8:24], POINTS[24:40]
    system = tiny_system(
        labelled_share=LABELLED,
        share=SHARE,
        pseudo_weight=PSEUDO,
        confidence_weight=CONFIDENCE,
        balance_weight=BALANCE,
        pseudo_start=0,
    )

    @jax.jit
    def program(state):
        generator, discriminator, classifier = (state.players[name] for name in triple_gan.PLAYERS)
        fake, wanted, _ = triple_gan.generate(system, state, generator, 16)
        quiet, accepted = (
            (x, noisy_mlp.classify(system.classifier)(classifier, x).argmax(axis=-1))
            for x in (other, second)
        )
        together = np.concatenate([images, other]), fake
        together, key = jax.numpy.concatenate(together), step_key(state, triple_gan.NOISE_OF_C)
        logits, _ = noisy_mlp.judge(system.classifier, classifier, together, key)
        logits = logits[:8], logits[8:24], logits[24:]
        judged = triple_gan.judge(
            system, state, discriminator, (images, labels), (fake, wanted), quiet, accepted
        )
        noisy = other, logits[1].argmax(axis=-1)
        judged += triple_gan.judge(system, state, discriminator, noisy)
        judged += triple_gan.judge(system, state, discriminator, (fake, wanted))
        known, both = (state, images, labels), np.stack([other, second])
        losses = [
            triple_gan.discriminator_step(*known, both, system=system)[1]["d_loss"],
            triple_gan.classifier_step(*known, other, system=system)[1]["c_loss"],
            triple_gan.generator_step(state, 16, system=system)[1]["g_loss"],
        ]
        return wanted, logits, judged, losses

    wanted, logits, judged, losses = program(state)
    real, fake, quiet, accepted, noisy, alone = (
        1 / (1 + np.exp(-np.asarray(d, np.float64))) for d in judged
    )
    of_d = -LABELLED * np.log(real).mean() - (1 - LABELLED) * np.log(accepted).mean()
    of_d -= (1 - SHARE) * np.log(1 - fake).mean()
    of_d -= SHARE * np.log(1 - quiet).mean()
    known, unknown, of_fake = (log_softmax(np.asarray(x, np.float64), axis=1) for x in logits)
    of_c = -known[np.arange(8), labels].mean()
    of_c += SHARE * np.mean(np.exp(unknown.max(1)) * -np.log(noisy))
    of_c += PSEUDO * -of_fake[np.arange(16), wanted].mean()
    of_c += CONFIDENCE * -np.sum(np.exp(unknown) * unknown, axis=1).mean()
    of_c += BALANCE * -np.sum(np.log(np.exp(unknown).mean(0)) / 8)
    assert float(losses[0]) == pytest.approx(of_d, rel=1e-4)
    assert float(losses[1]) == pytest.approx(of_c, rel=1e-4)
    assert float(losses[2]) == pytest.approx(-np.log(alone).mean(), rel=1e-4)


def test_classes_are_learned_from_two_labels_of_each_mode_of_the_ring(state):
    """Both by C, and by G, which makes points of the class it is asked for."""
    rates = dict.fromkeys([f"{name}_learning_rate" for name in triple_gan.PLAYERS], 3e-3)
    config = tiny_config(average_decay=0.9, **rates)
    system = triple_gan.make_system(config, (2,), 8)
    step = jax.jit(functools.partial(triple_gan.step, system=system))
    data = Resident(POINTS, np.where(np.arange(512) < 16, LABELS, -1))
    rows = Rows(RANDOM.integers(16, 512, size=(2, 32)), np.arange(8))
    one, other = (step(state, rows, Resident(POINTS, known))[0] for known in (LABELS, data.labels))
    jax.tree.map(np.testing.assert_array_equal, one.players, other.players)
    for _ in range(400):
        rows = Rows(RANDOM.integers(512, size=(2, 32)), RANDOM.permutation(16)[:8])
        state, _ = step(state, rows, data)
    answers = noisy_mlp.classify(system.classifier)(state.players["classifier"], POINTS)
    assert np.mean(np.argmax(answers, axis=1) != LABELS) < 0.1
    sample = triple_gan.make_sample(config, (2,), 8)
    made = np.asarray(sample(state.players["generator"], jax.random.key(1), LABELS))
    nearest = np.argmin(np.linalg.norm(made[:, None] - CENTRES, axis=-1), axis=1)
    assert np.mean(nearest == LABELS) > 0.5


def test_the_control_moves_the_classifier_only(state):
    system = tiny_system(unlabelled=False)
    rows = Rows(np.arange(20, 36).reshape(2, 8), np.arange(8))
    step = jax.jit(functools.partial(triple_gan.step, system=system))
    moved, metrics = step(state, rows, Resident(POINTS, LABELS))
    assert float(metrics["c_loss"]) == float(metrics["supervised"])
    for name in ("generator", "discriminator"):
        jax.tree.map(np.testing.assert_array_equal, moved.players[name], state.players[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.5}, "config.share=1.5: must be from 0 to 1"),
        ({"pseudo_weight": -0.1}, "config.pseudo_weight=-0.1: must be 0 or more"),
        ({"labelled_batch_size": 17}, "config.labelled_batch_size=17: only 16"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    with pytest.raises(UserError, match=message):
        make(tiny_config(**changes), devices.make_mesh(1))
