"""Graves' network: one update by hand, its memory, what it learns, and its commands."""

import contextlib
import functools
import importlib.util
import json
import math
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgan
from configs import graves_rnn as graves_config
from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices, log, loop
from jaxgan.core.errors import UserError
from jaxgan.core.players import load_players
from jaxgan.core.recipe import EvaluationRequest, SampleRequest
from jaxgan.core.timer import Timer
from jaxgan.sequences.data.handwriting import read_strokes
from jaxgan.sequences.data.stream_corpora import open_streams
from jaxgan.sequences.data.streams import Chunk, Item, Reader
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.evaluation.streams import StreamSampler
from jaxgan.sequences.networks.heads import Characters, PenPoints
from jaxgan.sequences.networks.stacked_lstm import StackedLSTM
from jaxgan.sequences.systems import graves_rnn
from jaxgan.sequences.systems.graves_rnn import System, init, step

ROOT = Path(__file__).parents[3]


def tiny_config(preset="tiny", **changes):
    config = graves_config.get_config(preset)
    config.update_from_flattened_dict(changes)
    return config


def text_config(path, **changes):
    """A small network for a text file."""
    config = tiny_config(**{"data.kind": "text", "data.root": str(path), "window": 0})
    config.update_from_flattened_dict(changes)
    return config


def make_system(rows=2, output_clip=math.inf, clip=math.inf, head=None):
    head = head or Characters(3)
    network = StackedLSTM(4, 2, head.outputs, clip)
    return System(network, head, optax.sgd(1.0), output_clip, rows)


def chunk(**changes):
    values = np.array([[0, 1, 2, 1], [2, 2, 0, 0]], np.int32)
    valid = np.array([[True, True, True], [True, False, False]])
    text = np.zeros((2, 0), np.int32)
    return Chunk(values, valid, np.array([True, True]), text)._replace(**changes)


def moved(system, state, of_chunk):
    return jax.jit(functools.partial(step, system=system))(state, of_chunk)


def fresh_state(system):
    return jax.jit(functools.partial(init, system=system))(jax.random.key(0))


