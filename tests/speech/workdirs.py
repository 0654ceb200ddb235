"""Run folders without training: tiny generators with random weights, saved by the real code."""

from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.state import make_player, make_run_state
from jaxgan.speech import enhancer
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.networks.masking import make_denoiser, make_masking

CONFIG = Path(__file__).parents[2] / "configs" / "metricgan.py"
TINY = ("generator.layers=1", "generator.width=4", "generator.dense=8")


def tiny_config(*overrides: str) -> ConfigDict:
    """configs/metricgan.py with a generator of a few thousand parameters."""
    return configs.load(str(CONFIG), [f"--config.{item}" for item in (*TINY, *overrides)])


def tiny_params(config: ConfigDict, seed: int = 0):
    """Parameters whose masks differ much between frames, frequencies and utterances."""
    masking = make_masking(config)
    feature = jnp.zeros((1, 8, masking.front_end.bins))
    params = masking.generator.init(jax.random.key(seed), feature, jnp.array([8]))["params"]
    return jax.tree.map(lambda leaf: 3 * leaf, params)


def make_enhancer(config: ConfigDict, params, mesh) -> Enhancer:
    return Enhancer(config, make_denoiser(config), params, mesh)


def load(workdir: Path, checkpoint: str = "best") -> Enhancer:
    return enhancer.load(workdir, checkpoint, make_denoiser)


def make_workdir(place: Path, *overrides: str, rounds: int = 1) -> Path:
    """A run's folder with the checkpoints of its rounds, of which the first is the best."""
    config = tiny_config(*overrides)
    place.mkdir(parents=True)
    configs.write(config, place)
    checkpoints = Checkpoints(place)
    for number in range(1, rounds + 1):
        player = make_player({"params": tiny_params(config, number)}, optax.identity())
        state = make_run_state(jax.random.key(0), {"generator": player})
        position = Position(round=number, best_round=1, best_objective=1.0)
        checkpoints.save(state, ({},) * number, position)
    checkpoints.close()
    return place
