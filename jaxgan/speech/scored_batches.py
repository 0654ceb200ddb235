"""The training data of a discriminator that predicts scores: candidates with scores as labels.

The labels of the current utterances are computed inside a compiled step (`BatchScorer.in_step`), or
by the host while the devices do something else (`BatchScorer.submit`). Noisy speech is scored only
once if the pairs of the corpus never change. Enhanced speech and its labels are recorded, and a
share of it is replayed in later rounds.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import History, Record, RunState
from jaxgan.speech.data.batching import Batch, Rows
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.replay import make_record, replay_batches
from jaxgan.speech.evaluation.validation import NOISY_REQUESTS
from jaxgan.speech.training import Training


class ScoredBatch(NamedTuple):
    """What a discriminator learns from one batch.

    Attributes:
        clean: int16 [B, T].
        candidates: K kinds of int16 [B, T], such as clean, enhanced and noisy.
        labels: float32 [B, K, S], of S scores. NaN marks what is not learned: a candidate without a
            score, or a padding row.
        lengths: int32 [B], samples.
    """

    clean: jax.Array
    candidates: Sequence[jax.Array]
    labels: jax.Array
    lengths: jax.Array


class BatchScorer:
    """Scores the batches of a run, and records and replays them.

    Args:
        config: see `clean_teaches`, `noisy_teaches` and `replay` in configs/metricgan.py.
        training: scores, corpus and devices.

    Attributes:
        kinds: the kinds of candidates in their order: clean, enhanced, noisy, or some of them.
        denoiser: applies the generator.
    """

    def __init__(self, config: ConfigDict, training: Training) -> None:
        learns = {"clean": config.clean_teaches, "enhanced": True, "noisy": config.noisy_teaches}
        self.kinds = tuple(kind for kind, included in learns.items() if included)
        self.denoiser = training.denoiser
        self._enhanced = self.kinds.index("enhanced")
        self._config = config
        self._training = training
        self._fixed = isinstance(training.corpus, PairCorpus)
        shape = (len(training.corpus), len(training.scores.names))
        self._noisy_labels = np.full(shape, np.nan, np.float32)
        self._requests = np.zeros(len(training.corpus), np.int64)
        self._stack = training.by_rows(self._labels)

    def of_enhanced(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the enhanced speech's values [n, S] from values [B, K, S] of n / B batches."""
        return np.concatenate(values)[:, self._enhanced]

    def make(self, batch: Batch, enhanced: jax.Array, labels: jax.Array) -> ScoredBatch:
        """Returns a batch with its candidates and their labels float32 [B, K, S]."""
        candidates = {"clean": batch.clean, "enhanced": enhanced, "noisy": batch.noisy}
        kinds = tuple(candidates[kind] for kind in self.kinds)
        return ScoredBatch(batch.clean, kinds, labels, batch.lengths)

    def like(self, batches: Sequence[Batch], replays: bool) -> list[ScoredBatch]:
        """Returns scored batches with the shapes, but not the values, of those of a round.

        Args:
            batches: the batches of the round.
            replays: include those of replayed ones.
        """
        counts = {len(self.kinds), *([1 + self._config.replay.clean] if replays else [])}
        sharding = devices.sharded(self._training.mesh)
        scores = len(self._training.scores.names)

        def shaped(batch: Batch, kinds: int) -> ScoredBatch:
            shape = (len(batch.lengths), kinds, scores)
            labels: Any = jax.ShapeDtypeStruct(shape, np.float32, sharding=sharding)
            return ScoredBatch(batch.clean, (batch.clean,) * kinds, labels, batch.lengths)

        return [shaped(batch, kinds) for batch in batches for kinds in sorted(counts, reverse=True)]

    def with_known_labels(
        self, batches: Sequence[Batch], rows: Sequence[Rows]
    ) -> list[tuple[Batch, tuple[jax.Array, jax.Array]]]:
        """Returns batches with what `known` returns for their rows, on the devices."""
        known = devices.put_sharded(list(map(self.known, rows)), self._training.mesh)
        return list(zip(batches, known, strict=True))

    def known(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Returns the labels of a batch's noisy speech that earlier rounds have computed.

        Returns:
            Labels float32 [B, S], and bool [B], whether an utterance's labels are known. The labels
            of an utterance that is known to have no score are NaN.
        """
        labels, requests = self._noisy_labels[rows.utterance], self._requests[rows.utterance]
        settled = np.isfinite(labels).all(axis=1) | (requests >= NOISY_REQUESTS)
        known = (rows.utterance >= 0) & settled
        return np.where(known[:, None], labels, np.float32(np.nan)), known

    def remember(self, rows: Sequence[Rows], labels: Sequence[np.ndarray]) -> None:
        """Stores the noisy speech's labels for later rounds, from float32 [B, K, S] of batches."""
        if not self._fixed or "noisy" not in self.kinds:
            return
        for row, label in zip(rows, labels, strict=True):
            filled = row.utterance >= 0
            self._noisy_labels[row.utterance[filled]] = label[filled, -1]
            self._requests[row.utterance[filled]] += 1

    def in_step(
        self, batch: Batch, enhanced: jax.Array, known: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Scores a batch, for use inside a jitted step.

        Args:
            batch: clean and noisy speech.
            enhanced: int16 [B, T].
            known: as returned by `known`, on the devices.

        Returns:
            Labels float32 [B, K, S], and raw scores of the enhanced speech, float32 [B, S].
        """
        noisy_labels, is_known = known
        judged, lengths = [enhanced], [batch.lengths]
        if "noisy" in self.kinds:
            judged.append(batch.noisy)
            lengths.append(jnp.where(is_known, 0, batch.lengths))
        # One callback for both. The rows of an utterance are neighbours, so they share a device.
        raw, labels = self._training.scores.in_step(
            jnp.repeat(batch.clean, len(judged), axis=0),
            jnp.stack(judged, axis=1).reshape(-1, batch.clean.shape[1]),
            jnp.stack(lengths, axis=1).reshape(-1),
        )
        raw, labels = (found.reshape(len(enhanced), len(judged), -1) for found in (raw, labels))
        noisy_labels = jnp.where(is_known[:, None], noisy_labels, labels[:, -1])
        return self._labels(batch.lengths, labels[:, 0], noisy_labels), raw[:, 0]

    def submit(
        self, run_state: RunState, batches: Sequence[Batch], rows: Sequence[Rows]
    ) -> Callable[[], tuple[list[ScoredBatch], list[np.ndarray]]]:
        """Enhances batches and sends them to be scored.

        Args:
            run_state: its generator enhances.
            batches: clean and noisy speech.
            rows: the rows of each batch.

        Returns:
            A function that waits for the scored batches, and for the raw scores of the enhanced
            speech, float32 [B, S].
        """
        scores, mesh, fetch = self._training.scores, self._training.mesh, self._training.fetch
        known = [self.known(row) for row in rows]
        enhanced = [self._training.enhance(run_state, batch) for batch in batches]
        of_enhanced = [
            scores.submit(batch.clean, made, batch.lengths)
            for batch, made in zip(batches, enhanced, strict=True)
        ]
        of_noisy = []
        if "noisy" in self.kinds:
            for batch, row, (_, is_known) in zip(batches, rows, known, strict=True):
                lengths = devices.put_sharded(np.where(is_known, 0, row.lengths), mesh)
                of_noisy.append(scores.submit(batch.clean, batch.noisy, lengths))

        def collect() -> tuple[list[ScoredBatch], list[np.ndarray]]:
            raw = fetch([wait() for wait in of_enhanced])
            noisy_raw = fetch([wait() for wait in of_noisy]) or raw
            scored = []
            for place, batch in enumerate(batches):
                noisy_labels, is_known = known[place]
                fresh = scores.normalise(noisy_raw[place])
                noisy_labels = np.where(is_known[:, None], noisy_labels, fresh)
                own_labels = scores.normalise(raw[place])
                placed = devices.put_sharded((own_labels, noisy_labels), mesh)
                labels = self._stack(batch.lengths, *placed)
                scored.append(self.make(batch, enhanced[place], labels))
            return scored, raw

        return collect

    def require_scores(self, labels: Sequence[np.ndarray], history: History) -> None:
        """Raises UserError if no enhanced utterance had a score, neither now nor in the history."""
        if np.isfinite(self.of_enhanced(labels)).any():
            return
        if not any(len(record.get("labels", ())) for record in history):
            raise UserError(
                f"config.score={','.join(self._training.scores.names)}: no enhanced utterance has "
                "a score, so there is nothing to learn from; the warnings above say why, or try "
                "the score on a file with jaxgan.scores.get"
            )

    def record(
        self, scored: Sequence[ScoredBatch], labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> Record:
        """Returns the record that later rounds replay."""
        if not self._config.replay.share:
            return {}
        made = self._training.fetch([batch.candidates[self._enhanced] for batch in scored])
        utterance, gain, lengths = (np.concatenate(field) for field in zip(*rows, strict=True))
        waves = [wave for batch in made for wave in batch]
        return make_record(utterance, gain, lengths, waves, self.of_enhanced(labels))

    def replayed(self, history: History, number: int) -> Iterator[ScoredBatch]:
        """Yields what D learns again in this round: a share of what all earlier rounds recorded."""
        config, replay = self._config, self._config.replay
        items = replay_batches(
            history,
            self._training.corpus,
            replay.share,
            replay.most,
            config.batch_size,
            config.seed,
            number,
        )
        for item in items:
            best = np.where(np.isfinite(item.labels), np.float32(1), np.float32(np.nan))
            labels = np.stack([best, item.labels] if replay.clean else [item.labels], axis=1)
            host = (item.clean, item.enhanced, labels, item.lengths)
            clean, made, placed, lengths = devices.put_sharded(host, self._training.mesh)
            yield ScoredBatch(clean, (clean, made) if replay.clean else (made,), placed, lengths)

    def _labels(
        self, lengths: jax.Array, enhanced_labels: jax.Array, noisy_labels: jax.Array
    ) -> jax.Array:
        best = jnp.where(lengths > 0, jnp.float32(1), jnp.float32(jnp.nan))[:, None]
        labels = {
            "clean": jnp.broadcast_to(best, enhanced_labels.shape),
            "enhanced": enhanced_labels,
            "noisy": noisy_labels,
        }
        return jnp.stack([labels[kind] for kind in self.kinds], axis=1)
