"""The run state: one pytree that holds everything the compiled steps of a run read and change."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

PyTree = Any
Metrics = dict[str, Any]
"""Named results of a step: scalars, arrays, or the accumulators of `core.metrics`."""
Record = Mapping[str, np.ndarray]
"""What one round leaves for later rounds, in host memory; it never changes."""
History = tuple[Record, ...]
"""One record a round. A checkpoint lists them next to the run state; each is written once."""


@struct.dataclass
class Player:
    """One network that is trained.

    Attributes:
        params: the parameters, which the optimizer moves.
        state: all other variables of the network: batch statistics, spectral-norm vectors.
        opt_state: the state of the optimizer.
        average: a running average of `params` over updates; empty if none is kept.
    """

    params: PyTree
    state: PyTree
    opt_state: PyTree
    average: PyTree = struct.field(default_factory=dict)

    @property
    def variables(self) -> PyTree:
        """The variables that the network's `apply` takes: parameters and non-trained state."""
        return {"params": self.params, **self.state}

    @property
    def deployed(self) -> PyTree:
        """The parameters to validate and use: the running average if there is one."""
        return self.average or self.params

    def without_training(self) -> "Player":
        """Returns the player with its deployed parameters and without what only training needs."""
        return Player(params=self.deployed, state=self.state, opt_state=())


@struct.dataclass
class RunState:
    """Everything on the devices that a run needs in order to continue.

    Attributes:
        players: the players by name, such as "generator" and "discriminator".
        step: int32 [], the number of updates so far, counted over all players.
        key: PRNG key []. It never changes; random draws fold the step into it (`step_key`).
        memory: state that is neither network nor optimizer, such as BEGAN's k or a replay buffer.
            Its arrays may be sharded over the devices.
    """

    players: dict[str, Player]
    step: jax.Array
    key: jax.Array
    memory: PyTree


Players = dict[str, Player]
"""The players of a run by name."""
LossResult = tuple[jax.Array, tuple[dict[str, PyTree], Metrics]]
"""(loss [], (the new non-trained state of moving players by name, metrics)). A player that is left
out of the mapping keeps its state."""
StepResult = tuple[RunState, Metrics]
"""The state after a step, and the metrics of the step."""


def make_run_state(key: jax.Array, players: dict[str, Player], memory: PyTree = ()) -> RunState:
    """Returns the state of a run before its first update."""
    return RunState(players=players, step=jnp.zeros((), jnp.int32), key=key, memory=memory)


def make_player(
    variables: PyTree, optimizer: optax.GradientTransformation, averaged: bool = False
) -> Player:
    """Returns a player with the variables that a flax.linen module's `init` returned.

    Args:
        variables: the collection "params" and any others.
        optimizer: moves the parameters.
        averaged: whether the player keeps a running average of its parameters.
    """
    state = {name: collection for name, collection in variables.items() if name != "params"}
    params = variables["params"]
    average = params if averaged else {}
    return Player(params=params, state=state, opt_state=optimizer.init(params), average=average)


def step_key(run_state: RunState, stream: int | None = None) -> jax.Array:
    """Returns the PRNG key of the current step.

    Args:
        run_state: gives the run's key and the step.
        stream: distinguishes several draws of one step from each other.
    """
    key = jax.random.fold_in(run_state.key, run_state.step)
    return key if stream is None else jax.random.fold_in(key, stream)


def descend(
    run_state: RunState,
    optimizers: Mapping[str, optax.GradientTransformation],
    loss: Callable[[Players], LossResult],
    average_decay: float = 0.0,
) -> tuple[RunState, Metrics]:
    """Takes one gradient of a loss and moves one or more players one step down it.

    All other players stay as they are, bit for bit.

    Args:
        run_state: the state before the step.
        optimizers: for each player that moves, the transformation that its `opt_state` belongs to.
        loss: receives all players. It is differentiated with respect to the parameters of the
            players that move, all at once.
        average_decay: the share that the running average of a moving player keeps of itself, if the
            player has one.

    Returns:
        The new state, whose step has grown by the number of players that moved, and the metrics.
    """
    players = run_state.players

    def of_params(params: dict[str, PyTree]) -> LossResult:
        moving = {name: dataclasses.replace(players[name], params=params[name]) for name in params}
        return loss({**players, **moving})

    before = {name: players[name].params for name in optimizers}
    gradients, (states, metrics) = jax.grad(of_params, has_aux=True)(before)
    moved = {}
    for name, optimizer in optimizers.items():
        player = players[name]
        updates, opt_state = optimizer.update(gradients[name], player.opt_state, player.params)
        params = optax.apply_updates(player.params, updates)
        average = player.average and optax.incremental_update(
            params, player.average, 1 - average_decay
        )
        state = states.get(name, player.state)
        moved[name] = Player(params=params, state=state, opt_state=opt_state, average=average)
    run_state = dataclasses.replace(
        run_state, players={**players, **moved}, step=run_state.step + len(moved)
    )
    return run_state, metrics
