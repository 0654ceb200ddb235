"""Validates audio-visual enhancement with the right video, without video and with a wrong one."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import PyTree, RunState
from jaxgan.scores.training_scores import DeviceScore
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.data.corpora import Corpus
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.videos import VideoArrays, count_frames, crop_of, gather
from jaxgan.speech.networks.audiovisual import AudioVisual, separate
from jaxgan.speech.networks.masking import as_float, as_int16
from jaxgan.speech.training import Training

RIGHT, NONE, OTHER = 0, 1, 2
"""Which video G is shown in a validation: the target's, none, or the other talker's."""


def enhance(
    inputs: tuple[PyTree, VideoArrays, jax.Array], batch: Batch, *, network: AudioVisual
) -> jax.Array:
    """Returns the separated utterances of a batch, int16 [B, T].

    Args:
        inputs: the parameters of G; the videos of the corpus; and RIGHT, NONE or OTHER, int32 [].
        batch: utterances of that corpus.
        network: the generator.
    """
    params, videos, shown = inputs
    frames, exists = gather(videos, batch.index, count_frames(batch.noisy.shape[1]), shown == OTHER)
    seen = exists & (shown != NONE)
    noisy = as_float(batch.noisy)
    return as_int16(separate(network, params, noisy, batch.lengths, frames, seen))


def ratios(
    batch: Batch, unseen: jax.Array, other: jax.Array, *, si_sdr: DeviceScore
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns SI-SDRs in dB, NaN for a row without one.

    Args:
        batch: the utterances.
        unseen: int16 [B, T], enhanced without video.
        other: int16 [B, T], enhanced with the other talker's video.
        si_sdr: computes the SI-SDR of a batch.

    Returns:
        The SI-SDR of `unseen` and of `other` relative to the target, and that of `other` relative
        to all that is not the target: float32 [B] each.
    """
    clean = as_float(batch.clean)
    rest = as_float(batch.noisy) - clean
    pairs = (clean, unseen), (clean, other), (rest, other)
    of_unseen, of_other, of_rest = (
        si_sdr(reference, as_float(estimate), batch.lengths) for reference, estimate in pairs
    )
    return of_unseen, of_other, of_rest


class VideoValidation:
    """Validates G with the right video, without video, and with the other talker's.

    Args:
        training: the data and the scores.
        network: the generator.
        si_sdr: computes the SI-SDR of a batch.
    """

    def __init__(self, training: Training, network: AudioVisual, si_sdr: DeviceScore) -> None:
        self._training = training
        self._videos = [place_videos(corpus, training.mesh) for corpus in training.valid]
        some = training.valid[0]
        self._other_is_heard = bool(some.videos and some.videos.other_is_heard)
        self._enhance = training.by_rows(functools.partial(enhance, network=network))
        self._ratios = training.by_rows(functools.partial(ratios, si_sdr=si_sdr))
        shown = [np.int32(number) for number in (RIGHT, NONE, OTHER)]
        self._shown = devices.put_replicated(shown, training.mesh)

    def __call__(self, run_state: RunState, number: int) -> Callable[[], Evaluation]:
        """Starts a validation; see `Recipe.evaluate`.

        The scores of the config are those with the right video.
        """
        training, params = self._training, run_state.players["generator"].deployed
        inputs = [(params, videos, self._shown[RIGHT]) for videos in self._videos]
        of_scores = training.validate(self._enhance, inputs, number)
        found = []
        for batch, _ in training.valid_loaders[0].all():
            unseen, other = (
                self._enhance((params, self._videos[0], self._shown[shown]), batch)
                for shown in (NONE, OTHER)
            )
            found.append(self._ratios(batch, unseen, other))

        def wait() -> Evaluation:
            evaluation = of_scores()
            names = ("si_sdr_no_video", "si_sdr_other_video", "of_other_si_sdr")
            values = np.concatenate(training.fetch(found), axis=-1)
            means = dict(zip(names, np.nanmean(values, axis=-1).tolist(), strict=True))
            if not self._other_is_heard:
                del means["of_other_si_sdr"]
            return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **means})

        return wait


def place_videos(corpus: Corpus, mesh: Mesh) -> VideoArrays:
    """Returns the videos of a corpus that has them, on every device."""
    assert isinstance(corpus, PairCorpus)
    assert corpus.videos is not None
    placed: VideoArrays = devices.put_replicated(corpus.videos.arrays(), mesh)
    return placed


def check_videos(config: ConfigDict, training: Training) -> None:
    """Raises UserError if the videos are missing, too large for the devices, or of another size."""
    sets = (training.corpus, *training.valid)
    found = [corpus.videos for corpus in sets if isinstance(corpus, PairCorpus) and corpus.videos]
    if len(found) < len(sets):
        raise UserError(
            f"config.data.kind={config.data.kind}: has no videos, which an audio-visual network "
            "needs: choose talking or avsec"
        )
    crop = crop_of(config)
    assert crop is not None
    crop.require(found[0].frames)
    if found[0].megabytes > config.data.resident_megabytes:
        raise UserError(
            f"config.data.resident_megabytes={config.data.resident_megabytes}: the videos need "
            f"{math.ceil(found[0].megabytes)} on every device; give at least as many, or less data"
        )
