import jax
import numpy as np
import pytest
from corpora import config, save, tone

from jaxgan.core.errors import UserError
from jaxgan.speech.data.corpora import open_corpora


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 6), ("valid", 4)):
        for number in range(count):
            for side in ("clean", "noisy"):
                save(tmp_path / split / side / f"{number}.wav", tone(0.5 + 0.1 * number))
    return tmp_path


def test_the_report_is_printed_once(root):
    (root / "train" / "noisy" / "3.wav").write_text("no audio")
    printed = []
    corpora = open_corpora(config(kind="pairs", root=str(root)), printed.append)
    assert printed == [str(corpora.report)]
    assert printed[0].splitlines()[:3] == [
        "train: 5 utterances, 0.1 minutes",
        "valid: 4 utterances, 0.0 minutes",
        "1 file cannot be used as found:",
    ]
    assert "train/noisy/3.wav: cannot be decoded" in printed[0]


def test_strict_reports_and_refuses(root):
    (root / "valid" / "clean" / "3.wav").write_text("no audio")
    printed = []
    with pytest.raises(UserError, match=r"config.data.strict=True refuses 1 file: .*3\.wav"):
        open_corpora(config(kind="pairs", root=str(root), strict=True), printed.append)
    assert "3.wav" in printed[0]
    (root / "valid" / "clean" / "3.wav").unlink()
    (root / "valid" / "noisy" / "3.wav").unlink()
    open_corpora(config(kind="pairs", root=str(root), strict=True), printed.append)


def test_both_sets_have_the_same_bucket_lengths(root):
    corpora = open_corpora(config(kind="pairs", root=str(root), buckets=2), lambda report: None)
    buckets = corpora.train.bucket_lengths
    np.testing.assert_array_equal(buckets, corpora.valid.bucket_lengths)
    assert len(buckets) == 2
    assert buckets[-1] == 16128  # 1.0 s in whole hops


def test_digests_change_with_the_data(root):
    def digests():
        return open_corpora(config(kind="pairs", root=str(root)), lambda report: None).digests()

    before = digests()
    assert digests() == before
    for side in ("clean", "noisy"):
        save(root / "train" / side / "00.wav", tone(0.7))
    added = digests()
    for side in ("clean", "noisy"):
        save(root / "train" / side / "00.wav", tone(0.8))
    assert len({before, added, digests()}) == 3


def test_validation_can_be_made_smaller(root):
    corpora = open_corpora(
        config(kind="pairs", root=str(root), valid_utterances=2), lambda report: None
    )
    assert corpora.valid.names == ("0", "3")


def test_an_unknown_kind_is_a_user_error():
    with pytest.raises(UserError, match=r"config.data.kind='timit': choose one of demo, pairs"):
        open_corpora(config(kind="timit"))


def test_a_negative_number_of_buckets_is_a_user_error(root):
    with pytest.raises(UserError, match=r"config.data.buckets=-1: give at least 1"):
        open_corpora(config(kind="pairs", root=str(root), buckets=-1))


def test_accelerators_get_fewer_buckets(root, monkeypatch):
    def count():
        corpora = open_corpora(config(kind="pairs", root=str(root), buckets=0), lambda _: None)
        return len(corpora.train.bucket_lengths)

    on_cpu = count()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count() == 2 < on_cpu <= 4


def test_the_demo_corpus_is_the_default():
    tiny = {"train": 3, "valid": 2, "test": 1}
    corpora = open_corpora(config(demo=tiny), lambda report: None)
    assert len(corpora.train) == 3
    assert len(corpora.valid) == 2
