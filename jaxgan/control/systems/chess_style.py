"""Style transfer GAN that learns to play chess like one player (Chidambaram and Qi 2017).

The generator G gives a position a value for the player who sees it, and plays the legal move after
which that value is highest. D judges whether a move in a position is the player's own. x is a
position of a game, y the one after the move that was played, r one after another, random legal
move, and s the sigmoid:

    D takes a step down  -log s(D(x, y)) on moves of the player
                         -(1 - g) log(1 - s(D(x, y))) on moves of others
                         -g log(1 - s(D(x, the move of y or r that G plays))) where the player moved
    G takes a step down  -log s(G(y) - G(r))                        the ranking of Deep Pink
                         -log s(G(y) - G(x)) - log s(G(x) - G(y))   a good move keeps the value
                         -w sum_m p(m) log s(D(x, m)),  p = softmax of G over y and the r

w is `style_weight` and g is `generated_share`. The authors value a position for White and change
the sign of the ranking for Black; here Black sees a mirrored board. In their program (model.py) the
style never reaches G: D is given the one move that G prefers, as data, so the gradient of that term
with respect to G is zero. The expectation over moves has a gradient. Their D is a Wasserstein
critic that ends in a sigmoid, and its clipped weights are never assigned; here it is a GAN's.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import log_sigmoid
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.control.chess.commands import declare
from jaxgan.control.chess.dataset import TRAIN, VALID, open_dataset
from jaxgan.control.chess.games import Resident, candidates
from jaxgan.control.chess.measures import Judge
from jaxgan.control.chess.positions import SQUARES
from jaxgan.control.chess.settings import check
from jaxgan.control.networks.position import Evaluator, StyleDiscriminator
from jaxgan.core import devices
from jaxgan.core.recipe import Recipe
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import (
    LossResult,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.nn.masked import masked_mean

PER_PROGRAM = 100
"""The most steps in one compiled program. A batch is only its indices, so many fit."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        evaluator: G.
        discriminator: D.
        optimizers: the optimizers of the players "evaluator" and "discriminator".
        alternatives: K, the random moves that a played one is compared with.
        style_weight: w of the style in the loss of G.
        generated_share: g of the moves of G among what D should reject.
    """

    evaluator: Evaluator
    discriminator: StyleDiscriminator
    optimizers: dict[str, optax.GradientTransformation]
    alternatives: int
    style_weight: float
    generated_share: float

    def value(self, players: Players, squares: jax.Array) -> jax.Array:
        """Returns G of positions, uint8 [..., 64]: float32 [...]."""
        return jnp.asarray(self.evaluator.apply(players["evaluator"].variables, squares))

    def judge(self, players: Players, before: jax.Array, following: jax.Array) -> jax.Array:
        """Returns D of positions [..., 64] and those after M moves [..., M, 64]: [..., M]."""
        variables = players["discriminator"].variables
        return jnp.asarray(self.discriminator.apply(variables, before, following))


def initial(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first step: random networks."""
    g_key, d_key, run_key = jax.random.split(key, 3)
    board = jnp.zeros((1, SQUARES), jnp.uint8)
    networks = {
        "evaluator": system.evaluator.init(g_key, board),
        "discriminator": system.discriminator.init(d_key, board, board[:, None]),
    }
    players = {
        name: make_player(variables, system.optimizers[name])
        for name, variables in networks.items()
    }
    return make_run_state(run_key, players)


