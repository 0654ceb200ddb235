"""The interface of a system: the recipe that the run loop drives, and the declaration."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Timer

Media = Callable[[str], Any]
"""A tag -> the tensorboardX Summary that shows one clip, image, text or figure under that tag."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of a validation.

    Attributes:
        metrics: logged as valid/NAME, or under their own name if it contains a slash. NaN stands
            for a measure without a value; it does not stop the run.
        objective: higher is better; the best checkpoint has the highest. NaN is never the best.
        media: shown in TensorBoard, by tag.
        shown: how many of the metrics, from the first, the progress display shows.
    """

    metrics: Mapping[str, float]
    objective: float
    media: Mapping[str, Media] = dataclasses.field(default_factory=dict)
    shown: int = 1


class Recipe(Protocol):
    """One system, as the run loop drives it.

    With several processes, every process calls every method in the same order and must return the
    same numbers; history records are complete in each process.

    Attributes:
        files: small files, bytes by name, that the loop stores in the run's folder: what the
            networks need in order to be used (a vocabulary), and what identifies the data. A run
            continues only if they are unchanged.
        optional_players: the players that the run named by `config.init_from` may lack. They start
            from their initial values.
        reports: small files, bytes by name, that the loop writes to the run's folder at each
            start. It removes a file of an earlier start for which there are no bytes now.
        fresh_players: the players that never start from those of `config.init_from`.
        history_window: how many of the last rounds' records later rounds need; None: all of them.
        phase_starts: the rounds, in ascending order, from which a round does other work than
            before, such as the first adversarial round. The progress display estimates the time
            left for each phase separately.
    """

    @property
    def files(self) -> Mapping[str, bytes]:
        """See above."""

    @property
    def reports(self) -> Mapping[str, bytes]:
        """See above."""

    @property
    def optional_players(self) -> tuple[str, ...]:
        """See above."""

    @property
    def fresh_players(self) -> tuple[str, ...]:
        """See above."""

    @property
    def history_window(self) -> int | None:
        """See above."""

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """See above."""

    def init(self, key: jax.Array) -> RunState:
        """Returns the state before round 1, placed on the mesh; a pure function of the key."""

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains for one round (1, 2, ...).

        Everything random or chosen depends only on the state, the history and the number; this is
        what makes a resumed run repeat the uninterrupted one. `state` may be donated. Transfers
        between host and devices are explicit (device_put and device_get); implicit ones raise.

        Returns:
            The state after the round, the round's record (empty if later rounds need nothing), and
            metrics: scalars, logged as train/NAME, or under their own name if it contains a slash.
            `throughput/X` is an amount processed in this round, logged as
            `throughput/X_per_second`; the seconds in which the round waited for compilations do not
            count. A metric that is not finite stops the run, so a measure that is undefined in
            this round must be left out.
        """

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Starts the validation of round `number`; changes nothing.

        Returns:
            A function that waits for the result. The loop calls it after it has trained the next
            round, which may donate `state`: everything that needs the state must have been
            dispatched to the devices before `evaluate` returns.
        """

    def close(self) -> None:
        """Stops worker processes and threads. The code that made the recipe calls it once."""


@dataclasses.dataclass(frozen=True)
class SampleRequest:
    """The options of sample.py. A system refuses those that it does not support.

    Attributes:
        count: how many samples, at least 1.
        seed: the seed of the draw.
        output: a file or folder; None for standard output.
        temperature: divides the logits of sequences; None if it was not given.
        label: the class of the samples; None for any.
        seed_index: which of the seeds that were trained together, from 0.
        interpolate: how many images lead from one latent code to another, at least 2; None for
            independent samples.
        text: the beginning of a text to continue, or the text that handwriting spells; None for
            neither.
        prime: an .npz file of handwriting to continue; None for none.
        bias: 0 or more, how strongly likely points of handwriting are preferred; None if it was not
            given.
    """

    count: int
    seed: int
    output: str | None
    temperature: float | None = None
    label: str | None = None
    seed_index: int = 0
    interpolate: int | None = None
    text: str | None = None
    prime: str | None = None
    bias: float | None = None


@dataclasses.dataclass(frozen=True)
class TranslationRequest:
    """The options of sample.py --input.

    Attributes:
        input: a picture, or a folder of pictures.
        output: the folder that translations are written to.
        direction: "a_to_b" or "b_to_a"; None for the first that the system has learned.
        seed: the seed of the noise of generators that have some.
        seed_index: which of the seeds that were trained together, from 0.
    """

    input: str
    output: str
    direction: str | None = None
    seed: int = 0
    seed_index: int = 0


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """The options of eval.py. A system refuses those that it does not support.

    Attributes:
        data: a folder with the test set; None for the held-out data of the run.
        output: a folder for the results; None for one in the run's folder.
        scores: the names of scores, separated by commas; "" for the default ones.
        seed_index: which of the seeds that were trained together, from 0.
    """

    data: str | None = None
    output: str | None = None
    scores: str = ""
    seed_index: int = 0


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What a system can do. Each system's file has one, named DECLARATION, for the commands.

    Attributes:
        make: (config, mesh) -> recipe, for train.py.
        evaluate: (workdir, checkpoint, request) scores what a trained run generates, for eval.py;
            None if the system cannot.
        enhance: (workdir, checkpoint) -> the trained enhancer, for enhance.py; None if the system
            cannot.
        sample: (workdir, checkpoint, request) draws from a trained run, for sample.py; None if the
            system cannot.
        translate: (workdir, checkpoint, request) turns pictures into pictures of another domain,
            for sample.py --input; None if the system cannot.
        compare: (workdirs, command, data, checkpoint, output, scores) compares trained runs, for
            jaxgan.compare; `command` is `jaxgan.recipes.command`. None if the system cannot.
        load: (workdir, checkpoint, seed_index) -> what the run has trained, as a function of
            arrays, for jaxgan.load; None if the system cannot.
        may_change: config keys that influence no number, such as a count of worker processes. A run
            may continue with other values for them.
        check: (config) raises UserError, naming the key, for a value that the system cannot use;
            for commands that read the config of a run, which may have been changed by hand. None if
            nothing is left to check.
    """

    make: Callable[[ConfigDict, Mesh], Recipe]
    evaluate: Callable[..., None] | None = None
    enhance: Callable[..., Any] | None = None
    sample: Callable[..., None] | None = None
    translate: Callable[..., None] | None = None
    compare: Callable[..., None] | None = None
    load: Callable[..., Any] | None = None
    may_change: tuple[str, ...] = ()
    check: Callable[[ConfigDict], None] | None = None
