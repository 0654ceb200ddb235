"""MetricGAN+'s round in plain PyTorch: the updates that jaxgan makes, in the usual style.

Written from the description of the method. It can run in two ways:

- one utterance a batch, a separate update of D for the clean, the enhanced and the noisy speech,
  PyTorch's default layout of images, scores in this process, as in the usual implementation;
- batches of several utterances that respect their lengths, all kinds in one update, PyTorch's
  fastest layout, scores by worker processes, as an optimised implementation would be.

A batch is padded only to its own longest utterance, and G's step computes no gradient for D.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch_networks
from ml_collections import ConfigDict
from torch_networks import HOP, Discriminator, Generator, log_magnitude

from jaxgan.core.state import History
from jaxgan.core.steps import shuffled
from jaxgan.core.timer import Timer
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.batching import build, plan_batches
from jaxgan.speech.data.corpora import Corpus
from jaxgan.speech.data.corpus import PairCorpus, random_generator
from jaxgan.speech.data.replay import make_record, replay_batches
from jaxgan.speech.training import BATCH_ORDER

FULL_SCALE = 32768
ENHANCED = 1

Scores = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(reference int16 [B, T], estimate int16 [B, T], lengths int [B]) -> float32 [B] in [0, 1]."""


class Batch(NamedTuple):
    """Utterances on PyTorch's device, and their data on the host.

    Attributes:
        clean: float32 [B, T], full scale 1.
        noisy: float32 [B, T].
        lengths: int64 [B], samples.
        host: the int16 arrays `clean` and `noisy` [B, T], and `lengths`, `index`, `gain` [B].
    """

    clean: torch.Tensor
    noisy: torch.Tensor
    lengths: torch.Tensor
    host: Mapping[str, np.ndarray]

    @property
    def frames(self) -> torch.Tensor | None:
        """The number of frames without padding, int64 [B]; None if there is no padding."""
        return -(-self.lengths // HOP) + 1 if len(self.lengths) > 1 else None


class ScoredBatch(NamedTuple):
    """What D learns from one batch: K kinds of candidates [B, T] with labels float32 [K, B]."""

    clean: torch.Tensor
    candidates: Sequence[torch.Tensor]
    labels: torch.Tensor
    frames: torch.Tensor | None


class TorchMetricGAN:
    """The networks, their optimizers, and the outputs of earlier rounds.

    Args:
        config: configs/metricgan_plus.py.
        corpus: the training data.
        batch_size: utterances a batch.
        together: D makes one update for all kinds of speech instead of one for each, and its images
            have the channels last.
        scores: computes the true scores.
        place: PyTorch's device.
    """

    def __init__(
        self,
        config: ConfigDict,
        corpus: Corpus,
        batch_size: int,
        together: bool,
        scores: Scores,
        place: torch.device,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.batch_size = batch_size
        self.together = together
        self.scores = scores
        self.place = place
        sizes = config.generator
        self.generator = Generator(sizes.layers, sizes.width, sizes.dense, sizes.floor).to(place)
        sizes = {name: config.discriminator[name] for name in ("channels", "kernels", "dense")}
        self.discriminator = Discriminator(**sizes, channels_last=together).to(place)
        betas = (config.adam_b1, config.adam_b2)
        # The config's learning rate of D is that for one utterance times the batch size.
        rate = config.discriminator_learning_rate * batch_size / config.batch_size
        self.generator_optimizer = torch.optim.Adam(
            [p for p in self.generator.parameters() if p.requires_grad],
            config.generator_learning_rate,
            betas,
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), rate, betas
        )
        self.history: History = ()
        self.noisy_scores: dict[int, float] = {}

    def start_from(self, players: Mapping[str, Any]) -> None:
        """Copies the networks from the players of a jaxgan state, which are NumPy arrays."""
        ours, theirs = players["generator"], players["discriminator"]
        torch_networks.fill(self.generator, torch_networks.generator_parameters(ours.params))
        torch_networks.fill(
            self.discriminator,
            torch_networks.discriminator_parameters(theirs.params)
            | torch_networks.discriminator_vectors(theirs.state),
        )

    def round(self, number: int, timer: Timer) -> dict[str, float]:
        """Trains D, D on past rounds, D again, then G. Returns the mean losses."""
        with self.part(timer, "data"):
            batches = list(self.draw(number))
        with self.part(timer, "enhance"):
            enhanced = [self.enhance(batch) for batch in batches]
        with self.part(timer, "score"):
            labels = [self.label(*pair) for pair in zip(batches, enhanced, strict=True)]
        scored = [self.scored(*three) for three in zip(batches, enhanced, labels, strict=True)]
        with self.part(timer, "discriminator"):
            losses = self.learn(scored)
        with self.part(timer, "replay"):
            self.learn(self.past(number))
        with self.part(timer, "discriminator"):
            losses += self.learn(scored)
        with self.part(timer, "generator"):
            generator_losses = [self.move_generator(batch) for batch in batches]
        with self.part(timer, "record"):
            self.record(batches, enhanced, labels)
        samples = sum(int(batch.host["lengths"].sum()) for batch in batches)
        return {
            "d_loss": sum(map(float, losses)) / (2 * len(scored)),
            "g_loss": sum(map(float, generator_losses)) / len(batches),
            "audio seconds": samples / SAMPLE_RATE,
        }

    @contextmanager
    def part(self, timer: Timer, name: str) -> Iterator[None]:
        """Measures a part of the round, including the work of the device."""
        with timer.part(name):
            yield
            if self.place.type == "cuda":
                torch.cuda.synchronize()

    def draw(self, number: int) -> Iterator[Batch]:
        """Yields the utterances that jaxgan draws in this round, in batches of similar length."""
        config = self.config
        drawn = self.corpus.draw(config.seed, number, config.utterances_per_round)
        lengths = np.array([len(wave) for wave in drawn.clean])
        plans = plan_batches(lengths, self.corpus.bucket_lengths, self.batch_size)
        random = random_generator(config.seed, number, BATCH_ORDER)
        for place in shuffled([plan.length for plan in plans], random):
            yield self.on_device(build(plans[place], drawn))

    def on_device(self, fields: Mapping[str, np.ndarray]) -> Batch:
        """Returns a batch without jaxgan's padding rows and samples after its longest row."""
        kept = fields["lengths"] > 0
        samples = -(-int(fields["lengths"].max()) // HOP) * HOP
        host = {
            name: field[kept, :samples] if field.ndim == 2 else field[kept]
            for name, field in fields.items()
        }
        clean, noisy = (
            torch.from_numpy(host[side]).to(self.place).float() / FULL_SCALE
            for side in ("clean", "noisy")
        )
        lengths = torch.from_numpy(host["lengths"]).long().to(self.place)
        return Batch(clean, noisy, lengths, host)

    def enhance(self, batch: Batch) -> np.ndarray:
        """Returns the enhanced speech, int16 [B, T]."""
        with torch.no_grad():
            rounded = (self.waveform(batch) * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1)
            return rounded.to(torch.int16).cpu().numpy()

    def waveform(self, batch: Batch) -> torch.Tensor:
        """Returns G's enhanced waveforms of a batch, [B, T]."""
        spectrum = torch_networks.stft(batch.noisy)
        feature = torch.log1p(spectrum.abs())
        masked = self.generator(feature, batch.frames) * feature
        return torch_networks.resynthesise(masked, spectrum, batch.lengths, batch.noisy.shape[1])

    def label(self, batch: Batch, enhanced: np.ndarray) -> np.ndarray:
        """Returns the labels of the clean, the enhanced and the noisy speech, float32 [3, B]."""
        host = batch.host
        clean, lengths = host["clean"], host["lengths"]
        noisy = [self.noisy_scores.get(number, np.nan) for number in host["index"].tolist()]
        unknown = np.isnan(noisy)
        scored = np.array(noisy, np.float32)
        if unknown.any():
            scored[unknown] = self.scores(clean[unknown], host["noisy"][unknown], lengths[unknown])
        if isinstance(self.corpus, PairCorpus):
            self.noisy_scores |= dict(zip(host["index"].tolist(), scored.tolist(), strict=True))
        return np.stack([np.ones_like(scored), self.scores(clean, enhanced, lengths), scored])

    def scored(self, batch: Batch, enhanced: np.ndarray, labels: np.ndarray) -> ScoredBatch:
        """Returns candidates of every kind with their labels."""
        made = torch.from_numpy(enhanced).to(self.place).float() / FULL_SCALE
        kinds = (batch.clean, made, batch.noisy)
        return ScoredBatch(
            batch.clean, kinds, torch.from_numpy(labels).to(self.place), batch.frames
        )

    def past(self, number: int) -> Iterator[ScoredBatch]:
        """Yields a share of the outputs of earlier generators, each item once."""
        config = self.config
        for item in replay_batches(
            self.history,
            self.corpus,
            config.replay.share,
            config.replay.most,
            self.batch_size,
            config.seed,
            number,
        ):
            fields = {"clean": item.clean, "noisy": item.enhanced, "lengths": item.lengths}
            batch = self.on_device(fields)
            labels = torch.from_numpy(item.labels[item.lengths > 0].T).to(self.place)
            yield ScoredBatch(batch.clean, [batch.noisy], labels, batch.frames)

    def learn(self, batches: Iterable[ScoredBatch]) -> list[torch.Tensor]:
        """Trains D once on every batch. Returns the losses of its updates."""
        losses = []
        for batch in batches:
            if self.together:
                losses.append(self.move_discriminator(batch))
                continue
            for kind, label in zip(batch.candidates, batch.labels, strict=True):
                one = ScoredBatch(batch.clean, [kind], label[None], batch.frames)
                losses.append(self.move_discriminator(one))
        return losses

    def move_discriminator(self, batch: ScoredBatch) -> torch.Tensor:
        """Makes one update of D. Returns its loss, a sum over kinds."""
        kinds = len(batch.candidates)
        feature = log_magnitude(torch.cat(list(batch.candidates)))
        clean = log_magnitude(batch.clean).repeat(kinds, 1, 1)
        frames = None if batch.frames is None else batch.frames.repeat(kinds)
        prediction = self.discriminator(feature, clean, frames).view(kinds, -1)
        known = batch.labels.isfinite()
        errors = (prediction - batch.labels.nan_to_num()) ** 2 * known
        loss = (errors.sum(1) / known.sum(1).clamp(min=1)).sum()
        self.descend(self.discriminator, self.discriminator_optimizer, loss)
        return loss.detach()

    def move_generator(self, batch: Batch) -> torch.Tensor:
        """Makes one update of G through the waveform and leaves D unchanged. Returns the loss."""
        self.discriminator.requires_grad_(False).eval()
        feature = log_magnitude(self.waveform(batch))
        prediction = self.discriminator(feature, log_magnitude(batch.clean), batch.frames)
        loss = ((prediction - self.config.target) ** 2).mean()
        self.descend(self.generator, self.generator_optimizer, loss)
        self.discriminator.requires_grad_(True).train()
        return loss.detach()

    def descend(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor
    ) -> None:
        """Makes one step of an optimizer with a limited norm of the gradient."""
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)
        optimizer.step()

    def record(
        self, batches: Sequence[Batch], enhanced: Sequence[np.ndarray], labels: Sequence[np.ndarray]
    ) -> None:
        """Adds this round's enhanced speech to the history."""
        index, gain, lengths = (
            np.concatenate([batch.host[name] for batch in batches])
            for name in ("index", "gain", "lengths")
        )
        label = np.concatenate([rows[ENHANCED] for rows in labels])[:, None]
        made = [row for rows in enhanced for row in rows]
        self.history = (*self.history, make_record(index, gain, lengths, made, label))
