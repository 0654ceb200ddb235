"""What a discriminator that predicts scores learns from: candidates, and scores as their labels.

The labels are computed inside a compiled step (`Labels.in_step`), or by the host while the devices
do something else (`Labels.submit`). Noisy speech is scored only once if the pairs of the corpus
never change.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import History
from jaxgan.speech.data.batching import Batch, Rows
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.training import Training


class Lesson(NamedTuple):
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


class Labels:
    """Labels the candidates of a run.

    Args:
        kinds: the kinds of candidates, in the order clean, enhanced, noisy, perhaps without some.
        training: scores, corpus and devices.
    """

    def __init__(self, kinds: Sequence[str], training: Training) -> None:
        self.kinds = tuple(kinds)
        self._training = training
        self._fixed = isinstance(training.corpus, PairCorpus)
        shape = (len(training.corpus), len(training.scores.names))
        self._noisy_labels = np.full(shape, np.nan, np.float32)
        self._known = np.zeros(len(training.corpus), bool)
        self._stack = training.by_rows(self._labels)

    def lesson(self, batch: Batch, enhanced: jax.Array, labels: jax.Array) -> Lesson:
        """Returns the lesson of a batch; labels are float32 [B, K, S]."""
        candidates = {"clean": batch.clean, "enhanced": enhanced, "noisy": batch.noisy}
        kinds = tuple(candidates[kind] for kind in self.kinds)
        return Lesson(batch.clean, kinds, labels, batch.lengths)

    def known(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Returns the labels of a batch's noisy speech that need not be computed.

        Returns:
            float32 [B, S], and bool [B], whether they are known. The labels of an utterance that is
            known to have no score are NaN.
        """
        known = (rows.index >= 0) & self._known[rows.index]
        return np.where(known[:, None], self._noisy_labels[rows.index], np.float32(np.nan)), known

    def remember(self, rows: Sequence[Rows], labels: Sequence[np.ndarray]) -> None:
        """Stores the noisy speech's labels for later rounds, from float32 [B, K, S] of batches."""
        if not self._fixed or "noisy" not in self.kinds:
            return
        for row, label in zip(rows, labels, strict=True):
            filled = row.index >= 0
            self._noisy_labels[row.index[filled]] = label[filled, -1]
            self._known[row.index[filled]] = True

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
        self, batches: Sequence[Batch], enhanced: Sequence[jax.Array], rows: Sequence[Rows]
    ) -> Callable[[], tuple[list[jax.Array], list[np.ndarray]]]:
        """Starts to score batches.

        Args:
            batches: clean and noisy speech.
            enhanced: int16 [B, T] of each batch.
            rows: of each batch.

        Returns:
            A function that waits for what `in_step` returns, of each batch; the labels are on the
            devices.
        """
        scores, mesh, fetch = self._training.scores, self._training.mesh, self._training.fetch
        known = [self.known(row) for row in rows]
        of_enhanced = [
            scores.submit(batch.clean, made, batch.lengths)
            for batch, made in zip(batches, enhanced, strict=True)
        ]
        of_noisy = []
        if "noisy" in self.kinds:
            for batch, row, (_, is_known) in zip(batches, rows, known, strict=True):
                lengths = devices.put_sharded(np.where(is_known, 0, row.lengths), mesh)
                of_noisy.append(scores.submit(batch.clean, batch.noisy, lengths))

        def collect() -> tuple[list[jax.Array], list[np.ndarray]]:
            raw = fetch([wait() for wait in of_enhanced])
            noisy_raw = fetch([wait() for wait in of_noisy]) or raw
            labels = []
            for batch, own, noisy, (noisy_labels, is_known) in zip(
                batches, raw, noisy_raw, known, strict=True
            ):
                fresh = np.where(is_known[:, None], noisy_labels, scores.normalise(noisy))
                placed = devices.put_sharded((scores.normalise(own), fresh), mesh)
                labels.append(self._stack(batch.lengths, *placed))
            return labels, raw

        return collect

    def require_scores(self, labels: Sequence[np.ndarray], history: History) -> None:
        """Raises UserError if no enhanced utterance had a score, neither now nor in the history."""
        place = self.kinds.index("enhanced")
        if any(np.isfinite(label[:, place]).any() for label in labels):
            return
        if not any(len(record.get("labels", ())) for record in history):
            raise UserError(
                f"config.score={','.join(self._training.scores.names)}: no enhanced utterance has "
                "a score, so there is nothing to learn from; the warnings above say why, or try "
                "the score on a file with jaxgan.scores.get"
            )

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
