"""Metrics in the features of a trained classifier, against features computed by hand."""

import dataclasses
import json

import numpy as np
import pytest

import train
from configs import gan as gan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.players import load_players
from jaxgan.images.data import glyphs
from jaxgan.images.data.captions import with_captions
from jaxgan.images.evaluation import validation
from jaxgan.images.evaluation.feature_metrics import FeatureMetrics
from jaxgan.images.evaluation.frechet import frechet_distance, moments
from jaxgan.images.evaluation.neighbours import precision_recall
from jaxgan.images.evaluation.trained_classifier import Classifier
from jaxgan.images.evaluation.validation import SampleMetrics

LABELS = np.arange(40, dtype=np.int32) % 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "classifier"
    flags = ("--config=configs/classifier.py:tiny", "--config.rounds=1")
    assert train.main([*flags, f"--workdir={place}"]) == 0
    return place


@pytest.fixture(scope="module")
def valid():
    return glyphs.make("valid", 40, seed=0)


def settings(folder, **values):
    config = gan_config.get_config("tiny")
    config.features, config.data.kind = str(folder), "glyphs"
    config.update_from_flattened_dict(values)
    return config


def by_hand(folder, images):
    """Features and logits in NumPy."""
    params = load_players(folder)["classifier"].deployed
    x = images.reshape(len(images), -1) / 127.5 - 1
    layers = [params["MLP_0"]["Dense_0"], params["MLP_0"]["Dense_1"], params["Dense_0"]]
    for layer in layers[:-1]:
        x = np.maximum(x @ layer["kernel"] + layer["bias"], 0)
    return x, x @ layers[-1]["kernel"] + layers[-1]["bias"]


def test_the_metrics_equal_those_of_features_computed_by_hand(folder, valid, monkeypatch):
    classified, call = [], Classifier.__call__

    def counted(classifier, player, values):
        classified.append(len(values))
        return call(classifier, player, values)

    monkeypatch.setattr(Classifier, "__call__", counted)
    metrics = FeatureMetrics(settings(folder), valid, devices.make_mesh(1), conditional=True)
    samples = glyphs.make("train", 40, seed=1).values
    found, objective = metrics(samples, LABELS)
    real, (fake, logits) = by_hand(folder, valid.values)[0], by_hand(folder, samples)
    expected = frechet_distance(moments(real, "real"), moments(fake, "fake")).value
    assert found["eval/fid_glyphs_mlp"] == pytest.approx(expected, rel=1e-3)
    assert found["eval/fid_glyphs_mlp_floor"] > 0
    assert found["eval/fid_glyphs_mlp_real_count"] == 40
    assert found["eval/fid_glyphs_mlp_fake_count"] == 40
    assert found["eval/precision"] == precision_recall(real, fake).precision
    assert found["eval/label_agreement"] == np.mean(logits.argmax(axis=1) == LABELS)
    assert objective == -found["eval/kid_glyphs_mlp"]
    # Held-out images as samples are as good as samples can be.
    best, _ = metrics(valid.values, valid.labels)
    assert best["eval/fid_glyphs_mlp"] == pytest.approx(0, abs=1e-3)
    assert best["eval/precision"] == best["eval/recall"] == best["eval/coverage"] == 1
    assert best["eval/kid_glyphs_mlp"] < found["eval/kid_glyphs_mlp"]
    assert classified == [40, 40, 40], "real features are computed once"


def test_a_generator_without_classes_has_no_agreement(folder, valid):
    metrics = FeatureMetrics(settings(folder), valid, devices.make_mesh(1), conditional=False)
    black = np.zeros_like(valid.values)
    found, _ = metrics(black, LABELS)
    assert "eval/label_agreement" not in found
    assert found["eval/class_coverage"] == 1
    assert found["eval/classifier_score"] == pytest.approx(1)
    assert found["eval/recall"] == 0
    # The classifier can judge images of other classes than its own, if none is asked for.
    other = dataclasses.replace(valid, classes=tuple("abcdefghij"))
    FeatureMetrics(settings(folder), other, devices.make_mesh(1), conditional=False)
    with pytest.raises(UserError, match=r"knows the classes 0, 1, .*, and these data have a, b"):
        FeatureMetrics(settings(folder), other, devices.make_mesh(1), conditional=True)


