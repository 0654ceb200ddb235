"""The script that makes the tables of image translation, with runs that are made up."""

import dataclasses
import functools
import io
import json
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan.core import config as configs
from jaxgan.core.state import Player
from jaxgan.images.data.captions import captions
from jaxgan.images.data.dataset import Images, Opened
from jaxgan.images.systems import crn, lapgan

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIDE = 4


@pytest.fixture
def measures(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import translation_measures

    return translation_measures


@pytest.fixture
def table(measures):
    import translation_table

    return translation_table


@pytest.fixture
def runs(table, measures, monkeypatch, tmp_path):
    """Replaces train.py and the measures: makes up two validations, and records the settings."""
    recorded = {}

    def train(preset, settings, overrides, workdir):
        recorded[workdir] = preset, dict(settings)
        workdir.mkdir(parents=True, exist_ok=True)
        control = {"adversarial_weight", "cycle_weight"} & set(settings)
        # The seeds differ by 0.01, and the control has twice the distance.
        l1 = (2 if control else 1) * (0.1 + 0.01 * settings["seed"])
        lines = [
            {"round": 1, f"eval/l1_{way}": 0.5 * l1, f"eval/sharpness_{way}": 0.5}
            for way in ("a_to_b", "b_to_a")
        ]
        lines = [lines[0] | lines[1]] * 2
        lines[1] = {name: 2 * value for name, value in lines[1].items()}
        (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return 60.0 + settings["seed"]

    def measured(folder, extras=()):
        ways = ("a_to_b", "b_to_a")
        images = {way: np.zeros((3, SIDE, SIDE, 1), np.uint8) for way in ways}
        found = {f"{name}_{way}": 0.05 for way in ways for name in ("cycle", "labels")}
        beside = {f"eval/l1_{way}": 0.3 for way in ways}
        outputs = {way: each + 200 for way, each in images.items()}
        return measures.Measured({"": found, "not translated": beside}, images, outputs, images)

    import translation_systems

    monkeypatch.setattr(table, "train_timed", train)
    monkeypatch.setattr(translation_systems, "translated", measured)
    monkeypatch.setattr(table, "classifier_of", lambda *given: tmp_path / "classifier")
    return recorded


def test_a_rehearsal_has_rows_checks_and_a_picture(table, runs, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    flags = ["--rows=cyclegan", f"--workdir={tmp_path}", f"--pictures={pictures}", "--config.a=b"]
    assert table.main(flags) == 0
    lines = (tmp_path / "tables.md").read_text().splitlines()
    assert lines[0] == "`cyclegan`, glyphs, 3 seeds, budget 1"
    cells = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in lines[2:]}
    # l1 of the seeds: 0.10, 0.11, 0.12 at the end and half of that before; t(0.975, 2) is 4.303.
    half = 4.303 * 0.01 / 3**0.5
    assert cells["CycleGAN"][1] == f"0.110 ± {half:.3f} (0.055)"
    assert cells["CycleGAN"][3] == "1.00 ± 0.00"  # the last sharpness is the best one
    assert cells["CycleGAN"][-1] == f"61 ± {4.303 / 3**0.5:.0f}"
    assert cells["without the cycle"][1].startswith("0.220 ± ")
    assert cells["not translated"][1] == "0.300 ± 0.000"
    assert cells["not translated"][-1] == cells["not translated"][2] == "-"
    text = "`l1` of hidden pairs over that without the cycle, a to b"
    assert cells[text][1:] == ["0.5 ± 0", "at most 0.75", "passed"]
    assert "cyclegan" in capsys.readouterr().out
    found = json.loads((tmp_path / "tables.json").read_text())
    assert found["settings"] == ["--config.a=b"]
    assert found["cyclegan"]["CPU seconds of each seed"]["CycleGAN"] == [60, 61, 62]
    [first, *_] = found["cyclegan"]["checks"]
    assert first["passed"]
    np.testing.assert_allclose(first["values of each seed"], 0.5)
    # For either direction inputs, the outputs of two runs, and targets; three of each.
    picture = np.asarray(Image.open(io.BytesIO((pictures / "cyclegan.png").read_bytes())))
    assert picture.shape == (2 * (8 * (SIDE + 2) - 2), 2 * (3 * (SIDE + 2) - 2), 3)
    assert [picture[2 * row * (SIDE + 2), 0, 0] for row in range(8)] == 2 * [0, 200, 200, 0]


def test_a_missed_check_is_shown(table, runs, tmp_path):
    assert table.main(["--rows=pix2pix", f"--workdir={tmp_path}"]) == 0
    found = json.loads((tmp_path / "tables.json").read_text())["pix2pix"]["checks"]
    passed = {each["check"]: each["passed"] for each in found}
    assert passed["`l1` over that of L1 only"]
    assert passed["`sharpness`"]
    assert not passed["`sharpness` of L1 only"]  # it is 1, and must be at most 0.8


def test_a_run_starts_from_the_one_of_its_seed(table, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "check", lambda *given: [])
    flags = ["--rows=srgan", f"--workdir={tmp_path}", "--data=mnist", f"--root={tmp_path}"]
    assert table.main(flags) == 0
    assert len(runs) == 3 * 3
    preset, settings = runs[tmp_path / "srgan" / "SRGAN" / "seed1"]
    assert preset == "srgan.py:quick_gan"
    assert settings["init_from"] == str(tmp_path / "srgan" / "SRResNet" / "seed1")
    assert settings["features"] == str(tmp_path / "classifier")
    assert (settings["seed"], settings["data.root"]) == (1, str(tmp_path))


@pytest.mark.parametrize("budget", [0.1, 1.0, 2.0])
def test_every_run_is_a_config(table, budget):
    options = types.SimpleNamespace(budget=budget, data="glyphs")
    for name, make in table.SYSTEMS.items():
        system = make()
        names = [run.name for run in system.runs]
        updates = set()
        for number, run in enumerate(system.runs):
            assert not run.start or run.start in names[:number]
            settings = table.settings_of(system, run, options)
            flags = [f"--config.{key}={value}" for key, value in settings.items()]
            config = configs.load(str(BENCHMARKS.parent / "configs" / run.preset), flags)
            assert config.rounds >= 2
            assert config.validation.every < config.rounds
            if "decay" in config and config.decay.rounds:
                assert config.decay.start + config.decay.rounds == config.rounds
            if config.get("drop", {}).get("start"):
                assert 1 <= config.drop.start < config.rounds
            if config.get("stages") == "all" and "first_rounds" in config:
                assert 1 <= config.first_rounds < config.rounds
            if not run.updates and not run.start:
                updates.add(config.rounds * config.steps_per_round)
        if name != "srgan":
            assert len(updates) == 1, name  # a system and its controls learn equally long
        metrics = [column.metric for column in system.columns]
        assert len(set(metrics)) == len(metrics)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows=pix2pux"], "--rows=pix2pux: choose from pix2pix, cyclegan"),
        (["--data=mnist"], "--root: name the folder of --data=mnist"),
        (["--seed=3"], "--seed=3: no such option"),
    ],
)
def test_a_mistake_in_the_flags_is_named(table, capsys, flags, message):
    with pytest.raises(SystemExit):
        table.main(flags)
    assert message in capsys.readouterr().err


