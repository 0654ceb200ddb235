"""What sample.py and eval.py do with a trained agent."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.environments.environment import Environment
from jaxgan.control.environments.named import make_environment
from jaxgan.control.evaluation.animation import gif
from jaxgan.control.evaluation.episodes import Agent, Played, Preferences, play
from jaxgan.control.evaluation.gymnasium import play_in_gymnasium
from jaxgan.control.policy import Policy
from jaxgan.control.settings import CHOICES, RANGES
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, writable
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.seeds import load_seed
from jaxgan.reporting.summary import destination, report
from jaxgan.reporting.tables import write_csv

ANIMATION, RETURNS = "episode.gif", "returns.csv"

GYMNASIUM = "gymnasium:"
"""Precedes, in --data, the name of an environment of Gymnasium."""

MakeAgent = Callable[[ConfigDict], Agent]


def declare(make: Callable[[ConfigDict, Mesh], Recipe], make_agent: MakeAgent) -> Declaration:
    """Returns the declaration of a system that trains an agent.

    Args:
        make: makes the recipe.
        make_agent: (config) -> the agent of a run.
    """

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        refuse_flags(
            "an agent plays episodes",
            temperature=request.temperature,
            label=request.label,
            interpolate=request.interpolate,
            text=request.text,
            prime=request.prime,
            bias=request.bias,
        )
        if request.output is None:
            raise UserError("--output: name the folder that episodes are written to")
        config = configs.read(absolute(workdir))
        environment = make_environment(config.env)
        act = _load(workdir, checkpoint, request.seed_index, make_agent(config))
        played = _play(workdir, environment, act, request.seed, request.count)
        folder = Path(request.output).expanduser()
        _write(folder, played)
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
        name = (request.data or "").removeprefix(GYMNASIUM)
        why = f"an agent is measured by the episodes it plays, also in {GYMNASIUM}NAME"
        refuse_flags(why, data=name == request.data and name, scores=request.scores)
        folder = absolute(workdir)
        config = configs.read(folder)
        agent, count = make_agent(config), config.validation.episodes
        seed = config.seed + request.seed_index + 1  # no validation has used it
        act = _load(folder, checkpoint, request.seed_index, agent)
        if name:
            trained_in = make_environment(config.env)
            played = play_in_gymnasium(name, trained_in, jax.jit(act), seed, count)
        else:
            played = _play(folder, make_environment(config.env), act, seed, count)
        _write(destination(folder, request.output), played)
        found = {name: float(value) for name, value in agent.measure(played).items()}
        report(folder, request.output, count, found)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> Policy:
        config = configs.read(absolute(workdir))
        environment = make_environment(config.env)
        first = jax.eval_shape(environment.reset, jax.random.key(0))
        size = jax.eval_shape(environment.observe, first).size
        return Policy(_load(workdir, checkpoint, seed_index, make_agent(config)), size)

    return Declaration(make, evaluate=evaluate, sample=sample, load=load)


def _load(workdir: epath.PathLike, checkpoint: str, seed_index: int, agent: Agent) -> Preferences:
    """Returns the preferences of a trained agent.

    Args:
        workdir: the run's folder.
        checkpoint: best, last or a round.
        seed_index: which of the seeds that were trained together.
        agent: of the run.

    Raises:
        UserError: there is no such checkpoint or seed.
    """
    folder = absolute(workdir)
    configs.check_values(configs.read(folder), CHOICES, RANGES)
    loaded = load_seed(folder, checkpoint, seed_index)
    players = {name: player.without_training() for name, player in loaded.items()}
    placed = devices.put_replicated(players, devices.make_mesh())
    return functools.partial(agent.prefer, placed)


def _play(
    workdir: epath.PathLike, environment: Environment, act: Preferences, seed: int, count: int
) -> Played:
    """Returns episodes of a trained agent as NumPy arrays.

    Raises:
        UserError: the agent does not fit the config of its run.
    """
    key = jax.random.key(seed)
    with configs.fits(absolute(workdir)):
        program = jax.jit(lambda key: play(environment, act, key, count)).lower(key)
    played: Played = jax.device_get(program.compile()(key))
    return played


def _write(folder: Path, played: Played) -> None:
    """Writes the return and the length of each episode as CSV."""
    numbers = [str(number) for number in range(len(played.returns))]
    columns = {"return": np.asarray(played.returns), "length": np.asarray(played.lengths)}
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / RETURNS, {"episode": numbers}, columns)