def test_agreement_with_captions_is_that_with_their_classes(folder, valid):
    config = settings(folder, **{"data.labels": "captions"})
    captioned, _ = with_captions(valid, valid)
    metrics = FeatureMetrics(config, captioned, devices.make_mesh(1), conditional=True)
    samples, asked = valid.values, np.arange(40)  # every caption once
    found, _ = metrics(samples, asked)
    chosen = by_hand(folder, samples)[1].argmax(axis=1)
    assert found["eval/label_agreement"] == np.mean(chosen == asked // 4)
    classes = dataclasses.replace(valid, classes=valid.classes[::-1])
    reversed_, _ = with_captions(classes, classes)
    other = FeatureMetrics(config, reversed_, devices.make_mesh(1), conditional=True)
    assert other(samples, asked)[0]["eval/label_agreement"] == np.mean(chosen == 9 - asked // 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "/nowhere"}, "config.features=/nowhere: .*is not the folder of a run"),
        ({"validation.samples": 8}, "config.validation.samples: 8 are too few .* 8 features"),
    ],
)
def test_settings_that_cannot_work(folder, valid, changes, message):
    config = settings(folder, **changes)
    with pytest.raises(UserError, match=message):
        FeatureMetrics(config, valid, devices.make_mesh(1), conditional=False)


def test_data_that_the_classifier_does_not_know(folder, valid):
    small = dataclasses.replace(valid, values=valid.values[:, ::2, ::2])
    mesh = devices.make_mesh(1)
    with pytest.raises(UserError, match=r"shape \[28, 28, 1\], and these have \[14, 14, 1\]"):
        FeatureMetrics(settings(folder), small, mesh, conditional=False)
    few = valid.select(np.arange(17))
    with pytest.raises(UserError, match=r"held-out images: 17 are too few .* use at least 18"):
        FeatureMetrics(settings(folder), few, mesh, conditional=False)


def test_the_run_of_another_system_and_a_run_without_checkpoint(folder, valid, tmp_path):
    content = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"recipe": "gan"}))
    mesh = devices.make_mesh(1)
    with pytest.raises(UserError, match=r"config.features=.*holds a run of 'gan'; give "):
        FeatureMetrics(settings(tmp_path), valid, mesh, conditional=False)
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config.features=.*holds no checkpoint"):
        FeatureMetrics(settings(tmp_path), valid, mesh, conditional=False)


def test_a_run_with_features_logs_them_and_remembers_the_classifier(folder, tmp_path, capsys):
    flags = ("--config=configs/gan.py:tiny", "--config.data.kind=glyphs", "--config.rounds=1")
    command = [*flags, f"--config.features={folder}", f"--workdir={tmp_path}"]
    assert train.main(command) == 0
    row = read(tmp_path)[-1]
    assert {"eval/fid_glyphs_mlp", "eval/coverage", "eval/class_coverage"} <= row.keys()
    identity = json.loads((tmp_path / "features.json").read_text())
    assert identity["name"] == "glyphs_mlp"
    (tmp_path / "features.json").write_text(json.dumps(identity | {"sha256": "another"}))
    assert train.main([*command[:2], "--config.rounds=2", *command[3:]]) == 2
    assert "features.json" in capsys.readouterr().err


def test_copies_of_training_images_are_noticed(monkeypatch, valid):
    monkeypatch.setattr(validation, "CHUNK", 30)
    train_set = glyphs.make("train", 100, seed=0)
    metrics = SampleMetrics(settings(""), train_set, valid, devices.make_mesh(1), False)
    copied, _ = metrics(train_set.values[-40:], LABELS)
    assert copied["eval/training_distance"] == copied["eval/training_distance_ratio"] == 0
    fresh, _ = metrics(glyphs.make("valid", 40, seed=5).values, LABELS)
    assert fresh["eval/training_distance_ratio"] == pytest.approx(1, abs=0.2)
    rows = valid.values.reshape(40, 1, -1) / 127.5 - 1
    gaps = np.linalg.norm(rows - (train_set.values.reshape(100, -1) / 127.5 - 1), axis=2)
    expected = fresh["eval/training_distance"] / gaps.min(axis=1).mean()
    assert fresh["eval/training_distance_ratio"] == pytest.approx(expected)
    # A comparison that would take too long is left out.
    monkeypatch.setattr(validation, "PRODUCTS", 15 * train_set.values.size)
    assert "eval/training_distance" not in metrics(train_set.values[:40], LABELS)[0]