def test_the_seconds_of_a_run_add_up_over_interruptions(measures, monkeypatch, tmp_path):
    import trained_runs

    clock = [0.0]
    monkeypatch.setattr(trained_runs, "_seconds_of_children", lambda: clock[0])

    def train(preset, settings, overrides, workdir):
        clock[0] += settings["seconds"]
        with (workdir / "metrics.jsonl").open("a") as file:
            file.write('{"round": 1}\n' * settings["rounds"])
        if settings["rounds"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(trained_runs, "train", train)
    interrupted, more, finished = (
        {"seconds": seconds, "rounds": rounds} for seconds, rounds in ((5, 1), (7, 2), (3, 0))
    )
    with pytest.raises(KeyboardInterrupt):
        trained_runs.train_timed("a", interrupted, [], tmp_path)
    assert trained_runs.train_timed("a", more, [], tmp_path) == 12
    assert trained_runs.train_timed("a", finished, [], tmp_path) == 12


def test_the_most_similar_reference_gives_the_label_whatever_the_ground(measures):
    references = np.zeros((3, SIDE, SIDE, 3), np.uint8)
    references[0, :2], references[1, 2:], references[2, :, :2] = 255, 255, 255
    images = references[[2, 0, 1, 1]].copy()
    images[..., 0] = np.maximum(images[..., 0], 90)  # a red ground; the digit stays white
    images[0, 0, 0] = 0
    found = measures.labels_of(images, references, np.array([7, 8, 9]))
    np.testing.assert_array_equal(found, [9, 7, 8, 8])


def made_up(measures, pairs, translate, valid, train):
    """A trained translation by a function of images, for both directions."""
    ways = ("a_to_b", "b_to_a")
    made = {way: translate(valid[way[0]].values, way) for way in ways}
    config = configs.load(str(BENCHMARKS.parent / "configs" / "cyclegan.py:tiny"))
    config.data.pairs = pairs
    return measures.Trained(Path(), config, train, valid, translate, made)


def bright(levels, labels):
    """Images of a single grey each."""
    values = np.full((len(levels), 8, 8, 1), np.reshape(levels, (-1, 1, 1, 1)), np.uint8)
    return Images(values, np.array(labels, np.int32), ("dark", "light"))


def test_labels_of_pairs_are_those_of_the_source(measures):
    # B is the negative of A. The translation of the last image is wrong.
    a, b = bright([10, 20, 230, 240], [0, 0, 1, 1]), bright([245, 235, 25, 15], [0, 0, 1, 1])

    def translate(images, way):
        made = 255 - images
        made[-1] = images[-1]
        return made

    known = {"a": bright([0, 255], [0, 1]), "b": bright([255, 0], [0, 1])}
    run = made_up(measures, "edges", translate, {"a": a, "b": b}, known)
    found = measures.labels(run)
    assert {name: set(metrics.values()) for name, metrics in found.items()} == {
        "": {0.75},
        "real": {1.0},
        "not translated": {0.0},
    }
    cycle = measures.cycles(run)[""]["cycle_a_to_b"]
    # The last image, 240, becomes 240 and then 240 again; the others come back.
    assert cycle == 0


def test_images_of_two_classes_should_have_the_other_one(measures):
    dark, light = bright([10, 20], [0, 0]), bright([250, 240], [1, 1])
    known = bright([0, 255], [0, 1])
    run = made_up(
        measures,
        "classes",
        lambda images, way: images + 100 * (way == "a_to_b"),
        {"a": dark, "b": light},
        {"a": known, "b": known},
    )
    found = measures.labels(run)
    assert found[""] == {"labels_a_to_b": 0.0, "labels_b_to_a": 0.0}
    assert found["not translated"] == {"labels_a_to_b": 0.0, "labels_b_to_a": 0.0}
    assert found["real"] == {"labels_a_to_b": 1.0, "labels_b_to_a": 1.0}
    brighter = dataclasses.replace(
        run, made={**run.made, "a_to_b": run.made["a_to_b"] + np.uint8(50)}
    )
    assert measures.labels(brighter)[""]["labels_a_to_b"] == 1.0
    # Nothing of `dark` is light, so all of it is outside; `light` is an object altogether.
    assert measures.outside(run) == {"": {"outside": 100.0}}


def test_a_run_is_measured_beside_its_inputs_and_targets(measures, monkeypatch):
    config = configs.load(str(BENCHMARKS.parent / "configs" / "pix2pix.py:tiny"))
    config.validation.samples = 20

    class Copies:
        directions = ("a_to_b",)

        def __call__(self, images, direction):
            return images

    monkeypatch.setattr(measures.configs, "read", lambda folder: config)
    monkeypatch.setattr(measures.jaxgan, "load", lambda folder, checkpoint: Copies())
    found = measures.translated(Path(), (measures.labels,))
    [inputs], [outputs] = found.inputs.values(), found.outputs.values()
    [targets] = found.targets.values()
    assert len(inputs) == len(targets) == measures.SHOWN
    np.testing.assert_array_equal(inputs, outputs)
    before = found.rows["not translated"]
    assert before["eval/l1_a_to_b"] == pytest.approx(measures.distance(inputs, targets), rel=0.2)
    assert found.rows[""]["labels_a_to_b"] == before["labels_a_to_b"] < 1
    assert set(found.rows) == {"", "not translated", "real"}


def test_the_images_of_a_layout_are_compared_with_each_other_and_the_target(measures, monkeypatch):
    config = configs.load(str(BENCHMARKS.parent / "configs" / "crn.py:tiny"))
    a, b = bright([0, 255], [0, 1]), bright([255, 51], [0, 1])
    grey = np.array([0.0, 0.2])  # of the two images of each layout, from -1 to 1

    def generate(system, player, layouts):
        return np.broadcast_to(grey[None, :, None, None, None], (len(layouts), 2, 8, 8, 1)) + 0.0

    monkeypatch.setattr(measures, "last_players", lambda folder: {"generator": None})
    monkeypatch.setattr(crn, "generate", lambda *given: jax.numpy.asarray(generate(*given)))
    run = measures.Trained(Path(), config, {}, {"a": a, "b": b}, None, {})
    found = measures.several(run)[""]
    levels = np.rint((grey + 1) / 2 * 255) / 255
    assert found["diversity"] == pytest.approx(levels[1] - levels[0])
    assert found["l1_best"] == pytest.approx((1 - levels[1] + levels[0] - 0.2) / 2)
    assert found["l1_every"] == pytest.approx((1 - 0.2) / 2)


def test_views_are_compared_with_those_of_another_image_and_of_the_other_direction(
    measures, monkeypatch
):
    # B is lighter than A by 50, the first stage makes half of that, and images differ by 10.
    levels, ways = np.array([110, 120, 130, 140]), {"a_to_b": 1, "b_to_a": -1}
    config = configs.load(str(BENCHMARKS.parent / "configs" / "vari_gan.py:tiny"))
    config.validation.samples = 4

    def translate(images, way):
        return (images + 50.0 * ways[way]).astype(np.uint8)

    def make_translations(config, shape):
        assert (config.stages, shape) == ("1", (8, 8, 1))
        return {
            way: lambda players, images, key, sign=sign: images + 25 * sign * 2 / 255
            for way, sign in ways.items()
        }

    valid = {"a": bright(levels, [0, 0, 1, 1]), "b": bright(levels + 50, [0, 0, 1, 1])}
    run = made_up(measures, "views", translate, valid, {})
    run = dataclasses.replace(run, config=config)
    monkeypatch.setattr(
        measures.configs, "read", lambda folder: config.copy_and_resolve_references()
    )
    monkeypatch.setattr(measures.vari_gan, "make_translations", make_translations)
    monkeypatch.setattr(measures, "last_players", lambda folder: {})
    found = measures.views(run)
    expected = {"first stage": 25, "another image": (10 + 10 + 10 + 30) / 4, "the other view": 100}
    for name, l1 in expected.items():
        for way in ways:
            assert found[name][f"eval/l1_{way}"] == pytest.approx(l1 / 255)
    config.stages = "1"
    assert measures.views(run) == {}


def test_images_of_captions_are_compared_with_those_of_the_first_stage(measures, monkeypatch):
    # Stage 2 makes the grey of the caption's class, and stage 1 that of the first class.
    config = configs.load(str(BENCHMARKS.parent / "configs" / "stackgan.py:tiny"))
    config.validation.samples = 80
    names = captions(("3", "8"))
    labels = np.arange(40, dtype=np.int32) % len(names)
    grey = np.broadcast_to(100 * (labels // 4)[:, None, None, None], (40, 8, 8, 1))
    valid = Images(grey.astype(np.uint8), labels, names)

    def make_sample(config, shape, count):
        assert count == len(names)

        def sample(generator, key, labels):
            shades = labels // 4 * (config.stages != "1") * 100
            levels = jax.numpy.broadcast_to(shades[:, None, None, None], (len(labels), *shape))
            return levels / 127.5 - 1

        return sample

    def metrics(images, asked):
        agreement = np.mean((images[:, 0, 0, 0] > 50) == (asked >= 4))
        found = {"label_agreement": agreement, "class_diversity": 1.0, "fid_fake": images.mean()}
        return {f"eval/{name}": value for name, value in found.items()} | {
            "eval/fid_fake_floor": 7.0
        }, 0.0

    named = types.SimpleNamespace(name="fake")
    monkeypatch.setattr(measures.configs, "read", lambda folder: config)
    monkeypatch.setattr(measures, "open_data", lambda *given: Opened(valid, valid))
    monkeypatch.setattr(measures, "load_classifier", lambda *given: named)
    monkeypatch.setattr(measures, "SampleMetrics", lambda *given: metrics)
    monkeypatch.setattr(measures, "last_players", lambda folder: {"generator": Player({}, {}, ())})
    monkeypatch.setattr(measures.stackgan, "make_sample", make_sample)
    found = measures.captioned(Path())
    agreement = {name: row["eval/label_agreement"] for name, row in found.rows.items()}
    assert 0.3 < agreement.pop("captions exchanged") < 0.7
    assert agreement == {"": 1.0, "first stage": 0.5, "real": 1.0}
    frechet = {name: row.get("frechet") for name, row in found.rows.items()}
    assert frechet == {"": 50.0, "first stage": 0.0, "captions exchanged": None, "real": 7.0}
    [inputs], [outputs] = found.inputs.values(), found.outputs.values()
    assert not inputs.any()
    [targets] = found.targets.values()
    np.testing.assert_array_equal(outputs, targets)
    assert len(targets) == measures.SHOWN


def test_a_pyramid_inverts_and_bands_of_zero_are_none(measures, monkeypatch):
    config = configs.load(str(BENCHMARKS.parent / "configs" / "lapgan.py:tiny"))
    config.features = "a folder"
    values = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1)).astype(np.uint8)
    images = Images(values, np.zeros(60, np.int32), ("a",))
    system = lapgan.make_system(config, (16, 16, 1))
    initial = functools.partial(lapgan.initial, system=system)
    [generator] = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32),
        [jax.eval_shape(initial, jax.random.key(0)).players["generator"]],
    )
    monkeypatch.setattr(measures.configs, "read", lambda folder: config)
    monkeypatch.setitem(measures.IMAGES, "glyphs", lambda data: Opened(images, images))
    monkeypatch.setattr(measures, "last_players", lambda folder: {"generator": generator})
    means = lambda of: types.SimpleNamespace(features=of.mean(axis=(1, 3))[:, :4])  # noqa: E731
    monkeypatch.setattr(measures, "load_classifier", lambda *given: means)
    found = measures.pyramid(Path())
    assert 0 <= found.rows[""]["inversion"] < 1e-6
    assert found.rows[""]["frechet"] == pytest.approx(found.rows["without bands"]["frechet"])
    assert found.rows["without bands"]["eval/detail_0"] == 0
    [made], [real] = found.outputs.values(), found.targets.values()
    assert made.std() < real.std()