def discriminator_step(
    run_state: RunState, rows: jax.Array, data: Resident, *, system: System
) -> StepResult:
    """Moves D once.

    Args:
        run_state: before the step.
        rows: int32 [2, B], positions of the player and of others.
        data: all positions.
        system: what is fixed.

    Returns:
        The state, `d_loss` [], and the mean outputs of D, `d_own` and `d_other`.
    """
    share, key = system.generated_share, step_key(run_state, 0)
    before, following, exists = candidates(data, rows[0], key, system.alternatives)
    before_other, after_other, _ = candidates(data, rows[1], key, 0)
    shown = following[:, :1]
    if share:
        values = jnp.where(exists, system.value(run_state.players, following), -jnp.inf)
        best = jnp.argmax(values, axis=1)[:, None, None]
        generated = jnp.take_along_axis(following, best, axis=1)
        shown = jnp.concatenate([shown, generated], axis=1)

    def loss(players: Players) -> LossResult:
        on_own, *on_generated = system.judge(players, before, shown).T
        on_other = system.judge(players, before_other, after_other)[:, 0]
        value = -log_sigmoid(on_own).mean() - (1 - share) * log_sigmoid(-on_other).mean()
        for logits in on_generated:
            value -= share * log_sigmoid(-logits).mean()
        metrics = {"d_loss": value, "d_own": on_own.mean(), "d_other": on_other.mean()}
        return value, ({}, metrics)

    moving = {"discriminator": system.optimizers["discriminator"]}
    return descend(run_state, moving, loss)


def evaluator_step(
    run_state: RunState, rows: jax.Array, data: Resident, *, system: System
) -> StepResult:
    """Moves G once, on positions of the player and of others, rows int32 [2, B].

    Returns:
        The state and the three terms of the loss.
    """
    key = step_key(run_state)
    before, following, exists = candidates(data, rows.T.reshape(-1), key, system.alternatives)

    def loss(players: Players) -> LossResult:
        start, values = (system.value(players, each) for each in (before, following))
        better = values[:, :1] - values[:, 1:]
        ranking = masked_mean(-log_sigmoid(better), exists[:, 1:])
        kept = values[:, 0] - start
        equality = -(log_sigmoid(kept) + log_sigmoid(-kept)).mean()
        chances = jax.nn.softmax(values, axis=1, where=exists)
        style = -(chances * log_sigmoid(system.judge(players, before, following))).sum(1).mean()
        value = ranking + equality + system.style_weight * style
        return value, ({}, {"ranking": ranking, "equality": equality, "style": style})

    return descend(run_state, {"evaluator": system.optimizers["evaluator"]}, loss)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D once for every pair of minibatches, rows int32 [n, 2, B], then G on the last pair."""
    for each in rows:
        run_state, of_discriminator = discriminator_step(run_state, each, data, system=system)
    run_state, of_evaluator = evaluator_step(run_state, rows[-1], data, system=system)
    return run_state, of_discriminator | of_evaluator


def make_system(config: ConfigDict) -> System:
    """Returns what is fixed during a run of a config."""
    widths, dtype = tuple(config.widths), jnp.dtype(config.dtype)
    rates = {
        "evaluator": config.evaluator_learning_rate,
        "discriminator": config.discriminator_learning_rate,
    }
    return System(
        evaluator=Evaluator(widths, dtype),
        discriminator=StyleDiscriminator(widths, dtype),
        optimizers={
            name: optax.adamw(rate, weight_decay=config.weight_decay)
            for name, rate in rates.items()
        },
        alternatives=config.alternatives,
        style_weight=config.style_weight,
        generated_share=config.generated_share,
    )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config, mesh)
    system, dataset = make_system(config), open_dataset(config)
    train, steps = dataset.parts[TRAIN], config.steps_per_round
    shape = (steps, config.discriminator_steps, config.batch_size)
    sharding = NamedSharding(mesh, jax.P(None, None, devices.DATA))

    def draw(number: int) -> Draw:
        random = np.random.default_rng((config.seed, number))
        rows = [random.choice(train.of(own), shape) for own in (True, False)]
        batches = devices.put(list(np.stack(rows, axis=2)), sharding)
        return Draw(batches, {"moves": 2.0 * math.prod(shape)})

    data = dataset.games.place(mesh)
    judge = Judge(system, dataset, data, VALID, config.validation.positions, mesh)
    return StepRecipe(
        mesh,
        init=functools.partial(initial, system=system),
        step=functools.partial(step, system=system),
        moves=("evaluator", "discriminator"),
        draw=draw,
        evaluate=judge.evaluate,
        files=dataset.files,
        shared=(data,),
        batches=min(PER_PROGRAM, steps),
    )


DECLARATION = declare(make, make_system)
