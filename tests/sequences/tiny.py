"""Small systems, configs and exact answers for tests of sequences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import seqgan as seqgan_config
from jaxgan.core import devices
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.language_model import LanguageModel
from jaxgan.sequences.systems.system import System, init


def tiny_config(**changes):
    config = seqgan_config.get_config()
    small = {
        "batch_size": 8,
        "rounds": 6,
        "pretrain_rounds": 2,
        "discriminator_rounds": 1,
        "epochs": 2,
        "d_steps": 1,
        "roll_outs": 2,
        "generator.embedding": 4,
        "generator.hidden": 5,
        "discriminator.embedding": 4,
        "discriminator.widths": (1, 2, 3),
        "discriminator.filters": (3, 4, 2),
        "discriminator_learning_rate": 1e-2,
        "data.vocabulary": 11,
        "data.oracle_width": 6,
        "data.length": 5,
        "data.count": 40,
        "data.held_out": 16,
        "validation.samples": 24,
        "validation.bleu_samples": 8,
        "validation.bleu_order": 4,
        "validation.every": 2,
        "checkpoint.every": 2,
    }
    config.update_from_flattened_dict({**small, **changes})
    return config


def make_system(vocabulary=3, length=3, **changes):
    settings = {
        "generator": LanguageModel(vocabulary, 4, 5, 1.0),
        "discriminator": Discriminator(vocabulary, 4, (1, 2, 3), (3, 4, 2), 0.0),
        "length": length,
        "ends": False,
        "roll_outs": 2,
        "judge": "discriminator",
        "baseline": True,
        "roll_out_decay": 0.8,
        "likelihood_optimizer": optax.sgd(1.0),
        "policy_optimizer": optax.sgd(1.0),
        "discriminator_optimizer": optax.sgd(1.0),
        "penalty": 0.2,
        "gradient_penalty": 10.0,
        "mesh": devices.make_mesh(1),
    }
    return System(**{**settings, **changes})


def make_state(system, seed=0):
    return jax.jit(init, static_argnames="system")(jax.random.key(seed), system=system)


def all_sequences(vocabulary, length):
    """Every sequence there is: int32 [V ** T, T]."""
    return np.array(list(itertools.product(range(vocabulary), repeat=length)), np.int32)


def plain_nll(params, sequence):
    """-log p of every token by the textbook LSTM in float64."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    hidden = cell = np.zeros(len(p["recurrent_kernel"]))
    nlls, heard = [], 0
    for token in sequence:
        gates = p["embedding"][heard] @ p["kernel"] + hidden @ p["recurrent_kernel"] + p["bias"]
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        logits = hidden @ p["output_kernel"] + p["output_bias"]
        nlls.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token])
        heard = token
    return np.array(nlls)


def leaves_equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(bool(jnp.array_equal(a, b)) for a, b in pairs)
