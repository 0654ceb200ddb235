"""The network of Graves (2013), "Generating sequences with recurrent neural networks".

    read a chunk of every row, from the state in which the chunk before it has left the network
    the loss is the sum of -log p(next value | all values before it in its sequence)
        of text: a softmax over the characters
        of handwriting: a mixture of bivariate Gaussians over the offset, a Bernoulli over the pen
    clip the derivative of the loss with respect to the outputs, and, step by step backwards through
        the chunk, with respect to the gates of the LSTMs before their activations
    take a step down it

The derivatives do not pass from a chunk to the one before (truncated back-propagation through time,
sections 3.1 and 3.2). Since they are clipped, the loss is a sum over the chunk's steps and rows, as
it is in the paper over the steps of a sequence: a mean would make the bounds meaningless.

Sampling draws a value and reads it as the next one. It may continue a given beginning (priming), be
biased towards likely values, and, with a window, write a given text (sections 5.3 to 5.5).

Not as in the paper: the cells have no peephole connections, a step has several rows, and there is
neither weight noise nor dynamic evaluation.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices, settings
from jaxgan.core.errors import UserError
from jaxgan.core.metrics import average_of
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
)
from jaxgan.nn.recurrent import clip_gradient
from jaxgan.sequences.data.stream_corpora import STROKES, TEXTS, Streams, open_streams
from jaxgan.sequences.data.streams import Chunk, Reader
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.evaluation.streams import StreamSampler, StreamValidation
from jaxgan.sequences.networks.heads import Characters, Head, PenPoints
from jaxgan.sequences.networks.language_model import with_params
from jaxgan.sequences.networks.stacked_lstm import StackedLSTM
from jaxgan.sequences.stream_commands import declare

NETWORK = "network"
MOST_BATCHES = 32
"""The most batches in one compiled program."""
LAST_RATE = 0.01
"""The share of the learning rate that is left when it has decayed."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        network: the stack of LSTMs.
        head: says what its outputs mean.
        optimizer: the optimizer of the network.
        output_clip: bound of the derivatives with respect to the outputs; infinity does not clip.
        rows: the number of rows of a batch.
    """

    network: StackedLSTM
    head: Head
    optimizer: optax.GradientTransformation
    output_clip: float
    rows: int


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update; in memory, what each row remembers: nothing."""
    network_key, run_key = jax.random.split(key)
    memory = system.network.initial_state(system.rows)
    first = jnp.zeros((system.rows, 1, system.head.reads))
    text = jnp.zeros((system.rows, 1), jnp.int32)
    variables = system.network.init(network_key, memory, first, text)
    return make_run_state(run_key, {NETWORK: make_player(variables, system.optimizer)}, memory)


