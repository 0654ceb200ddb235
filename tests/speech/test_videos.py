"""Enhancement and evaluation with videos: enhance.py, eval.py, compare, jaxgan.load, export."""

import functools
import json
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
import soundfile
from corpora import save
from video_clips import film, write_scenes

import jaxgan
from configs import avse as configs
from jaxgan import export
from jaxgan.commands import enhance
from jaxgan.commands import eval as evaluation
from jaxgan.core import config as config_files
from jaxgan.core import devices
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import UserError
from jaxgan.core.state import make_player, make_run_state
from jaxgan.reporting import figures
from jaxgan.speech.arrays import ArrayEnhancer
from jaxgan.speech.data import talking
from jaxgan.speech.data.videos import FRAME_SAMPLES, count_frames
from jaxgan.speech.enhance_files import enhance_files
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.evaluation import evaluate
from jaxgan.speech.evaluation.compare import compare
from jaxgan.speech.evaluation.evaluate import enhance_and_score, say_without_video
from jaxgan.speech.long_audio import PIECE
from jaxgan.speech.networks.audiovisual import init_separator, make_audiovisual, separate

RATE = 16000


@pytest.fixture(scope="module")
def corpus():
    """Three mixtures of 30 frames, 1.2 s."""
    whole = talking.make("valid", 3, 0)
    lengths = np.full(3, 30 * FRAME_SAMPLES, np.int32)
    return replace(
        whole,
        clean_waves=whole.clean_waves.truncate(lengths),
        noisy_waves=whole.noisy_waves.truncate(lengths),
        videos=replace(whole.videos, counts=np.full(3, 30, np.int32)),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory, corpus):
    """A folder with scenes in `data`."""
    folder = tmp_path_factory.mktemp("avse")
    write_scenes(corpus, folder / "data" / "train" / "scenes", 1)
    write_scenes(corpus, folder / "data" / "dev" / "scenes", 11)
    return folder


@pytest.fixture(scope="module")
def config(place):
    chosen = configs.get_config("tiny")
    chosen.video.box = (0.0, 0.0, 1.0, 1.0)
    chosen.data.kind = "avsec"
    chosen.data.root = str(place / "data")
    return chosen


@pytest.fixture(scope="module")
def params(config):
    random, network = np.random.default_rng(0), make_audiovisual(config)
    shapes = jax.eval_shape(lambda key: init_separator(network, key), jax.random.key(0))
    return jax.tree.map(
        lambda leaf: (0.4 * random.standard_normal(leaf.shape)).astype(np.float32),
        shapes["params"],
    )


@pytest.fixture(scope="module")
def run(place, config, params):
    """The folder of a run whose network is random."""
    folder = place / "run"
    folder.mkdir()
    config_files.write(config, folder)
    checkpoints = Checkpoints(folder)
    player = make_player({"params": params}, optax.identity())
    state = make_run_state(jax.random.key(0), {"generator": player})
    checkpoints.save(state, ({},), Position(round=1, best_round=1, best_objective=1.0))
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def enhancer(run):
    return jaxgan.load(run)


def noisy(corpus, number):
    return corpus.noisy(number) / np.float32(32768)


PADDED = 2**15


@functools.cache
def program(network):
    return jax.jit(functools.partial(separate, network))


def expected(config, params, samples, video):
    """What the network makes of one waveform, float32 [n], with a video or None."""
    frames = np.zeros((1, count_frames(PADDED), 24, 32), np.uint8)
    seen = np.zeros(frames.shape[:2], bool)
    if video is not None:
        frames[0, : len(video)], seen[0, : len(video)] = video, True
    padded = np.pad(samples, (0, PADDED - len(samples)))[None]
    length = np.array([len(samples)])
    made = program(make_audiovisual(config))(params, padded, length, frames, seen)
    return np.asarray(made[0, : len(samples)])


def test_arrays_with_the_right_a_shorter_and_no_video(enhancer, config, params, corpus, caplog):
    samples = noisy(corpus, 0)
    video = corpus.videos.target(0)
    made = {}
    for name, shown in (("whole", video), ("short", video[:10]), ("none", None)):
        made[name] = enhancer(samples, RATE, video=shown)
        wanted = expected(config, params, samples, shown)
        np.testing.assert_allclose(made[name], wanted, atol=1e-5, err_msg=name)
    enhancer(samples, RATE)
    assert caplog.text.count("config.recipe=avse: no video is given") == 1
    assert np.abs(made["whole"] - made["none"]).max() > 1e-3
    assert np.abs(made["whole"] - made["short"]).max() > 1e-3
    longer = np.concatenate([video, video])
    np.testing.assert_array_equal(enhancer(samples, RATE, video=longer), made["whole"])
    two = enhancer(np.stack([samples, samples[::-1]]), RATE, video=video)
    np.testing.assert_allclose(two[0], made["whole"], atol=1e-5)


