"""Audio-visual enhancement: the loss by hand, what G sees, its validation, its errors."""

import contextlib
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from video_clips import write_scenes

from configs import avse as configs
from jaxgan import recipes
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.scores.registry import get
from jaxgan.scores.training_scores import sharded_device_score
from jaxgan.speech.data import talking
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.data.videos import count_frames, gather
from jaxgan.speech.evaluation import videos as validation
from jaxgan.speech.networks.audiovisual import (
    init_separator,
    make_audiovisual,
    make_denoiser,
    separate,
)
from jaxgan.speech.systems import avse


@pytest.fixture(scope="module")
def corpus():
    return talking.make("train", 4, 0)


@pytest.fixture(scope="module")
def system():
    config = configs.get_config("tiny")
    config.generator.blocks = 1
    return avse.System(
        network=make_audiovisual(config),
        segment=20,
        dropout=0.3,
        freeze=0.2,
        si_sdr=sharded_device_score("si_sdr", devices.make_mesh(1)),
        optimizer=optax.adam(1e-3),
        average_decay=0.0,
    )


@pytest.fixture(scope="module")
def state(system):
    return jax.jit(functools.partial(avse.init, system=system))(jax.random.key(0))


@pytest.fixture(scope="module")
def videos(corpus):
    return jax.tree.map(jnp.asarray, corpus.videos.arrays())


draw_segments = jax.jit(avse.draw_segments, static_argnums=2)
draw_videos = jax.jit(avse.draw_videos, static_argnums=4)


def batch_of(corpus, rows):
    """The utterances `rows` of a corpus, -1 for an empty row."""
    length = int(corpus.lengths.max())
    clean, noisy = np.zeros((2, len(rows), length), np.int16)
    lengths = np.zeros(len(rows), np.int32)
    for place, row in enumerate(rows):
        if row >= 0:
            lengths[place] = corpus.lengths[row]
            clean[place, : lengths[place]] = corpus.clean(row)
            noisy[place, : lengths[place]] = corpus.noisy(row)
    fields = clean, noisy, lengths, np.array(rows, np.int32), np.ones(len(rows), np.float32)
    return Batch(*map(jnp.asarray, fields))


def test_frames_of_a_batch(corpus, videos):
    shown = jax.jit(gather, static_argnums=2)
    index, count = jnp.array([2, 0, -1]), int(corpus.videos.counts.max()) + 2
    found, exists = shown(videos, index, count, jnp.array(False))
    other, _ = shown(videos, index, count, jnp.array(True))
    last = jnp.array([5, count, 0])
    frozen, _ = shown(videos, index, count, jnp.array(False), last=last)
    for row, number in enumerate((2, 0)):
        frames = corpus.videos.counts[number]
        np.testing.assert_array_equal(found[row, :frames], corpus.videos.target(number))
        np.testing.assert_array_equal(other[row, :frames], corpus.videos.other(number))
        assert np.asarray(exists[row]).sum() == frames
    assert not np.asarray(exists[2]).any()
    np.testing.assert_array_equal(frozen[0, :6], found[0, :6])
    np.testing.assert_array_equal(frozen[0, 6:], [found[0, 5]] * (count - 6))
    np.testing.assert_array_equal(frozen[1], found[1])


def test_segments_and_their_videos(corpus, videos, system):
    """A segment of 20 frames; only one utterance and an empty row are shorter."""
    rows = [0, 1, 2, -1] * 2
    batch = batch_of(corpus, rows)
    batch = dataclasses.replace(batch, lengths=batch.lengths.at[2].set(12 * 640))
    segments, first = draw_segments(jax.random.key(1), batch, 20)
    watching = dataclasses.replace(system, dropout=0.0, freeze=0.0)
    frames, seen = draw_videos(jax.random.key(2), segments, first, videos, watching)
    for place, (row, start) in enumerate(zip(rows, np.asarray(first), strict=True)):
        if row == -1 or place == 2:
            assert start == 0
            assert segments.lengths[place] == batch.lengths[place]
            continue
        assert segments.lengths[place] == 20 * 640
        samples = slice(start * 640, (start + 20) * 640)
        np.testing.assert_array_equal(segments.clean[place], corpus.clean(row)[samples])
        np.testing.assert_array_equal(segments.noisy[place], corpus.noisy(row)[samples])
        shown = corpus.videos.target(row)[start : start + 20]
        np.testing.assert_array_equal(frames[place], shown)
        assert np.asarray(seen[place]).all()
    whole, starts = draw_segments(jax.random.key(1), batch, 0)
    np.testing.assert_array_equal(whole.noisy, batch.noisy)
    assert not np.asarray(starts).any()


