"""Audio-visual speech enhancement: extracts the talker whose mouth is seen from a mixture.

One round:

    1. draw N utterances, each a mixture, the target talker's speech and a video of the mouth
    2. for every batch, G(mixture, video) learns to equal the target in a random segment of each
       utterance: it moves up the SI-SDR (Le Roux et al., "SDR - half-baked or well done?", 2019).
       Some utterances have no video, and some videos freeze at a random frame, so that G also works
       without video

The scores of a validation are those with the right video. Every validation also measures the SI-SDR
without video, and with the video of the other talker. With the latter, G should keep the other
talker: `of_other_si_sdr` is the SI-SDR of what it returns then, relative to all that is not the
target. It is left out where the other talker is not heard, as in data of kind avsec.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.training_scores import DeviceScore, sharded_device_score
from jaxgan.speech.commands import declare
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.data.videos import FRAME_SAMPLES, VideoArrays, count_frames, gather
from jaxgan.speech.evaluation.videos import VideoValidation, check_videos, place_videos
from jaxgan.speech.networks.audiovisual import (
    AudioVisual,
    init_separator,
    make_audiovisual,
    make_denoiser,
    separate,
)
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.settings import ADAM_RANGES, CHOICES, VIDEO_RANGES, check
from jaxgan.speech.training import open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        network: the generator.
        segment: the video frames of an utterance that G learns from at a time; 0: all.
        dropout: the share of utterances without video in training.
        freeze: the share of utterances whose video freezes at a random frame.
        si_sdr: computes the SI-SDR of a batch.
        optimizer: the optimizer of G.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    network: AudioVisual
    segment: int
    dropout: float
    freeze: float
    si_sdr: DeviceScore
    optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, run_key = jax.random.split(key)
    variables = init_separator(system.network, generator_key)
    player = make_player(variables, system.optimizer, averaged=system.average_decay > 0)
    return make_run_state(run_key, {"generator": player})


def draw_segments(key: jax.Array, batch: Batch, segment: int) -> tuple[Batch, jax.Array]:
    """Returns a random segment of each utterance, and at which video frame it starts.

    Args:
        key: PRNG key [].
        batch: the utterances.
        segment: the length in video frames; shorter utterances stay whole, with 0 all do.

    Returns:
        The batch with T of at most `segment` * 640 samples, and int32 [B].
    """
    samples, rows = segment * FRAME_SAMPLES, len(batch.index)
    if not 0 < samples < batch.noisy.shape[1]:
        return batch, jnp.zeros(rows, jnp.int32)
    surplus = jnp.maximum(batch.lengths // FRAME_SAMPLES - segment, 0)
    first = (jax.random.uniform(key, (rows,)) * (surplus + 1)).astype(jnp.int32)

    def cut(waves: jax.Array) -> jax.Array:
        one = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=samples)
        return jax.vmap(one)(waves, first * FRAME_SAMPLES)

    lengths = jnp.minimum(batch.lengths, samples)
    return dataclasses.replace(
        batch, clean=cut(batch.clean), noisy=cut(batch.noisy), lengths=lengths
    ), first


def draw_videos(
    key: jax.Array, batch: Batch, first: jax.Array, videos: VideoArrays, system: System
) -> tuple[jax.Array, jax.Array]:
    """Returns the target talkers' frames for training, and which of them G may see.

    Args:
        key: PRNG key [].
        batch: segments of the utterances.
        first: int [B], the video frame at which each starts.
        videos: the videos of the corpus.
        system: gives the shares.

    Returns:
        uint8 [B, F, height, width] and bool [B, F], as `gather` does. A share of the videos is not
        seen, and another one freezes.
    """
    count, rows = count_frames(batch.noisy.shape[1]), len(batch.index)
    of_fate, of_frame = jax.random.split(key)
    fate = jax.random.uniform(of_fate, (rows,))
    frozen = (fate >= system.dropout) & (fate < system.dropout + system.freeze)
    shown = count_frames(batch.lengths)
    last = (jax.random.uniform(of_frame, (rows,)) * shown).astype(jnp.int32)
    last = first + jnp.where(frozen, last, count)
    frames, exists = gather(videos, batch.index, count, jnp.array(False), first, last)
    return frames, exists & (fate >= system.dropout)[:, None]


def step(run_state: RunState, batch: Batch, videos: VideoArrays, *, system: System) -> StepResult:
    """Moves G once. Returns the state and `g_loss` [], minus the mean SI-SDR in dB."""
    of_segments, of_videos = jax.random.split(step_key(run_state))
    batch, first = draw_segments(of_segments, batch, system.segment)
    frames, seen = draw_videos(of_videos, batch, first, videos, system)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        noisy = as_float(batch.noisy)
        separated = separate(system.network, params, noisy, batch.lengths, frames, seen)
        ratio = system.si_sdr(as_float(batch.clean), separated, batch.lengths)
        value = masked_mean(-jnp.nan_to_num(ratio), jnp.isfinite(ratio))
        return value, ({}, {"g_loss": value})

    return descend(run_state, {"generator": system.optimizer}, loss, system.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    ranges = {
        "segment_seconds": (0, math.inf),
        "video_dropout": (0, 1),
        "video_freeze": (0, 1),
    }
    check(config, CHOICES, {**ADAM_RANGES, **VIDEO_RANGES, **ranges})
    if config.video_dropout + config.video_freeze > 1:
        raise UserError("config.video_dropout and config.video_freeze: their sum exceeds 1")
    system = System(
        network=make_audiovisual(config),
        segment=round(config.segment_seconds * SAMPLE_RATE / FRAME_SAMPLES),
        dropout=config.video_dropout,
        freeze=config.video_freeze,
        si_sdr=sharded_device_score("si_sdr", mesh),
        optimizer=adam(config, config.generator_learning_rate),
        average_decay=config.average_decay,
    )
    with open_training(config, make_denoiser(config), mesh) as training:
        check_videos(config, training)
        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("generator",),
            shared=(place_videos(training.corpus, mesh),),
            evaluate=VideoValidation(training, system.network, system.si_sdr),
        )


DECLARATION = declare(make, make_denoiser)
