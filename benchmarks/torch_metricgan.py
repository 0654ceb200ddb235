"""MetricGAN+'s round in plain PyTorch: the updates that jaxgan makes, as others write them.

Written from the description of the method. Two ways to run it:

- one utterance a batch, a separate update of D for the clean, the enhanced and the noisy speech,
  PyTorch's default layout of images, scores in this process: as the known recipe does;
- batches of several utterances that respect their lengths, all kinds in one update, the layout that
  PyTorch is fastest with, scores by worker processes: as a good engineer would write it.

A batch is padded to its own longest utterance only, and no gradient of D is computed for G's step.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch_networks
from jaxgan.core.phase import shuffled
from ml_collections import ConfigDict
from torch_networks import HOP, Discriminator, Generator, log_magnitude

from jaxgan.core.state import History
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
    """Utterances on PyTorch's device, and on the host what they are.

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
        """int64 [B], those that are not padding; None where none is."""
        return -(-self.lengths // HOP) + 1 if len(self.lengths) > 1 else None


class Lesson(NamedTuple):
    """What D learns from one batch: K kinds [B, T] of candidates, labels float32 [K, B]."""

    clean: torch.Tensor
    candidates: Sequence[torch.Tensor]
    labels: torch.Tensor
    frames: torch.Tensor | None


class TorchMetricGAN:
    """The networks, their optimizers, and what earlier rounds made.

    Args:
        config: configs/metricgan_plus.py.
        corpus: the training data.
        batch_size: utterances a batch.
        together: one update of D for all kinds of speech, not one for each, and channels last.
        scores: true scores.
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
        # The config's rate of D is that of one utterance times the batch.
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

    def begin_with(self, players: Mapping[str, Any]) -> None:
        """Takes the networks of a jaxgan state: its players, in NumPy."""
        ours, theirs = players["generator"], players["discriminator"]
        torch_networks.fill(self.generator, torch_networks.generator_parameters(ours.params))
        torch_networks.fill(
            self.discriminator,
            torch_networks.discriminator_parameters(theirs.params)
            | torch_networks.discriminator_vectors(theirs.state),
        )

    def round(self, number: int, timer: Timer) -> dict[str, float]:
        """D learns, learns from the past, learns again; then G learns. Mean losses."""
        with self.part(timer, "data"):
            batches = list(self.draw(number))
        with self.part(timer, "enhance"):
            enhanced = [self.enhance(batch) for batch in batches]
        with self.part(timer, "score"):
            labels = [self.label(*pair) for pair in zip(batches, enhanced, strict=True)]
        lessons = [self.lesson(*three) for three in zip(batches, enhanced, labels, strict=True)]
        with self.part(timer, "discriminator"):
            losses = self.learn(lessons)
        with self.part(timer, "replay"):
            self.learn(self.past(number))
        with self.part(timer, "discriminator"):
            losses += self.learn(lessons)
        with self.part(timer, "generator"):
            generator_losses = [self.move_generator(batch) for batch in batches]
        with self.part(timer, "record"):
            self.record(batches, enhanced, labels)
        samples = sum(int(batch.host["lengths"].sum()) for batch in batches)
        return {
            "d_loss": sum(map(float, losses)) / (2 * len(lessons)),
            "g_loss": sum(map(float, generator_losses)) / len(batches),
            "audio seconds": samples / SAMPLE_RATE,
        }

    @contextmanager
    def part(self, timer: Timer, name: str) -> Iterator[None]:
        """Times a part of the round, the device's work included."""
        with timer.part(name):
            yield
            if self.place.type == "cuda":
                torch.cuda.synchronize()

    def draw(self, number: int) -> Iterator[Batch]:
        """The utterances that jaxgan draws in this round, in batches of like length."""
        config = self.config
        drawn = self.corpus.draw(config.seed, number, config.utterances_per_round)
        lengths = np.array([len(wave) for wave in drawn.clean])
        plans = plan_batches(lengths, self.corpus.bucket_lengths, self.batch_size)
        random = random_generator(config.seed, number, BATCH_ORDER)
        for place in shuffled([plan.length for plan in plans], random):
            yield self.on_device(build(plans[place], drawn))

    def on_device(self, fields: Mapping[str, np.ndarray]) -> Batch:
        """A batch without jaxgan's padding rows and without samples behind the longest row."""
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
        """int16 [B, T]."""
        with torch.no_grad():
            rounded = (self.waveform(batch) * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1)
            return rounded.to(torch.int16).cpu().numpy()

    def waveform(self, batch: Batch) -> torch.Tensor:
        """What G makes of a batch, [B, T]."""
        spectrum = torch_networks.stft(batch.noisy)
        feature = torch.log1p(spectrum.abs())
        masked = self.generator(feature, batch.frames) * feature
        return torch_networks.resynthesise(masked, spectrum, batch.lengths, batch.noisy.shape[1])

    def label(self, batch: Batch, enhanced: np.ndarray) -> np.ndarray:
        """float32 [3, B]: labels of the clean, the enhanced and the noisy."""
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

    def lesson(self, batch: Batch, enhanced: np.ndarray, labels: np.ndarray) -> Lesson:
        """Candidates of every kind beside their labels."""
        made = torch.from_numpy(enhanced).to(self.place).float() / FULL_SCALE
        kinds = (batch.clean, made, batch.noisy)
        return Lesson(batch.clean, kinds, torch.from_numpy(labels).to(self.place), batch.frames)

    def past(self, number: int) -> Iterator[Lesson]:
        """A share of what earlier generators made, each item once."""
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
            yield Lesson(batch.clean, [batch.noisy], labels, batch.frames)

    def learn(self, lessons: Iterable[Lesson]) -> list[torch.Tensor]:
        """D learns from every lesson once; the losses of its updates."""
        losses = []
        for lesson in lessons:
            if self.together:
                losses.append(self.move_discriminator(lesson))
                continue
            for kind, label in zip(lesson.candidates, lesson.labels, strict=True):
                one = Lesson(lesson.clean, [kind], label[None], lesson.frames)
                losses.append(self.move_discriminator(one))
        return losses

    def move_discriminator(self, lesson: Lesson) -> torch.Tensor:
        """One update of D; its loss, a sum over kinds."""
        kinds = len(lesson.candidates)
        feature = log_magnitude(torch.cat(list(lesson.candidates)))
        clean = log_magnitude(lesson.clean).repeat(kinds, 1, 1)
        frames = None if lesson.frames is None else lesson.frames.repeat(kinds)
        prediction = self.discriminator(feature, clean, frames).view(kinds, -1)
        known = lesson.labels.isfinite()
        errors = (prediction - lesson.labels.nan_to_num()) ** 2 * known
        loss = (errors.sum(1) / known.sum(1).clamp(min=1)).sum()
        self.descend(self.discriminator, self.discriminator_optimizer, loss)
        return loss.detach()

    def move_generator(self, batch: Batch) -> torch.Tensor:
        """One update of G through the waveform; its loss. D stays as it is."""
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
        """One step of an optimizer, the gradient's norm limited."""
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)
        optimizer.step()

    def record(
        self, batches: Sequence[Batch], enhanced: Sequence[np.ndarray], labels: Sequence[np.ndarray]
    ) -> None:
        """Keeps what this round's G made for later rounds."""
        index, gain, lengths = (
            np.concatenate([batch.host[name] for batch in batches])
            for name in ("index", "gain", "lengths")
        )
        label = np.concatenate([rows[ENHANCED] for rows in labels])[:, None]
        made = [row for rows in enhanced for row in rows]
        self.history = (*self.history, make_record(index, gain, lengths, made, label))
