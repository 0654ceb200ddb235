"""What sample.py and eval.py do with a trained agent."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.environments.named import ENVIRONMENTS
from jaxgan.control.evaluation.animation import gif
from jaxgan.control.evaluation.episodes import Played, measure, play
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, writable
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Players
from jaxgan.reporting.summary import destination, report
from jaxgan.reporting.tables import write_csv

ANIMATION, RETURNS = "episode.gif", "returns.csv"

MakeValues = Callable[[ConfigDict], Callable[[Players, jax.Array], jax.Array]]
"""(config) -> (players, observations float32 [n, D]) -> action values float32 [n, A]."""


def declare(make: Callable[[ConfigDict, Mesh], Recipe], make_values: MakeValues) -> Declaration:
    """Returns the declaration of a system that learns the values of actions.

    Args:
        make: makes the recipe.
        make_values: see `MakeValues`.
    """

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        refuse_flags(
            "an agent plays episodes",
            temperature=request.temperature,
            label=request.label,
            interpolate=request.interpolate,
        )
        if request.output is None:
            raise UserError("--output: name the folder that episodes are written to")
        played = _play(
            *(workdir, checkpoint, request.seed_index),
            *(request.seed, request.count, make_values),
        )
        folder = Path(request.output).expanduser()
        _write(folder, played)
        environment = ENVIRONMENTS[configs.read(absolute(workdir)).env]()
        steps = int(played.lengths[0])
        states = jax.tree.map(lambda leaf: leaf[:steps, 0], played.states)
        pictures = [
            environment.draw(jax.tree.map(lambda leaf, step=step: leaf[step], states))
            for step in range(steps)
        ]
        with writable(folder):
            (folder / ANIMATION).write_bytes(gif(pictures))
        print(f"wrote {request.count} returns and the first episode to {folder}")

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        measured = "an agent is measured by the episodes it plays"
        refuse_flags(measured, data=request.data, scores=request.scores)
        folder = absolute(workdir)
        config = configs.read(folder)
        # No validation has used this seed.
        seed, count = config.seed + request.seed_index + 1, config.validation.episodes
        played = _play(folder, checkpoint, request.seed_index, seed, count, make_values)
        _write(destination(folder, request.output), played)
        found = {name: float(value) for name, value in measure(played).items()}
        report(folder, request.output, count, found)

    return Declaration(make, evaluate=evaluate, sample=sample)


def _play(
    workdir: epath.PathLike,
    checkpoint: str,
    seed_index: int,
    seed: int,
    count: int,
    make_values: MakeValues,
) -> Played:
    """Returns greedy episodes of a trained agent as NumPy arrays.

    Args:
        workdir: the run's folder.
        checkpoint: best, last or a round.
        seed_index: which of the seeds that were trained together.
        seed: of the episodes.
        count: how many.
        make_values: see `MakeValues`.

    Raises:
        UserError: there is no such checkpoint or seed.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    environment, values = ENVIRONMENTS[config.env](), make_values(config)
    loaded = load_seed(folder, checkpoint, seed_index)
    players = {name: player.without_training() for name, player in loaded.items()}
    placed = devices.put_replicated(players, devices.make_mesh())

    @jax.jit
    def program(players: Players, key: jax.Array) -> Played:
        return play(environment, lambda observed: values(players, observed), key, count)

    played: Played = jax.device_get(program(placed, jax.random.key(seed)))
    return played


def _write(folder: Path, played: Played) -> None:
    """Writes the return and the length of each episode as CSV."""
    numbers = [str(number) for number in range(len(played.returns))]
    columns = {"return": np.asarray(played.returns), "length": np.asarray(played.lengths)}
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / RETURNS, {"episode": numbers}, columns)