def test_segments_start_everywhere_alike():
    waves = jnp.zeros((2000, 7 * 640), jnp.int16)
    rows = jnp.zeros(2000, jnp.int32)
    batch = Batch(waves, waves, rows + 7 * 640, rows, jnp.ones(2000))
    _, first = draw_segments(jax.random.key(0), batch, 3)
    found = np.bincount(first)
    assert len(found) == 5
    assert np.abs(found - 400).max() < 5 * 400**0.5


def test_shares_of_missing_and_frozen_videos(corpus, videos, system):
    batch = batch_of(corpus, [0, 1, 2, 3] * 50)
    starts = jnp.zeros(200, jnp.int32)
    frames, seen = draw_videos(jax.random.key(0), batch, starts, videos, system)
    counts = corpus.videos.counts[np.asarray(batch.index)]
    shown = np.asarray(seen).sum(1)
    assert set(shown[shown > 0] - counts[shown > 0]) == {0}
    assert np.mean(shown == 0) == pytest.approx(0.3, abs=0.1)
    # The camera's noise changes every frame of a video that is not frozen.
    frozen = [
        np.array_equal(video[count - 1], video[count - 2])
        for video, count in zip(np.asarray(frames), counts, strict=True)
    ]
    assert np.mean(frozen) == pytest.approx(0.2, abs=0.1)


def test_loss_by_hand(corpus, videos, system, state):
    batch = batch_of(corpus, [1, 3, -1])
    moved, metrics = jax.jit(lambda *inputs: avse.step(*inputs, system=system))(
        state, batch, videos
    )
    of_segments, of_videos = jax.random.split(step_key(state))
    segments, first = draw_segments(of_segments, batch, 20)
    frames, seen = draw_videos(of_videos, segments, first, videos, system)
    params = state.players["generator"].params
    noisy = segments.noisy / jnp.float32(32768)
    estimate = jax.jit(functools.partial(separate, system.network))(
        params, noisy, segments.lengths, frames, seen
    )
    estimate = np.asarray(estimate, np.float64)
    found = []
    for place in range(2):
        clean = np.asarray(segments.clean[place], float)
        made = estimate[place, : len(clean)]
        clean, made = clean - clean.mean(), made - made.mean()
        target = made @ clean / (clean @ clean) * clean
        found.append(10 * np.log10((target @ target) / np.square(target - made).sum()))
    assert float(metrics["g_loss"]) == pytest.approx(-np.mean(found), abs=1e-3)
    changed = [
        not np.array_equal(one, other)
        for one, other in zip(
            jax.tree.leaves(params),
            jax.tree.leaves(moved.players["generator"].params),
            strict=True,
        )
    ]
    assert np.mean(changed) > 0.9


