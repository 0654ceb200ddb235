"""Small systems, configs and exact answers for tests of sequences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import organ as organ_config
from configs import seqgan as seqgan_config
from jaxgan.core import devices
from jaxgan.core.state import make_player, make_run_state
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.language_model import LanguageModel, SequenceModel
from jaxgan.sequences.systems.seqgan import System

LINES = ["ab", "abc", "bca", "ccc", "bbca", "acb", "cab", "bb", "aa", "cb"]


def tiny_config(**changes):
    """configs/seqgan.py:tiny with changes."""
    config = seqgan_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    return config


def tiny_text_config(folder, **changes):
    """configs/organ.py:tiny on a text file, with an objective of its own and changes."""
    config = organ_config.get_config("tiny")
    path = folder / "lines.txt"
    path.write_text("\n".join(LINES * 4))
    text = {
        "objective": "rating_functions:share_of_first",
        "data.kind": "text",
        "data.unit": "characters",
        "data.path": str(path),
    }
    config.update_from_flattened_dict({**text, **changes})
    return config


def make_model(vocabulary=3, length=3, ends=False):
    return SequenceModel(LanguageModel(vocabulary, 4, 5, 1.0), length, ends)


def make_discriminator(vocabulary=3, outputs=2):
    return Discriminator(vocabulary, 4, (1, 2, 3), (3, 4, 2), 0.0, outputs)


def make_system(**changes):
    settings = {
        "generator": make_model(),
        "discriminator": make_discriminator(),
        "judge": "discriminator",
        "roll_outs": 2,
        "baseline": True,
        "likelihood_optimizer": optax.sgd(1.0),
        "policy_optimizer": optax.sgd(1.0),
        "discriminator_optimizer": optax.sgd(1.0),
        "output_penalty": 0.2,
        "gradient_penalty": 10.0,
        "mesh": devices.make_mesh(1),
    }
    return System(**{**settings, **changes})


@functools.cache
def initial_variables(network, length):
    init = jax.jit(network.init)
    return init(jax.random.key(1), jnp.zeros((1, length), jnp.int32))


def make_state(system):
    """The state of a system; equal networks, which are compiled once, get equal parameters."""
    # Copies, since some steps overwrite their state in place.
    length = system.generator.length
    networks = {"generator": system.generator.network, "discriminator": system.discriminator}
    optimizers = {
        "generator": system.likelihood_optimizer,
        "discriminator": system.discriminator_optimizer,
    }
    players = {
        name: make_player(
            jax.tree.map(jnp.copy, initial_variables(network, length)), optimizers[name]
        )
        for name, network in networks.items()
    }
    memory = {"roll_out": jax.tree.map(jnp.copy, players["generator"].params)}
    return make_run_state(jax.random.key(0), players, memory)


def run(function, system):
    """Compiles a function of a system."""
    return jax.jit(functools.partial(function, system=system))


def all_sequences(vocabulary, length):
    """Every sequence there is: int32 [V ** T, T]."""
    return np.array(list(itertools.product(range(vocabulary), repeat=length)), np.int32)


def plain_nll(params, sequence):
    """-log p of every token by the textbook LSTM in float64."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    hidden = cell = np.zeros(len(p["recurrent_kernel"]))
    nlls, previous = [], 0
    for token in sequence:
        gates = p["embedding"][previous] @ p["kernel"] + hidden @ p["recurrent_kernel"] + p["bias"]
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        logits = hidden @ p["output_kernel"] + p["output_bias"]
        nlls.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token])
        previous = token
    return np.array(nlls)


def plain_discriminator(params, sequence):
    """Outputs of the discriminator for one sequence by loops, in float64, without dropout."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    x = p["embedding"][sequence]
    features = []
    for width in (1, 2, 3):
        kernel, bias = p[f"kernel_{width}"], p[f"bias_{width}"]
        for number in range(kernel.shape[2]):
            responses = [
                np.sum(x[start : start + width] * kernel[:, :, number]) + bias[number]
                for start in range(len(x) - width + 1)
            ]
            features.append(max(max(responses), 0))
    features = np.array(features)
    mixed = features @ p["highway_kernel"] + p["highway_bias"]
    transform, gate = np.split(mixed, 2)
    gate = 1 / (1 + np.exp(-gate))
    features = gate * np.maximum(transform, 0) + (1 - gate) * features
    return features @ p["output_kernel"] + p["output_bias"]


def leaves_equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in jax.device_get(list(pairs)))
