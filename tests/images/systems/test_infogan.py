"""InfoGAN: its bounds and losses by hand, codes that explain the samples, clusters."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from configs import infogan as infogan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.images.data.batches import Resident
from jaxgan.images.evaluation.clustering import clustering_accuracy
from jaxgan.images.networks import codes, pair
from jaxgan.images.systems import infogan
from jaxgan.recipes import make


def tiny_system(**values):
    config = infogan_config.get_config("tiny")
    config.update(values)
    system = infogan.make_system(config, (2,))
    width = system.prior.width
    init = pair.initial(system.networks, system.optimizers, 0, conditions=width)
    return system, jax.jit(init)(jax.random.key(0))


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def test_the_bounds_are_expected_log_probabilities_plus_entropies():
    prior = codes.Prior(3, 2)
    random = np.random.default_rng(0)
    guesses = random.normal(size=(5, 5)).astype(np.float32)
    continuous = random.uniform(-1, 1, (5, 2)).astype(np.float32)
    category = np.array([0, 2, 1, 1, 0])
    found = codes.bounds(prior, guesses, codes.Codes(category, continuous))
    logits = guesses[:, :3]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = log_probabilities[np.arange(5), category].mean() + np.log(3)
    assert float(found.category) == pytest.approx(expected, rel=1e-5)
    entropy = 2 * stats.uniform.entropy(-1, 2)
    expected = stats.norm.logpdf(continuous, guesses[:, 3:]).sum(axis=1).mean() + entropy
    assert float(found.continuous) == pytest.approx(expected, rel=1e-5)
    # A sample that determines its category has all of its information: log 3 nats.
    sure = codes.bounds(
        prior, 50 * np.eye(5, dtype=np.float32)[category], codes.Codes(category, continuous)
    )
    assert float(sure.category) == pytest.approx(np.log(3), rel=1e-5)
    none = codes.bounds(prior, np.zeros((5, 5), np.float32), codes.Codes(category, continuous))
    assert float(none.category) == pytest.approx(0, abs=1e-6)


def test_codes_follow_their_prior():
    prior = codes.Prior(4, 2)
    drawn = codes.draw(prior, jax.random.key(0), 4000)
    assert drawn.continuous.shape == (4000, 2)
    assert -1 <= drawn.continuous.min() < -0.95 < 0.95 < drawn.continuous.max() <= 1
    np.testing.assert_allclose(np.bincount(drawn.category) / 4000, 0.25, atol=0.03)
    rows = codes.conditions(prior, drawn)
    np.testing.assert_array_equal(rows[:, :4].argmax(axis=1), drawn.category)
    np.testing.assert_array_equal(rows[:, :4].sum(axis=1), 1)
    np.testing.assert_array_equal(rows[:, 4:], drawn.continuous)


def test_the_losses_of_both_steps_by_hand():
    system, state = tiny_system()
    real = jax.random.normal(jax.random.key(1), (6, 2))

    @jax.jit
    def outputs(state):
        fake, drawn, _ = infogan.generate(system, state, state.players["generator"], 6)
        apply = functools.partial(
            system.networks.discriminator.apply, state.players["discriminator"].variables
        )
        return apply(real), apply(fake), codes.bounds(system.prior, apply(fake)[:, 1:], drawn)

    on_real, on_fake, bounds = outputs(state)
    assert on_real.shape == (6, 1 + 4 + 1)
    step = jax.jit(functools.partial(infogan.discriminator_step, system=system))
    moved, metrics = step(state, real)
    expected = softplus(-on_real[:, 0]).mean() + softplus(on_fake[:, 0]).mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["category_bound"]) == pytest.approx(float(bounds.category), abs=1e-5)
    assert float(metrics["continuous_bound"]) == pytest.approx(float(bounds.continuous), rel=1e-5)
    _, on_fake, _ = outputs(moved)
    step = jax.jit(functools.partial(infogan.generator_step, count=6, system=system))
    _, metrics = step(moved)
    assert float(metrics["g_loss"]) == pytest.approx(softplus(-on_fake[:, 0]).mean(), rel=1e-5)


def trained(weight):
    """The last bound of the category, of log 2, on data of two clusters; and D's and Q's player."""
    rates = {f"{player}_learning_rate": 3e-3 for player in ("generator", "discriminator")}
    system, state = tiny_system(categories=2, continuous=0, category_weight=weight, **rates)
    random = np.random.default_rng(0)
    sides = np.arange(512) % 2
    values = np.stack([4.0 * sides - 2, np.zeros(512)], axis=1)
    values = (values + 0.3 * random.standard_normal((512, 2))).astype(np.float32)
    data = Resident(jnp.asarray(values), jnp.full(512, -1))
    rows = jnp.asarray(random.integers(0, 512, (600, 1, 64)))
    step = functools.partial(infogan.step, data=data, system=system)
    state, metrics = jax.jit(lambda state: jax.lax.scan(step, state, rows))(state)
    outputs = system.networks.discriminator.apply(state.players["discriminator"].variables, values)
    clusters = np.asarray(outputs[:, 1:]).argmax(axis=1)
    return float(metrics["category_bound"][-50:].mean()), clustering_accuracy(clusters, sides)


def test_the_category_becomes_the_cluster_only_if_the_bound_counts():
    bound, accuracy = trained(weight=1.0)
    assert bound > 0.9 * np.log(2)
    assert accuracy > 0.95
    bound, _ = trained(weight=0.0)
    assert bound < 0.5 * np.log(2)


def test_the_clustering_accuracy_is_that_of_the_best_permutation():
    random = np.random.default_rng(0)
    clusters, labels = random.integers(0, 4, 60), random.integers(0, 4, 60)
    best = max(
        np.mean(np.asarray(order)[clusters] == labels) for order in itertools.permutations(range(4))
    )
    assert clustering_accuracy(clusters, labels) == pytest.approx(best)
    assert clustering_accuracy((labels + 1) % 4, labels) == 1
    # Seven clusters for one class: only one of them can be paired with it.
    assert clustering_accuracy(np.arange(7), np.zeros(7, int)) == pytest.approx(1 / 7)
    assert clustering_accuracy(np.array([0, 0, 1]), np.array([1, -1, 0])) == 1
    assert np.isnan(clustering_accuracy(clusters, np.full(60, -1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": 1}, "config.categories=1: must be 2 or more"),
        ({"continuous": -1}, "config.continuous=-1"),
        ({"continuous_weight": -0.5}, "config.continuous_weight=-0.5"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = infogan_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))


def test_the_weights_apply_to_their_own_bound():
    found = codes.Bounds(jnp.float32(2.0), jnp.float32(3.0))
    assert float(codes.weighted(found, codes.Bounds(1.0, 0.1))) == pytest.approx(2.3)
    system, _ = tiny_system(category_weight=0.5, continuous_weight=0.25)
    assert system.weights == codes.Bounds(category=0.5, continuous=0.25)
    assert dataclasses.replace(system, average_decay=0.0).prior == codes.Prior(4, 1)
