"""The run state: one pytree with all that the compiled steps of a run read and change."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

PyTree = Any
Metrics = dict[str, jax.Array]
Record = Mapping[str, np.ndarray]
"""What one round leaves behind for later rounds, on the host; never changed once made."""
History = tuple[Record, ...]
"""One record a round. The checkpoint holds it beside the run state and writes each record once."""


@struct.dataclass
class Player:
    """One network that is trained.

    Attributes:
        params: what its optimizer moves.
        state: its other variables: batch statistics, spectral-norm vectors.
        opt_state: of its optimizer.
        average: a running average of params over updates; empty where none is kept.
    """

    params: PyTree
    state: PyTree
    opt_state: PyTree
    average: PyTree = struct.field(default_factory=dict)

    @property
    def deployed(self) -> PyTree:
        """What the network is used with outside of training: the average where one is kept."""
        return self.average or self.params


@struct.dataclass
class RunState:
    """Everything on the devices that a run needs to continue.

    Attributes:
        players: by name, e.g. "generator" and "discriminator".
        step: int32 [], updates made so far by all players together.
        key: PRNG key [], never changed; what is random folds the step into it.
        memory: small arrays that are neither network nor optimizer (BEGAN's k, a baseline).
    """

    players: dict[str, Player]
    step: jax.Array
    key: jax.Array
    memory: PyTree


def begin(key: jax.Array, players: dict[str, Player], memory: PyTree = ()) -> RunState:
    """The state of a run before its first update."""
    return RunState(players=players, step=jnp.zeros((), jnp.int32), key=key, memory=memory)


def make_player(
    variables: PyTree, optimizer: optax.GradientTransformation, averaged: bool = False
) -> Player:
    """A player from the variables of a flax.linen module's `init`; `averaged`: with an average."""
    state = {name: collection for name, collection in variables.items() if name != "params"}
    params = variables["params"]
    average = params if averaged else {}
    return Player(params=params, state=state, opt_state=optimizer.init(params), average=average)


def descend(
    run_state: RunState,
    name: str,
    loss: Callable[[PyTree, PyTree], tuple[jax.Array, tuple[PyTree, Metrics]]],
    optimizer: optax.GradientTransformation,
    average_decay: float = 0.0,
) -> tuple[RunState, Metrics]:
    """Moves one player one step down its loss and leaves every other player as it is.

    Args:
        run_state: the state before the step.
        name: the player that moves.
        loss: (params, state) of that player -> (loss [], (its new non-trained state, metrics)).
        optimizer: the transformation that the player's opt_state belongs to.
        average_decay: the share that the player's average keeps of itself, where it has one.
    """
    player = run_state.players[name]
    gradient = jax.grad(loss, has_aux=True)
    gradients, (state, metrics) = gradient(player.params, player.state)
    updates, opt_state = optimizer.update(gradients, player.opt_state, player.params)
    params = optax.apply_updates(player.params, updates)
    average = player.average and optax.incremental_update(params, player.average, 1 - average_decay)
    moved = Player(params=params, state=state, opt_state=opt_state, average=average)
    players = {**run_state.players, name: moved}
    return dataclasses.replace(run_state, players=players, step=run_state.step + 1), metrics
