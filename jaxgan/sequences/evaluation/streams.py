"""Measures a network that predicts long sequences, and draws from it."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.recipe import Evaluation, Media
from jaxgan.core.state import PyTree, RunState
from jaxgan.sequences.data.stream_corpora import Streams
from jaxgan.sequences.data.streams import Chunk, Item, cut_all
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.networks.continuation import continue_values
from jaxgan.sequences.networks.heads import Characters, Head
from jaxgan.sequences.networks.language_model import with_params
from jaxgan.sequences.networks.stacked_lstm import StackedLSTM, State


class StreamSampler:
    """Draws sequences.

    Args:
        network: the network.
        head: says what its outputs mean.
        vocabulary: the characters of a text, or of what handwriting writes.
    """

    def __init__(self, network: StackedLSTM, head: Head, vocabulary: Vocabulary) -> None:
        self.network = network
        self.head = head
        self.vocabulary = vocabulary
        draw = functools.partial(continue_values, network=network, head=head)
        self._draw = jax.jit(draw, static_argnames="steps")

    def check(self, params: PyTree) -> None:
        """Raises an error of flax's unless parameters have the shapes of the network's."""
        state = self.network.initial_state(1)
        values, text = jnp.zeros((1, 1, self.head.reads)), jnp.zeros((1, 1), jnp.int32)
        jax.eval_shape(with_params(self.network, params), state, values, text)

    def draw(
        self,
        params: PyTree,
        key: jax.Array,
        beginnings: Sequence[Item],
        length: int,
        setting: float,
    ) -> list[np.ndarray]:
        """Returns one sequence for each beginning, which it includes.

        Args:
            params: the parameters of the network, on the devices.
            key: the PRNG key of the draw.
            beginnings: values to continue, at least one each, and what a window reads. A sequence
                ends where the pen is first lifted after its window has passed the text. (The paper,
                section 5.3, ends at the point where it passes, in the middle of the last letter.)
            length: how many values follow the longest beginning, at most.
            setting: the temperature of characters, or the bias of handwriting.
        """
        lengths = np.array([len(item.values) for item in beginnings], np.int32)
        longest = int(lengths.max())
        shape = len(beginnings), longest, *beginnings[0].values.shape[1:]
        values = np.zeros(shape, beginnings[0].values.dtype)
        characters = max(len(item.text) for item in beginnings)
        text = np.zeros((len(beginnings), characters), np.int32)
        for row, item in enumerate(beginnings):
            values[row, : len(item.values)] = item.values
            text[row, : len(item.text)] = item.text
        steps = longest - 1 + length
        arguments = params, key, values, lengths, text, np.float32(setting)
        drawn, passed = jax.device_get(self._draw(*arguments, steps=steps))
        found = []
        for row, item in enumerate(beginnings):
            own = len(item.values) - 1
            values = drawn[row, : own + length]
            if self.network.components:
                over = passed[row, own : own + length] & (values[own:, 2] > 0.5)
                values = values[: own + int(np.argmax(over)) + 1] if over.any() else values
            found.append(np.concatenate([item.values[:1], values]))
        return found

    def start(self) -> Item:
        """Returns what a sequence without a beginning starts with: a new line, or a pen at rest."""
        if not isinstance(self.head, Characters):
            return Item(np.zeros((1, 3), np.float32))
        tokens = self.vocabulary.tokens
        return Item(np.array([tokens.index("\n") if "\n" in tokens else 0], np.int32))

    def text_of(self, values: np.ndarray) -> str:
        """Returns characters, int [n], as text."""
        return "".join(self.vocabulary.tokens[number] for number in values)


class StreamValidation:
    """Measures networks by held-out sequences and by what they draw.

    Args:
        config: the config of the run.
        network: the network.
        head: says what its outputs mean.
        corpus: the data.
        mesh: the devices.
    """

    def __init__(
        self, config: ConfigDict, network: StackedLSTM, head: Head, corpus: Streams, mesh: Mesh
    ) -> None:
        self.sampler = StreamSampler(network, head, corpus.vocabulary)
        self.corpus = corpus
        self._network, self._head, self._mesh = network, head, mesh
        self._config = config
        rows = devices.sharded(mesh)
        whole = devices.replicated(mesh)
        score = functools.partial(score_chunk, network=network, head=head)
        self._score = jax.jit(score, out_shardings=(rows, whole))

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Measures the network of a state, after round `number`."""
        params = state.players["network"].deployed
        samples = self.draw(params, number)
        metrics = self.measure(params, samples, self.corpus.valid)
        objective = -metrics[f"eval/{self._head.measure}"]
        found = Evaluation(metrics, objective, self._media(samples))
        return lambda: found

    def draw(self, params: PyTree, number: int) -> list[np.ndarray]:
        """Returns the samples of round `number`; a window reads texts of held-out sequences."""
        settings, start = self._config.validation, self.sampler.start()
        texts = [item.text for item in self.corpus.valid if len(item.text)]
        beginnings = [
            start._replace(text=texts[row % len(texts)]) if texts else start
            for row in range(settings.samples)
        ]
        key = jax.random.fold_in(jax.random.key(self._config.seed), number)
        setting = 1.0 if isinstance(self._head, Characters) else 0.0
        return self.sampler.draw(params, key, beginnings, settings.length, setting)

    def measure(
        self, params: PyTree, samples: Sequence[np.ndarray], items: Sequence[Item]
    ) -> dict[str, float]:
        """Returns the mean -log p of sequences, and of a text how its samples differ from it.

        `eval/total_variation` is half the sum of the absolute differences between the shares of
        each character in the samples and in the held-out text.
        """
        found = {f"eval/{self._head.measure}": self.nll(params, items) * self._head.scale}
        if isinstance(self._head, Characters):
            drawn = np.concatenate([sample[1:] for sample in samples])
            held_out = np.concatenate([item.values for item in items])
            shares, others = (
                np.bincount(values, minlength=self._head.size) / len(values)
                for values in (drawn, held_out)
            )
            found["eval/total_variation"] = float(np.abs(shares - others).sum() / 2)
        return found

    def nll(self, params: PyTree, items: Sequence[Item]) -> float:
        """Returns the mean -log p, in nats, of all values of sequences but their first."""
        rows, steps = self._config.batch_size, self._config.steps
        rows += -rows % self._mesh.size
        characters = self.corpus.characters if self._network.components else 0
        chunks = cut_all(items, rows, steps, characters)
        state = devices.put_sharded(self._network.initial_state(rows), self._mesh)
        totals = []
        for chunk in devices.put_sharded(chunks, self._mesh):
            state, total = self._score(params, state, chunk)
            totals.append(total)
        count = sum(int(chunk.valid.sum()) for chunk in chunks)
        return float(np.sum(jax.device_get(totals), dtype=np.float64) / count)

    def _media(self, samples: Sequence[np.ndarray]) -> dict[str, Media]:
        """Returns some samples as text, or as a drawing."""
        from jaxgan.reporting import media  # it imports matplotlib
        from jaxgan.sequences.evaluation.drawing import pixels

        if isinstance(self._head, Characters):
            return {"samples": media.text(self.sampler.text_of(samples[0][1:]))}
        return {"samples": media.image(np.asarray(pixels(samples)))}


def score_chunk(
    params: PyTree, state: State, chunk: Chunk, *, network: StackedLSTM, head: Head
) -> tuple[State, jax.Array]:
    """Returns the state after a chunk, and the sum of -log p of its values, in nats; pure."""
    state = network.forget(state, chunk.starts)
    values = jnp.asarray(chunk.values)
    read = head.inputs(values[:, :-1])
    state, outputs, _ = with_params(network, params)(state, read, chunk.text)
    return state, jnp.sum(jnp.where(chunk.valid, head.nll(outputs, values[:, 1:]), 0))