def test_every_piece_of_long_audio_has_its_own_frames(enhancer):
    random = np.random.default_rng(0)
    count = (PIECE + 5 * RATE) // FRAME_SAMPLES
    samples = (0.1 * random.standard_normal(count * FRAME_SAMPLES)).astype(np.float32)
    video = random.integers(0, 256, (count, 24, 32), np.uint8)
    seen = []
    original = enhancer.enhancer.each_clip

    def watch(clips):
        kept = list(clips)
        seen.extend(kept)
        return original(kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enhancer.enhancer, "each_clip", watch)
        assert len(enhancer(samples, RATE, video=video)) == len(samples)
    assert len(seen) == 2
    for _, wave, part in seen:
        (start,) = np.flatnonzero(samples == wave[0])
        assert start % FRAME_SAMPLES == 0
        np.testing.assert_array_equal(samples[start : start + len(wave)], wave)
        first = start // FRAME_SAMPLES
        np.testing.assert_array_equal(part, video[first : first + count_frames(len(wave))])


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((5, 24, 32)), "video is float64 of 5 x 24 x 32: give uint8"),
        (np.zeros((5, 24), np.uint8), "video is uint8 of 5 x 24: give uint8"),
        (np.zeros((5, 16, 32), np.uint8), "but the videos have 16 and 32: give these"),
    ],
)
def test_arrays_that_are_no_video(enhancer, video, message):
    with pytest.raises(UserError, match=message):
        enhancer(np.zeros(4000, np.int16), RATE, video=video)


