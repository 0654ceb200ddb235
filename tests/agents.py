"""Trained agents and networks with known outputs, for the tests of control."""

import jax
import jax.numpy as jnp

from jaxgan import recipes
from jaxgan.core import devices, loop
from jaxgan.core.state import Player
from jaxgan.core.timer import Timer


def train(config, folder):
    """Trains a config on one device as train.py does, and returns the folder."""
    loop.run(recipes.make(config, devices.make_mesh(1)), config, folder)
    return folder


def play_rounds(config, rounds, recipe=None):
    """The recipe, by default on one device, its state after some rounds, and their metrics."""
    recipe = recipe or recipes.make(config, devices.make_mesh(1))
    state, rows = recipe.init(jax.random.key(config.seed)), []
    for number in range(1, rounds + 1):
        state, _, metrics = recipe.round(state, (), number, Timer())
        rows.append(metrics)
    return recipe, state, rows


def linear_player(kernels, optimizer):
    """A player whose dense layers have these kernels and no biases."""
    params = {
        f"Dense_{number}": {
            "kernel": jnp.asarray(kernel, jnp.float32),
            "bias": jnp.zeros(kernel.shape[1]),
        }
        for number, kernel in enumerate(kernels)
    }
    return Player(params=params, state={}, opt_state=optimizer.init(params))
