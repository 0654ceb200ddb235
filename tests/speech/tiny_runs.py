"""Small configs, batches and runs for tests of systems."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.timer import Timer
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.settings import data_settings

RATE = 0.01
LENGTHS = [9000, 8000, 7001, 9216, 6500, 8800, 7700, 9100]


def tiny_config(**changes):
    config = ConfigDict(
        {
            "seed": 3,
            "rounds": 4,
            "batch_size": 8,
            "utterances_per_round": 8,
            "dtype": "float32",
            "score": "tiny_scores.correlation",
            "score_map": "paper",
            "score_weights": (),
            "target": 1.0,
            "targets": "",
            "scoring": {"where": "host", "delay": 1, "workers": 2, "deadline_seconds": 20.0},
            "front_end": {"sample_rate": 16000, "hop": 256},
            "feature": "log1p",
            "through_waveform": True,
            "generator": {
                "layers": 1,
                "width": 8,
                "dense": 8,
                "dropout": 0.1,
                "floor": 0.05,
                "learnable_sigmoid": True,
                "normalise": True,
            },
            "discriminator": {"channels": (3, 4), "kernels": (5, 3), "dense": (5,)},
            "order": "discriminator_first",
            "clean_teaches": True,
            "noisy_teaches": True,
            "replay": {"share": 0.5, "most": 0, "clean": False},
            "generator_learning_rate": RATE,
            "discriminator_learning_rate": RATE,
            "adam_b1": 0.9,
            "adam_b2": 0.999,
            "gradient_clip": 0.0,
            "average_decay": 0.9,
            "learning_rate_decay": 0,
            "warmup_rounds": 0,
            "warmup_learning_rate": RATE,
            "validation": {"every": 2, "utterances": 0, "scores": ()},
            "checkpoint": {"every": 2},
        }
    )
    config.data = data_settings()
    config.update_from_flattened_dict(changes)
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
