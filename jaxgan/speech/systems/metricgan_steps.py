"""The networks and steps of MetricGAN: pure functions of a run state and a batch.

`metricgan` puts them together to the paper's algorithm. Fu, Liao, Tsao and Lin, ICML 2019; Fu et
al., Interspeech 2021.
"""

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan.core.state import Metrics, Player, PyTree, RunState, begin, descend, make_player
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.registry import score_names
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    make_masking,
    masked_feature,
    resynthesise,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import MetricDiscriminator
from jaxgan.speech.networks.stft import magnitude, stft
from jaxgan.speech.systems import mask_regression


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run; bound to the steps before they are compiled.

    Attributes:
        masking: front end and generator.
        discriminator: the surrogate of a score.
        discriminators: the players that are one, each for a score of its own.
        weights: of what each of them says in G's loss.
        generator_optimizer: of G.
        warmup_optimizer: of G in warm-up rounds; it shares the generator optimizer's state.
        discriminator_optimizer: of D.
        target: the score, on D's scale, that G asks each for; below 1 it assigns a worse one. Or
            one for every utterance of the corpus, float32 [n].
        average_decay: of the average of G's parameters; 0: none is kept.
        through_waveform: D judges the features of the resynthesised waveform, and G's gradient
            passes through it; otherwise D judges the masked feature itself.
    """

    masking: Masking
    discriminator: MetricDiscriminator
    discriminators: tuple[str, ...]
    weights: tuple[float, ...]
    generator_optimizer: optax.GradientTransformation
    warmup_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    target: float | np.ndarray
    average_decay: float
    through_waveform: bool


def init(key: jax.Array, *, system: System) -> RunState:
    """All players before their first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    frames = system.discriminator.least_frames
    feature = jnp.zeros((1, frames, system.masking.front_end.bins))
    count = jnp.full((1,), frames)
    generator = system.masking.generator.init(generator_key, feature, count)
    averaged = system.average_decay > 0
    players = {"generator": make_player(generator, system.generator_optimizer, averaged)}
    for number, name in enumerate(system.discriminators):
        own_key = jax.random.fold_in(discriminator_key, number)
        discriminator = system.discriminator.init(own_key, feature, feature, count)
        players[name] = make_player(discriminator, system.discriminator_optimizer)
    return begin(run_key, players)


def judge(
    system: System,
    player: Player,
    candidate: jax.Array,
    clean: jax.Array,
    lengths: jax.Array,
) -> tuple[jax.Array, PyTree]:
    """D's prediction for candidate features, float32 [B], and D's state after the call."""
    return system.discriminator.apply(
        {"params": player.params, **player.state},
        candidate,
        clean,
        system.masking.frames(lengths),
        mutable=list(player.state),
    )


class Lesson(NamedTuple):
    """What D learns from one batch.

    Attributes:
        clean: int16 [B, T].
        candidates: K kinds of int16 [B, T], such as clean, enhanced, noisy.
        labels: float32 [B, K, S], of S scores; NaN takes no part: a candidate without a score, or
            a padding row.
        lengths: int32 [B], samples.
    """

    clean: jax.Array
    candidates: Sequence[jax.Array]
    labels: jax.Array
    lengths: jax.Array


def discriminator_step(
    run_state: RunState, lesson: Lesson, *, system: System
) -> tuple[RunState, Metrics]:
    """Each D moves once: sum over kinds of the mean of (D(candidate, clean) - label)^2.

    With the kinds clean (label 1) and enhanced (label Q') this is the paper's loss of D; MetricGAN+
    adds the kind noisy.

    Returns:
        The state, and from before the update `loss` [], the sum of theirs, and `prediction`
        [B, K, S].
    """
    clean, candidates, labels, lengths = lesson
    batch, kinds, _ = labels.shape
    waveforms = jnp.stack(candidates, axis=1).reshape(batch * kinds, -1)
    feature = system.masking.feature_of(as_float(waveforms))
    clean_feature = jnp.repeat(system.masking.feature_of(as_float(clean)), kinds, axis=0)
    lengths = jnp.repeat(lengths, kinds)

    def loss(
        params: PyTree, state: PyTree, targets: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        player = Player(params=params, state=state, opt_state=())
        prediction, state = judge(system, player, feature, clean_feature, lengths)
        prediction = prediction.reshape(batch, kinds)
        known = jnp.isfinite(targets)
        error = prediction - jnp.where(known, targets, 0)
        value = jnp.sum(masked_mean(error**2, known, axis=0))
        return value, (state, {"loss": value, "prediction": prediction})

    reports = []
    for number, name in enumerate(system.discriminators):
        own_loss = functools.partial(loss, targets=labels[..., number])
        run_state, metrics = descend(run_state, name, own_loss, system.discriminator_optimizer)
        reports.append(metrics)
    return run_state, {
        "loss": jnp.sum(jnp.stack([metrics["loss"] for metrics in reports])),
        "prediction": jnp.stack([metrics["prediction"] for metrics in reports], axis=-1),
    }


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: the mean of (D(G(noisy), clean) - target)^2 (the paper's loss of G).

    With several scores it is the weighted sum of theirs. D is a fixed function here: neither its
    parameters nor its state change.
    """
    masking = system.masking
    key = jax.random.fold_in(run_state.key, run_state.step)
    spectrum = stft(as_float(batch.noisy), masking.front_end)
    noisy_feature = masking.compress(magnitude(spectrum))
    clean_feature = masking.feature_of(as_float(batch.clean))
    target = jnp.asarray(system.target, jnp.float32)
    if target.ndim:
        target = target[batch.index]

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        feature = masked_feature(masking, params, noisy_feature, batch.lengths, key)
        if system.through_waveform:
            feature = masking.feature_of(resynthesise(masking, feature, spectrum, batch.lengths))
        value = jnp.zeros(())
        for name, weight in zip(system.discriminators, system.weights, strict=True):
            player = run_state.players[name]
            prediction, _ = judge(system, player, feature, clean_feature, batch.lengths)
            error = prediction - target
            value += weight * masked_mean(error**2, batch.lengths > 0)
        return value, (state, {"loss": value})

    return descend(run_state, "generator", loss, system.generator_optimizer, system.average_decay)


def warmup_step(run_state: RunState, batch: Batch, *, system: System) -> tuple[RunState, Metrics]:
    """G moves once, supervised: mean |masked feature - clean feature|. In neither paper."""
    supervised = mask_regression.System(
        system.masking, "l1", system.warmup_optimizer, system.average_decay
    )
    return mask_regression.generator_step(run_state, batch, system=supervised)


def discriminator_names(scores: Sequence[str]) -> tuple[str, ...]:
    """The player that learns each score."""
    if len(scores) == 1:
        return ("discriminator",)
    return tuple("discriminator_" + re.sub(r"\W", "_", name) for name in scores)


def make_system(config: ConfigDict) -> System:
    """The networks and optimizers of a config."""
    scores = score_names(config.score)
    discriminator = MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype))

    return System(
        masking=make_masking(config),
        discriminator=discriminator,
        discriminators=discriminator_names(scores),
        weights=tuple(config.score_weights) or (1.0,) * len(scores),
        generator_optimizer=adam(config, config.generator_learning_rate),
        warmup_optimizer=adam(config, config.warmup_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        target=config.target,
        average_decay=config.average_decay,
        through_waveform=config.through_waveform,
    )
