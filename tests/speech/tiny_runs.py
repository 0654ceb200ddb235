"""Small configs, batches and runs for tests of systems."""

import jax
import jax.numpy as jnp
import numpy as np

from configs import metricgan
from jaxgan.core.timer import Timer
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.settings import data_settings

RATE = 0.01
LENGTHS = [9000, 8000, 7001, 9216, 6500, 8800, 7700, 9100]


def tiny_config(**changes):
    """The preset tiny of MetricGAN, with faster learning and the host's scores beside the steps."""
    config = metricgan.get_config("tiny")
    config.data = data_settings()
    config.update_from_flattened_dict(
        {
            "seed": 3,
            "rounds": 4,
            "score": "tiny_scores.correlation",
            "scoring.where": "host",
            "scoring.delay": 1,
            "scoring.workers": 2,
            "scoring.deadline_seconds": 20.0,
            "feature": "log1p",
            "through_waveform": True,
            "generator.dropout": 0.1,
            "generator.learnable_sigmoid": True,
            "order": "discriminator_first",
            "noisy_teaches": True,
            "replay.clean": False,
            "generator_learning_rate": RATE,
            "discriminator_learning_rate": RATE,
            "warmup_learning_rate": RATE,
            "average_decay": 0.9,
            "validation.every": 2,
            "validation.utterances": 0,
            "checkpoint.every": 2,
            **changes,
        }
    )
    return config


def make_batch(lengths, total=9216, rows=None, seed=0):
    """Returns a batch of noise with padding rows after those of `lengths`."""
    random = np.random.default_rng(seed)
    clean, noisy = np.zeros((2, rows or len(lengths), total), np.int16)
    for row, length in enumerate(lengths):
        clean[row, :length] = random.integers(-8000, 8000, length)
        noisy[row, :length] = clean[row, :length] // 2 + random.integers(-4000, 4000, length)
    padding = len(clean) - len(lengths)
    return Batch(
        clean=jnp.asarray(clean),
        noisy=jnp.asarray(noisy),
        lengths=jnp.asarray([*lengths, *[0] * padding], jnp.int32),
        index=jnp.arange(len(clean)),
        gain=jnp.ones(len(clean)),
    )


def equal(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(bool(jnp.array_equal(a, b)) for a, b in leaves)


def close(one, other, tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


def play(recipe, rounds):
    """Trains for some rounds; returns the final state, the history and the metrics of each."""
    state, history, rows = recipe.init(jax.random.key(3)), (), []
    for number in range(1, rounds + 1):
        state, record, metrics = recipe.round(state, history, number, Timer())
        history = (*history, record)
        rows.append(metrics)
    return jax.device_get(state), history, rows
