"""Uses a trained agent: sample.py, eval.py and `jaxgan.load`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.environments.environment import observation_size
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
from jaxgan.core.players import deploy
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.seeds import load_seed
from jaxgan.reporting.summary import destination, report
from jaxgan.reporting.tables import write_csv

ANIMATION, RETURNS = "episode.gif", "returns.csv"

GYMNASIUM = "gymnasium:"
"""The prefix of the name of an environment of Gymnasium in --data."""

MakeAgent = Callable[[ConfigDict], Agent]


def declare(make: Callable[[ConfigDict, Mesh], Recipe], make_agent: MakeAgent) -> Declaration:
    """Returns the declaration of a system that trains an agent.

    Args:
        make: makes the recipe.
        make_agent: (config) -> the agent of a run.
    """

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        refuse_flags(
            "agents do not use it",
            temperature=request.temperature,
            label=request.label,
            interpolate=request.interpolate,
            text=request.text,
            prime=request.prime,
            bias=request.bias,
        )
        if request.output is None:
            raise UserError("--output: give a folder to write the episodes to")
        trained = _load(workdir, checkpoint, request.seed_index, make_agent)
        played = _play(trained, request.seed, request.count)
        folder = Path(request.output).expanduser()
        _write(folder, played)
        steps = int(played.lengths[0])
        states = jax.tree.map(lambda leaf: leaf[:steps, 0], played.states)
        pictures = [
            trained.agent.environment.draw(jax.tree.map(lambda leaf, step=step: leaf[step], states))
            for step in range(steps)
        ]
        with writable(folder):
            (folder / ANIMATION).write_bytes(gif(pictures))
        print(f"wrote {request.count} returns and the first episode to {folder}")

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        data = request.data or ""
        name = data.removeprefix(GYMNASIUM) if data.startswith(GYMNASIUM) else ""
        why = f"an agent is measured by the episodes it plays, also in {GYMNASIUM}NAME"
        refuse_flags(why, data=None if name else request.data, scores=request.scores or None)
        trained = _load(workdir, checkpoint, request.seed_index, make_agent)
        agent, count = trained.agent, trained.config.validation.episodes
        seed = trained.config.seed + request.seed_index + 1  # no validation has used it
        if name:
            act = jax.jit(trained.act)
            played = play_in_gymnasium(name, agent.environment, act, seed, count)
        else:
            played = _play(trained, seed, count)
        _write(destination(trained.folder, request.output), played)
        found = {name: float(value) for name, value in agent.measure(played).items()}
        report(trained.folder, request.output, count, found)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> Policy:
        trained = _load(workdir, checkpoint, seed_index, make_agent)
        return Policy(trained.act, observation_size(trained.agent.environment))

    return Declaration(make, evaluate=evaluate, sample=sample, load=load)


class Trained(NamedTuple):
    """A trained agent.

    Attributes:
        folder: the folder of its run.
        config: the config of its run.
        agent: how it acts.
        act: its preferences.
    """

    folder: epath.Path
    config: ConfigDict
    agent: Agent
    act: Preferences


def _load(
    workdir: epath.PathLike, checkpoint: str, seed_index: int, make_agent: MakeAgent
) -> Trained:
    """Returns a trained agent.

    Args:
        workdir: the run's folder.
        checkpoint: best, last or a round.
        seed_index: which of the seeds that were trained together.
        make_agent: (config) -> the agent of a run.

    Raises:
        UserError: there is no such checkpoint or seed, or it does not fit the config of the run.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    configs.check_values(config, CHOICES, RANGES)
    players = deploy(load_seed(folder, checkpoint, seed_index), devices.make_mesh())
    with configs.fits(folder):
        agent = make_agent(config)
        size = observation_size(agent.environment)
        jax.eval_shape(agent.prefer, players, jax.ShapeDtypeStruct((1, size), np.float32))
    return Trained(folder, config, agent, functools.partial(agent.prefer, players))


def _play(trained: Trained, seed: int, count: int) -> Played:
    """Returns episodes of a trained agent as NumPy arrays."""
    environment, act = trained.agent.environment, trained.act
    program = jax.jit(lambda key: play(environment, act, key, count))
    played: Played = jax.device_get(program(jax.random.key(seed)))
    return played


def _write(folder: Path, played: Played) -> None:
    """Writes the return and the length of each episode as CSV."""
    numbers = [str(number) for number in range(len(played.returns))]
    columns = {"return": np.asarray(played.returns), "length": np.asarray(played.lengths)}
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / RETURNS, {"episode": numbers}, columns)