def step(run_state: RunState, chunk: Chunk, *, system: System) -> StepResult:
    """Reads one chunk and moves the network once.

    Returns:
        The state, in whose memory every row has read its chunk, and the mean -log p.
    """
    head = system.head
    memory = system.network.forget(run_state.memory, chunk.starts)
    values, valid = jnp.asarray(chunk.values), jnp.asarray(chunk.valid)

    def loss(players: Players) -> LossResult:
        network = with_params(system.network, players[NETWORK].params)
        after, outputs, _ = network(memory, head.inputs(values[:, :-1]), chunk.text)
        outputs = clip_gradient(outputs, system.output_clip)
        nll = jnp.where(valid, head.nll(outputs, values[:, 1:]), 0)
        found = {head.measure: average_of(nll * head.scale, valid), "memory": after}
        return jnp.sum(nll), ({}, found)

    run_state, found = descend(run_state, {NETWORK: system.optimizer}, loss)
    return dataclasses.replace(run_state, memory=found.pop("memory")), found


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Returns the optimizer of a config.

    RMSProp is that of the paper (equations 38 to 45): it divides by the root of the mean square
    around the mean, plus 1e-4, over about the last 20 updates.
    """
    rate: optax.ScalarOrSchedule = config.learning_rate
    if config.decay_updates:
        last = LAST_RATE * config.learning_rate
        rate = optax.linear_schedule(config.learning_rate, last, config.decay_updates)
    return {
        "adam": lambda: optax.adam(rate),
        "rmsprop": lambda: optax.rmsprop(
            rate, decay=0.95, eps=1e-4, centered=True, momentum=config.momentum
        ),
        "sgd": lambda: optax.sgd(rate, momentum=config.momentum),
    }[config.optimizer]()


def make_system(config: ConfigDict, characters: int) -> System:
    """Returns what is fixed during a run.

    Args:
        config: the config of the run.
        characters: different ones of the text, or of the texts that handwriting writes.
    """
    head: Head = Characters(characters)
    if config.data.kind in STROKES:
        head = PenPoints(config.components)
    return System(
        network=StackedLSTM(
            *(config.width, config.layers, head.outputs),
            clip=config.clip or math.inf,
            components=config.window,
            characters=characters if config.window else 0,
        ),
        head=head,
        optimizer=make_optimizer(config),
        output_clip=config.output_clip or math.inf,
        rows=config.batch_size,
    )


def check(config: ConfigDict) -> None:
    """Raises UserError, naming the key, if a setting cannot be used."""
    choices = {"optimizer": ("adam", "rmsprop", "sgd"), "data.kind": (*TEXTS, *STROKES)}
    positive = ("updates_per_round", "steps", "layers", "width", "components", "data.count")
    sizes = (*positive, "validation.samples", "validation.length")
    limits = ("window", "clip", "output_clip", "learning_rate", "decay_updates", "data.seed")
    one: tuple[float, float] = (1, math.inf)
    zero: tuple[float, float] = (0, math.inf)
    ranges = {
        **settings.RANGES,
        **dict.fromkeys(sizes, one),
        **dict.fromkeys(limits, zero),
        "momentum": (0, 0.9999),
        "data.held_out_share": (0.001, 0.4),
    }
    configs.check_values(config, {**settings.CHOICES, **choices}, ranges)
    if config.dtype != "float32":
        raise UserError(f"config.dtype={config.dtype}: this system computes in float32")
    if config.window and config.data.kind in TEXTS:
        raise UserError(
            f"config.window={config.window}: only handwriting reads a text; set it to 0"
        )


def check_window(config: ConfigDict, corpus: Streams) -> None:
    """Raises UserError if the config has a window and the data have nothing for it to read."""
    if config.window and not corpus.characters:
        raise UserError(
            f"config.window={config.window}: the data hold no text for it to read; set it to 0"
        )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config)
    settings.check_devices(config, mesh)
    corpus = open_streams(config)
    check_window(config, corpus)
    system = make_system(config, len(corpus.vocabulary.tokens))
    characters = corpus.characters if config.window else 0
    reader = Reader(corpus.epochs, config.batch_size, config.steps, characters)
    validation = open_validation(config, mesh, corpus)
    bind = functools.partial(functools.partial, system=system)
    whole = devices.replicated(mesh)

    def draw(number: int) -> Draw:
        first = (number - 1) * config.updates_per_round
        chunks = [reader.read(first + place) for place in range(config.updates_per_round)]
        read = float(sum(chunk.valid.sum() for chunk in chunks))
        unit = "points" if config.data.kind in STROKES else "characters"
        return Draw(devices.put_sharded(chunks, mesh), {unit: read})

    return StepRecipe(
        mesh,
        init=bind(init),
        step=bind(step),
        moves=(NETWORK,),
        draw=draw,
        evaluate=validation.evaluate,
        files=corpus.files,
        batches=min(config.updates_per_round, MOST_BATCHES),
        shardings=RunState(whole, whole, whole, devices.sharded(mesh)),  # type: ignore[arg-type]
    )


def open_validation(config: ConfigDict, mesh: Mesh, corpus: Streams) -> StreamValidation:
    """Returns what measures the networks of a config."""
    system = make_system(config, len(corpus.vocabulary.tokens))
    return StreamValidation(config, system.network, system.head, corpus, mesh)


def make_sampler(config: ConfigDict, vocabulary: Vocabulary) -> StreamSampler:
    """Returns what draws from the networks of a config."""
    system = make_system(config, len(vocabulary.tokens))
    return StreamSampler(system.network, system.head, vocabulary)


DECLARATION = declare(make, open_validation, make_sampler, check)