def test_one_update_goes_down_the_sum_of_the_losses_of_the_valid_values():
    system = make_system()
    state = fresh_state(system)
    before, part = state.players["network"].params, chunk()

    def loss(params):
        text = jnp.zeros((2, 0), jnp.int32)
        inputs = jax.nn.one_hot(part.values[:, :-1], 3)
        fresh = system.network.initial_state(2)
        _, outputs, _ = system.network.apply({"params": params}, fresh, inputs, text)
        log_p = jax.nn.log_softmax(outputs)
        chosen = [log_p[0, 0, 1], log_p[0, 1, 2], log_p[0, 2, 1], log_p[1, 0, 2]]
        return -sum(chosen)

    value, gradient = jax.jit(jax.value_and_grad(loss))(before)
    after, found = moved(system, state, part)
    expected = jax.tree.map(lambda one, other: one - other, before, gradient)
    for one, other in zip(
        jax.tree.leaves(after.players["network"].params), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    bits = found["bits_per_character"]
    assert float(bits.total) == pytest.approx(float(value) / math.log(2), rel=1e-5)
    assert int(bits.count) == 4


def test_derivatives_of_the_outputs_are_clipped():
    bound = 0.25
    system = make_system(output_clip=bound)
    state = fresh_state(system)
    after, _ = moved(system, state, chunk())
    params = state.players["network"].params
    inputs = jax.nn.one_hot(chunk().values[:, :-1], 3)
    fresh = system.network.initial_state(2)
    apply = jax.jit(system.network.apply)
    _, outputs, _ = apply({"params": params}, fresh, inputs, chunk().text)
    errors = jax.nn.softmax(outputs) - jax.nn.one_hot(chunk().values[:, 1:], 3)
    errors = jnp.where(chunk().valid[..., None], jnp.clip(errors, -bound, bound), 0)
    change = params["output_bias"] - after.players["network"].params["output_bias"]
    np.testing.assert_allclose(change, errors.sum(axis=(0, 1)), atol=1e-6)
    assert np.count_nonzero(np.abs(errors) == np.float32(bound)) > 0


def test_memory_continues_a_sequence_and_is_cleared_where_another_starts():
    system = make_system()
    system = System(system.network, system.head, optax.sgd(0.0), math.inf, 2)
    state = fresh_state(system)
    whole, _ = moved(system, state, chunk())
    first, _ = moved(system, state, chunk(values=chunk().values[:, :3], valid=chunk().valid[:, :2]))
    rest = chunk(values=chunk().values[:, 2:], valid=chunk().valid[:, 2:])
    continued, _ = moved(system, first, rest._replace(starts=np.array([False, True])))
    alone, _ = moved(system, state, rest)
    for one, other, fresh in zip(
        *(jax.tree.leaves(each.memory) for each in (continued, whole, alone)), strict=True
    ):
        np.testing.assert_allclose(one[0], other[0], atol=1e-6)
        np.testing.assert_allclose(one[1], fresh[1], atol=1e-6)
        assert not np.allclose(one[0], fresh[0])


def sampler_of(network, head, tokens="abc"):
    return StreamSampler(network, head, Vocabulary(tuple(tokens), "characters", 1))


def test_a_primed_sample_continues_as_if_its_beginning_had_been_drawn():
    head = PenPoints(2)
    network = StackedLSTM(4, 2, head.outputs)
    nothing = np.zeros((1, 0), np.int32)
    params = network.init(
        jax.random.key(0), network.initial_state(1), jnp.zeros((1, 1, 3)), nothing
    )
    params, key, sampler = params["params"], jax.random.key(3), sampler_of(network, head)
    start = Item(np.zeros((1, 3), np.float32))
    [whole] = sampler.draw(params, key, [start], 9, 0.3)
    assert whole.shape == (10, 3)
    for given in (5, 2):
        [primed] = sampler.draw(params, key, [Item(whole[:given])], 10 - given, 0.3)
        np.testing.assert_array_equal(primed, whole)
    # Beginnings of different lengths share a batch; every row is as long as its own allows.
    long, short = sampler.draw(params, key, [Item(whole[:5]), Item(whole[:2])], 4, 0.3)
    np.testing.assert_array_equal(long[:5], whole[:5])
    np.testing.assert_array_equal(short[:2], whole[:2])
    assert (long.shape, short.shape) == ((9, 3), (6, 3))
    assert not np.array_equal(short, whole[:6])


@pytest.fixture(scope="module")
def cycle(tmp_path_factory):
    """A run on a text in which every character but the first three follows from the one before."""
    folder = tmp_path_factory.mktemp("cycle")
    (folder / "text.txt").write_text("abcd\n" * 200)
    config = text_config(
        folder / "text.txt",
        rounds=2,
        updates_per_round=30,
        width=16,
        learning_rate=0.03,
        **{"validation.length": 40, "clip": 1.0},
    )
    return train(config, folder / "run")


def train(config, workdir):
    with contextlib.closing(recipes.make(config, devices.make_mesh(1))) as recipe:
        loop.run(recipe, config, workdir)
    return workdir


def sample_main(arguments):
    spec = importlib.util.spec_from_file_location("sample", ROOT / "sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(arguments)


def test_a_cycle_of_characters_is_learned_and_continued(cycle, capsys):
    row = log.read(cycle)[-1]
    assert row["eval/bits_per_character"] < 0.15
    assert row["eval/total_variation"] < 0.05
    assert (
        sample_main([f"--workdir={cycle}", "--count=2", "--text=cd\na", "--temperature=0.2"]) == 0
    )
    first, second = capsys.readouterr().out.removesuffix("\n").split("\n--------\n")
    assert first.startswith("cd\nabcd\nabcd\nabcd")
    assert len(first) == len(second) == 44


def test_evaluation_of_a_text_writes_samples_and_a_summary(cycle, capsys):
    request = EvaluationRequest(None, None, "", 0)
    recipes.command(cycle, "evaluate")(cycle, "last", request)
    summary = json.loads((cycle / "eval" / "summary.json").read_text())
    assert summary["count"] == 3
    assert summary["bits_per_character"] == pytest.approx(
        log.read(cycle)[-1]["eval/bits_per_character"], rel=1e-4
    )
    assert (cycle / "eval" / "samples.txt").read_text().count("\n--------\n") == 2
    assert "total_variation" in capsys.readouterr().out


def test_held_out_bits_are_those_of_one_pass_over_each_row(cycle):
    config = configs.read(cycle)
    corpus = open_streams(config)
    validation = graves_rnn.open_validation(config, devices.make_mesh(1), corpus)
    params = load_players(cycle, "last")["network"].params
    network, head = validation.sampler.network, validation.sampler.head

    @jax.jit
    def whole(values):
        fresh, text = network.initial_state(1), jnp.zeros((1, 0), jnp.int32)
        read = head.inputs(values[None, :-1])
        _, outputs, _ = network.apply({"params": params}, fresh, read, text)
        return head.nll(outputs[0], values[1:]).sum()

    total = sum(float(whole(item.values)) for item in corpus.valid)
    count = sum(len(item.values) - 1 for item in corpus.valid)
    assert validation.nll(params, corpus.valid) == pytest.approx(total / count, rel=1e-4)
    # Eight rows on three devices: the ninth is empty.
    other = graves_rnn.open_validation(config, devices.make_mesh(3), corpus)
    assert other.nll(params, corpus.valid) == pytest.approx(total / count, rel=1e-4)


@pytest.fixture(scope="module")
def pen(tmp_path_factory):
    """A run of the tiny preset, with a window, that has just started."""
    return train(tiny_config(rounds=1), tmp_path_factory.mktemp("pen") / "run")


@pytest.mark.parametrize("command", ["evaluate", "sample", "load"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation.samples": 0}, "config.validation.samples=0: must be 1 or more"),
        ({"data.kind": "foo"}, "config.data.kind=foo: choose one of "),
        ({"data.held_out_share": 1.5}, "config.data.held_out_share=1.5: must be from 0.001 to 0.4"),
        ({"data.seed": -1}, "config.data.seed=-1: must be 0 or more"),
    ],
)
def test_settings_that_were_changed_by_hand_are_refused(pen, tmp_path, command, changes, message):
    config = configs.read(pen)
    config.update_from_flattened_dict(changes)
    configs.write(config, tmp_path)
    with pytest.raises(UserError) as error:
        recipes.command(tmp_path, command)
    assert str(error.value).startswith(message)


def test_handwriting_is_drawn_continued_and_evaluated(pen, tmp_path):
    flags = [f"--workdir={pen}", "--count=2", "--text=oil", "--bias=1"]
    assert sample_main([*flags, f"--output={tmp_path}"]) == 0
    assert (tmp_path / "page.svg").read_text().startswith("<svg")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    drawn = read_strokes(tmp_path / "samples.npz", "")
    assert all(1 < len(line.points) <= 21 for line in drawn)
    assert all(len(line.points) == 21 or line.points[-1, 2] for line in drawn)
    loaded = jaxgan.load(pen)(2, text="oil", bias=1.0)
    for line, other in zip(drawn, loaded, strict=True):
        np.testing.assert_allclose(other[1:], line.points[1:], rtol=1e-5, atol=1e-6)
    # Its own beginning, read from a file, is continued unchanged.
    arrays = dict(np.load(tmp_path / "samples.npz"))
    path = tmp_path / "beginning.npz"
    np.savez(path, text=np.array(["co"] * (len(arrays["offsets"]) - 1)), **arrays)
    primed = tmp_path / "primed"
    assert sample_main([*flags, f"--prime={path}", f"--output={primed}"]) == 0
    longer = read_strokes(primed / "samples.npz", "")
    for before, after in zip(drawn, longer, strict=False):
        np.testing.assert_allclose(
            after.points[1 : len(before.points)], before.points[1:], atol=1e-5
        )
    np.savez(path, text=np.array(["cX"] * (len(arrays["offsets"]) - 1)), **arrays)
    with pytest.raises(UserError, match=r"--prime=.*beginning\.npz: the run has not .* 'X'"):
        jaxgan.load(pen)(1, text="oil", prime=str(path))
    with pytest.raises(UserError, match=r"^bias=nan: "):
        jaxgan.load(pen)(1, text="oil", bias=float("nan"))
    unread = SampleRequest(1, 0, str(tmp_path), text="oil", prime=str(tmp_path / "samples.npz"))
    with pytest.raises(UserError, match=r"--prime=.*samples\.npz: its lines have no text"):
        recipes.command(pen, "sample")(pen, "last", unread)
    request = EvaluationRequest(None, None, "", 0)
    recipes.command(pen, "evaluate")(pen, "last", request)
    summary = json.loads((pen / "eval" / "summary.json").read_text())
    assert summary["count"] == 3
    assert np.isfinite(summary["nll"])
    assert (pen / "eval" / "page.png").exists()


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("pen", {"temperature": 0.5}, "--temperature=0.5: handwriting uses --bias instead"),
        ("pen", {}, "--text: give the text to write"),
        ("pen", {"text": "oX"}, "--text: the run has not learned the character 'X'"),
        ("pen", {"text": "oil", "output": None}, "--output: give a folder to write"),
        ("pen", {"text": "oil", "label": "3"}, "--label=3: "),
        ("pen", {"text": "oil", "seed_index": 1}, "--seed_index=1: "),
        ("cycle", {"bias": 1.0}, "--bias=1.0: only handwriting uses this flag"),
        ("cycle", {"prime": "x.npz"}, "--prime=x.npz: only handwriting uses this flag"),
        ("cycle", {"text": "e"}, "--text: the run has not learned the character 'e'"),
    ],
)
def test_flags_of_sample_that_cannot_be_used_are_refused(request, tmp_path, run, flags, message):
    workdir = request.getfixturevalue(run)
    sample = recipes.command(workdir, "sample")
    given = {"count": 1, "seed": 0, "output": str(tmp_path), **flags}
    with pytest.raises(UserError) as error:
        sample(workdir, "last", SampleRequest(**given))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_config_that_was_changed_after_training_is_named(pen, tmp_path):
    folder = shutil.copytree(pen, tmp_path / "run")
    config = configs.read(folder)
    config.width += 1
    configs.write(config, folder)
    message = r"config\.json does not describe the networks"
    with pytest.raises(UserError, match=message) as error:
        jaxgan.load(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=message):
        recipes.command(folder, "evaluate")(folder, "last", EvaluationRequest())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adagrad"}, "config.optimizer=adagrad: choose one of"),
        ({"dtype": "bfloat16"}, "config.dtype=bfloat16: this system computes in float32"),
        ({"data.kind": "tunes"}, "config.window=2: only handwriting"),
        ({"batch_size": 7}, "config.batch_size=7: must be a multiple of the 8 devices"),
        ({"steps": 0}, "config.steps=0: must be 1 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(UserError) as error:
        recipes.make(tiny_config(**changes), devices.make_mesh())
    assert str(error.value).startswith(message)


def test_a_window_needs_texts(tmp_path):
    points = np.tile([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], (10, 1))
    np.savez(tmp_path / "strokes.npz", points=points, offsets=np.arange(0, 41, 4))
    root = {"data.kind": "strokes", "data.root": str(tmp_path / "strokes.npz")}
    with pytest.raises(UserError, match=r"config\.window=2: the data hold no text"):
        recipes.make(tiny_config(**root), devices.make_mesh(1))
    with contextlib.closing(recipes.make(tiny_config(window=0, **root), devices.make_mesh(1))):
        pass


def test_generated_tunes_are_a_text_that_every_round_reads_on():
    config = text_config("", **{"data.kind": "tunes", "updates_per_round": 3})
    with contextlib.closing(recipes.make(config, devices.make_mesh(8))) as recipe:
        _, _, found = recipe.round(recipe.init(jax.random.key(0)), (), 2, Timer())
    assert 0 < found["bits_per_character"] < 5
    assert found["throughput/characters"] == 3 * 8 * 12
    corpus = open_streams(config)
    reader = Reader(corpus.epochs, 8, 12)
    for number in range(3):
        before, after = reader.read(number), reader.read(number + 1)
        np.testing.assert_array_equal(before.values[:, -1], after.values[:, 0])
        assert not after.starts.any()


@pytest.mark.parametrize("preset", [None, *graves_config.PRESETS])
def test_every_preset_has_settings_that_can_be_used(preset):
    config = graves_config.get_config(preset)
    graves_rnn.check(config)
    if preset is None:
        # 3 layers of 400, 20 Gaussians: the paper's network for synthesis has "approximately 3.7M"
        # weights, of which the peepholes, 3 * 3 * 400, are not here.
        system = graves_rnn.make_system(config, 57)
        shapes = jax.eval_shape(lambda key: init(key, system=system), jax.random.key(0))
        count = sum(leaf.size for leaf in jax.tree.leaves(shapes.players["network"].params))
        assert 3.5e6 < count < 3.8e6
