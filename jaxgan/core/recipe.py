"""What a recipe gives to the run loop: the one interface between a system and `core`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax

from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Timer

Media = Callable[[str], Any]
"""Makes a tensorboardX Summary with the tag that it is given."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What validation found.

    Attributes:
        metrics: logged as valid/NAME, or as they are where the name has a slash. NaN where there
            was nothing to measure, which stops no run.
        objective: higher is better; the best checkpoint is the one with the highest. NaN is never
            the best.
        media: shown in TensorBoard, by name.
        shown: how many of the metrics, the first ones, stand beside the progress.
    """

    metrics: Mapping[str, float]
    objective: float
    media: Mapping[str, Media] = dataclasses.field(default_factory=dict)
    shown: int = 1


class Recipe(Protocol):
    """One system, as the loop drives it.

    A recipe may have an attribute `keeps`: small files, bytes by name, without which its networks
    cannot be used (a vocabulary), or which tell its data from others. The loop keeps them in the
    run's folder, and a run goes on only where they are the same. It may have an attribute
    `begin_anew`: names of players that the run which `init_from` names need not have.

    With several processes, every process calls every method in the same order and has to return
    the same numbers: history records are whole in each of them.
    """

    def init(self, key: jax.Array) -> RunState:
        """The state before round 1, placed on the mesh; a pure function of the key."""

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains for one round (1, 2, ...).

        Everything random or chosen depends on (the state, the history, the number) alone: that is
        what makes a resumed run repeat the uninterrupted one. `state` may be donated. Transfers
        between host and devices are written down with device_put and device_get; implicit ones
        raise.

        Returns:
            The state after the round, the round's record (empty where later rounds need nothing),
            and metrics: scalars, logged as train/NAME, or as they are where the name has a slash.
            `throughput/X` is an amount handled in this round, logged as `throughput/X_per_second`.
            Every metric must be finite: one that is not stops the run, so a measure that was
            undefined this round is left out.
        """

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Begins the validation of round `number`; changes nothing.

        Returns:
            What waits for it. The loop calls that when the next round is trained, which may donate
            `state`: all that needs the state has been asked of the devices by then.
        """

    def close(self) -> None:
        """Ends worker processes and threads; its maker calls it once, the loop does not."""