def test_validation_compares_right_missing_and_wrong_videos():
    config = configs.get_config("tiny")
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        state = recipe.init(jax.random.key(0))
        metrics = recipe.evaluate(state, 1)().metrics
    corpus = talking.open_set("valid", 2, 0, config.data.snrs, ())
    videos = jax.tree.map(jnp.asarray, corpus.videos.arrays())
    params, network = state.players["generator"].params, make_audiovisual(config)
    batch = batch_of(corpus, [0, 1])
    enhance = jax.jit(lambda inputs: validation.enhance(inputs, batch, network=network))
    score = get("si_sdr")
    names = ("si_sdr", "si_sdr_no_video", "si_sdr_other_video")
    made = [np.asarray(enhance((params, videos, jnp.int32(shown)))) for shown in range(3)]
    for name, enhanced in zip(names, made, strict=True):
        pairs = [(corpus.clean(n), enhanced[n, : corpus.lengths[n]]) for n in range(2)]
        # Rounding to int16 differs by one where compiled programs differ in the last bit.
        expected = np.mean([score(clean / 32768, it / 32768, 16000) for clean, it in pairs])
        assert metrics[name] == pytest.approx(expected, abs=0.05), name
    rest = [corpus.noisy(n) / 32768 - corpus.clean(n) / 32768 for n in range(2)]
    found = [made[2][n, : corpus.lengths[n]] / 32768 for n in range(2)]
    expected = np.mean([score(one, it, 16000) for one, it in zip(rest, found, strict=True)])
    assert metrics["of_other_si_sdr"] == pytest.approx(expected, abs=0.05)
    assert len({round(metrics[name], 3) for name in names}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.kind": "demo"}, "config.data.kind=demo: has no videos"),
        ({"video.box": (0.0, 0.0, 1.0, 1.1)}, "config.video.box=(0.0, 0.0, 1.0, 1.1): give top"),
        ({"generator.stride": 48}, "config.generator.stride=48: must divide 640"),
        ({"generator.stride": 0}, "config.generator.stride=0: must be from 1 to 640"),
        ({"generator.kernel": 4}, "config.generator.kernel=4: must be odd"),
        ({"adam_b1": 1.5}, "config.adam_b1=1.5: must be from 0 to 0.99999"),
        ({"video_dropout": 0.7, "video_freeze": 0.4}, "their sum exceeds 1"),
        ({"video.height": 16}, "has height 16 and width 32, but the videos have 24 and 32"),
        ({"data.resident_megabytes": 0}, "the videos need 1 on every device"),
    ],
)
def test_settings_and_data_that_do_not_fit(changes, message):
    config = configs.get_config("tiny")
    config.data.demo.update(train=2, valid=2)
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        recipes.make(config, devices.make_mesh(1))
    assert "\n" not in str(caught.value)


def test_scenes_of_avsec_are_trained_on(corpus, tmp_path):
    for part in ("train", "dev"):
        write_scenes(corpus, tmp_path / part / "scenes")
    config = configs.get_config("tiny")
    config.data.update(kind="avsec", root=str(tmp_path))
    config.video.box = (0.0, 0.0, 1.0, 1.0)
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        state = recipe.init(jax.random.key(0))
        metrics = recipe.evaluate(state, 1)().metrics
    assert np.isfinite([metrics["si_sdr"], metrics["si_sdr_other_video"]]).all()
    # The talker of another scene is not heard in this one.
    assert "of_other_si_sdr" not in metrics


def test_the_enhancer_with_and_without_video_is_what_validation_computes(corpus, videos):
    config = configs.get_config("tiny")
    denoiser, network = make_denoiser(config), make_audiovisual(config)
    params = jax.jit(lambda key: init_separator(network, key))(jax.random.key(0))["params"]
    batch = batch_of(corpus, [0])
    noisy = batch.noisy / jnp.float32(32768)
    frames = corpus.videos.target(0)[None]
    count = count_frames(noisy.shape[1])
    padded = np.pad(frames, ((0, 0), (0, count - frames.shape[1]), (0, 0), (0, 0)))
    seen = np.arange(count)[None] < frames.shape[1]
    made = {
        validation.NONE: jax.jit(denoiser.enhance)(params, noisy, batch.lengths),
        validation.RIGHT: jax.jit(denoiser.with_video.enhance)(
            params, noisy, batch.lengths, padded, seen
        ),
    }
    enhance = jax.jit(lambda inputs: validation.enhance(inputs, batch, network=network))
    for shown, found in made.items():
        expected = np.asarray(enhance((params, videos, jnp.int32(shown))), np.float32)
        assert np.abs(np.round(found * 32768) - expected).max() <= 1
    assert denoiser.front_end.sample_rate == 16000
