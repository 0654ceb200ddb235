"""The parts that DQN and PPO share: rounds, validations, clipped gradients, metrics of episodes."""

import functools
from collections.abc import Callable, Sequence

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.environments.environment import Outcome
from jaxgan.control.evaluation.episodes import Agent, play
from jaxgan.core import metrics, seeds
from jaxgan.core.recipe import Recipe
from jaxgan.core.rounds import Draw, StepRecipe, evaluate_with
from jaxgan.core.state import Metrics, PyTree, RunState
from jaxgan.core.steps import Step

VALIDATION = 2**31 - 1
"""The stream of random numbers of validations."""


def open_training(
    config: ConfigDict,
    mesh: Mesh,
    *,
    agent: Agent,
    init: Callable[[jax.Array], RunState],
    step: Step,
    moves: Sequence[str],
    steps: int,
    per_program: int,
    shardings: PyTree = None,
) -> Recipe:
    """Returns the recipe of an agent that plays and learns in one compiled loop.

    Args:
        config: the config of the run.
        mesh: the devices.
        agent: how the players act; validations play in its environment.
        init: (key) -> the state of one seed before the first step; pure.
        step: the step of one seed; its batch is empty, since what it needs is in the run state.
        moves: the names of the players that the step changes.
        steps: how many of them a round has.
        per_program: the most of them in one compiled program.
        shardings: as `StepRecipe`.
    """

    def validate(state: RunState) -> dict[str, jax.Array]:
        prefer = functools.partial(agent.prefer, state.players)
        key = jax.random.fold_in(state.key, VALIDATION)
        return agent.measure(play(agent.environment, prefer, key, config.validation.episodes))

    evaluate = evaluate_with(validate, lambda found: found["eval/return"], mesh)
    played = {"environment_steps": float(config.steps_per_round * config.seeds)}
    several = config.seeds > 1
    return StepRecipe(
        mesh,
        init=seeds.stacked_init(init, config.seed, config.seeds) if several else init,
        step=seeds.stacked_step(step) if several else step,
        moves=moves,
        draw=lambda number: Draw([()] * steps, played),
        evaluate=seeds.stacked_evaluate([evaluate] * config.seeds) if several else evaluate,
        batches=min(per_program, steps),
        shardings=shardings,
        summarise=seeds.of_round if several else metrics.of_round,
    )


def clipped(optimizer: optax.GradientTransformation, bound: float) -> optax.GradientTransformation:
    """Returns an optimizer that first clips the gradient's global norm; 0 does not clip.

    Args:
        optimizer: the optimizer that gets the clipped gradient.
        bound: the highest norm, or 0.
    """
    if bound:
        return optax.chain(optax.clip_by_global_norm(bound), optimizer)
    return optimizer


def of_ended(outcome: Outcome) -> Metrics:
    """Returns the mean return and length of the episodes that ended in some steps."""
    return {
        "return": metrics.average_of(outcome.total, outcome.ended),
        "length": metrics.average_of(outcome.steps, outcome.ended),
    }