def test_a_file_becomes_frames(enhancer, corpus, tmp_path):
    video = corpus.videos.target(0)
    film(tmp_path / "a.mp4", video)
    np.testing.assert_array_equal(enhancer.read_video(tmp_path / "a.mp4"), video)
    np.testing.assert_array_equal(enhancer.read_video(tmp_path / "a.mp4", 0.2), video[:5])
    (tmp_path / "b.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"b\.mp4: cannot be decoded"):
        enhancer.read_video(tmp_path / "b.mp4")


@pytest.fixture(scope="module")
def blind(enhancer, params):
    """An enhancer that sees no videos."""
    source = enhancer.enhancer
    denoiser = source.denoiser._replace(with_video=None)
    return ArrayEnhancer(Enhancer(source.config, denoiser, params, devices.make_mesh()))


def test_a_network_that_sees_nothing_refuses_videos(blind, tmp_path):
    save(tmp_path / "a.wav", np.zeros(4000))
    message = "a network of config.recipe=avse sees no videos"
    for use in (
        lambda: blind(np.zeros(4000), RATE, video=np.zeros((1, 24, 32), np.uint8)),
        lambda: blind.read_video("a.mp4"),
        lambda: enhance_files(blind.enhancer, tmp_path, tmp_path / "out", video="v"),
    ):
        with pytest.raises(UserError, match=message):
            use()


@pytest.fixture
def files(tmp_path, corpus):
    """Noisy files in `in`, and videos of most of them in `video`."""
    for number, name in enumerate(("a", "deep/b", "c")):
        save(tmp_path / "in" / f"{name}.wav", corpus.noisy(number))
    film(tmp_path / "video" / "a.mp4", corpus.videos.target(0))
    film(tmp_path / "video" / "deep" / "b.mp4", corpus.videos.target(1)[:20])
    return tmp_path


def enhanced(run, place, *flags):
    return enhance.main([f"--workdir={run}", f"--output={place / 'out'}", *flags])


def test_enhance_reads_the_videos_of_a_folder(run, files, config, params, corpus, capsys):
    assert enhanced(run, files, f"--input={files / 'in'}", f"--video={files / 'video'}") == 0
    shown = {"a": corpus.videos.target(0), "deep/b": corpus.videos.target(1)[:20], "c": None}
    for number, (name, video) in enumerate(shown.items()):
        made, _ = soundfile.read(files / "out" / f"{name}.wav", dtype="float32")
        samples = noisy(corpus, number)
        # It was rounded to 16 bits.
        wanted = np.clip(expected(config, params, samples, video), -1, 1)
        np.testing.assert_allclose(made, wanted, atol=2 / 32768, err_msg=name)
    first, *lines = capsys.readouterr().out.splitlines()
    assert "3 files enhanced" in first
    missing = (corpus.videos.counts[1] - 20) / 25
    assert sorted(lines) == sorted(
        [
            f"{files}/in/deep/b.wav: {files}/video/deep/b.mp4: ends {missing:.2f} s before the "
            "audio; the rest of the audio has no video",
            f"{files}/in/c.wav: there is no video {files}/video/c.mp4; enhanced without",
        ]
    )


def test_enhance_uses_one_file_for_one_file(run, files, corpus, capsys):
    (files / "video" / "a.mp4").rename(files / "x.mov")
    assert enhanced(run, files, f"--input={files / 'in/a.wav'}", f"--video={files / 'x.mov'}") == 0
    right = (files / "out" / "a.wav").read_bytes()
    assert "no video" not in capsys.readouterr().out
    (files / "x.mov").write_text("no video")
    assert enhanced(run, files, f"--input={files / 'in/a.wav'}", f"--video={files / 'x.mov'}") == 0
    assert (files / "out" / "a.wav").read_bytes() != right
    assert "x.mov: cannot be decoded (Invalid data found" in capsys.readouterr().out


def test_enhance_finds_the_videos_of_scenes(run, corpus, config, params, tmp_path, capsys):
    (name,) = write_scenes(corpus.select(np.array([2])), tmp_path / "scenes")
    source = tmp_path / "scenes" / f"{name}_mono_mix.wav"
    assert enhanced(run, tmp_path, f"--input={source}", f"--video={tmp_path / 'scenes'}") == 0
    made, _ = soundfile.read(tmp_path / "out" / source.name, dtype="float32")
    wanted = expected(config, params, noisy(corpus, 2), corpus.videos.target(2))
    np.testing.assert_allclose(made, np.clip(wanted, -1, 1), atol=2 / 32768)
    assert "no video" not in capsys.readouterr().out


def test_enhance_without_video_says_so(run, files, capsys):
    assert enhanced(run, files, f"--input={files / 'in/a.wav'}") == 0
    line = "config.recipe=avse: no video is given, so the speech is enhanced without; --video=DIR"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--input=in", "--video=no"], "--video=no: there is no such file or folder"),
        (["--input=in", "--video=in"], "--video=in: has no video for any input, such as in/"),
        (["--input=in", "--video=in/a.wav"], "is a file, but --input=in is a folder"),
        (["--stream", "--video=in"], "--stream uses standard input and output"),
    ],
)
def test_videos_that_enhance_cannot_use(run, files, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(files)
    output = [] if "--stream" in flags else ["--output=out"]
    assert enhance.main([f"--workdir={run}", *output, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_eval_shows_the_videos_of_the_validation_data(
    run, corpus, config, params, capsys, monkeypatch
):
    # Figures take seconds, and show what they show for any network.
    monkeypatch.setattr(figures, "save", lambda *_: None)
    monkeypatch.setattr(evaluate, "draw_spectrograms", lambda *_: None)
    (run.parent / "data" / "dev" / "scenes" / "S00013_silent.mp4").write_text("no video")
    assert evaluation.main([f"--workdir={run}", "--scores=si_sdr"]) == 0
    printed = capsys.readouterr().out
    assert "S00013_silent.mp4: cannot be decoded" in printed
    assert "no video is given" not in printed
    place = run / "eval-valid"
    assert json.loads((place / "summary.json").read_text())["count"] == 2
    for number in range(2):
        path = place / "enhanced" / f"S{11 + number:05d}.wav"
        made, _ = soundfile.read(path, dtype="float32")
        wanted = expected(config, params, noisy(corpus, number), corpus.videos.target(number))
        np.testing.assert_allclose(made, np.clip(wanted, -1, 1), atol=2 / 32768)


def test_compare_shows_scenes_to_the_network_that_sees(
    run, blind, enhancer, tmp_path, corpus, config, params
):
    names = write_scenes(corpus, tmp_path / "scenes")
    workdirs, trained = [str(tmp_path / "blind"), str(run)], [blind.enhancer, enhancer.enhancer]
    lines = []
    compare(
        *(workdirs, trained, str(tmp_path)),
        output=str(tmp_path / "o"),
        scores="si_sdr",
        print_line=lines.append,
    )
    assert not [line for line in lines if "no video is given" in line]
    for folder, video in (("blind", None), ("run", corpus.videos.target(1))):
        path = tmp_path / "o" / "enhanced" / folder / f"{names[1]}.wav"
        made, _ = soundfile.read(path, dtype="float32")
        wanted = expected(config, params, noisy(corpus, 1), video)
        np.testing.assert_allclose(made, np.clip(wanted, -1, 1), atol=2 / 32768)


def test_a_test_set_without_videos_is_announced(enhancer, corpus):
    lines = []
    say_without_video([enhancer.enhancer], corpus, lines.append)
    assert lines == []
    say_without_video([enhancer.enhancer], replace(corpus, videos=None), lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("config.recipe=avse: no video is given, so the speech is enhanced")


def test_videos_of_another_size_are_refused(enhancer, corpus, tmp_path):
    smaller = replace(corpus.videos, frames=corpus.videos.frames[:, :16])
    with pytest.raises(UserError, match="has height 24 and width 32, but the videos have 16"):
        enhance_and_score(enhancer.enhancer, replace(corpus, videos=smaller), {}, None, tmp_path)


def test_a_network_that_sees_is_not_exported(run, tmp_path, capsys):
    assert export.main([f"--workdir={run}", f"--output={tmp_path / 'x'}"]) == 2
    error = capsys.readouterr().err
    assert "holds an audio-visual network, which --format=stablehlo cannot hold" in error
