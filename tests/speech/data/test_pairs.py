import os
from pathlib import Path

import numpy as np
import pytest
from corpora import config, save, tone

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, pairs


def fill(folder, names, clean="clean", noisy="noisy", seconds=0.6):
    random = np.random.default_rng(0)
    for number, name in enumerate(names):
        speech = tone(seconds, hertz=200 + 20 * number)
        save(folder / clean / f"{name}.wav", speech)
        save(folder / noisy / f"{name}.wav", speech + 0.05 * random.standard_normal(len(speech)))


def test_files_are_paired_by_name_whatever_their_suffix(tmp_path):
    fill(tmp_path, ["a", "b"])
    save(tmp_path / "clean" / "deep" / "c.flac", tone(0.7))
    save(tmp_path / "noisy" / "deep" / "c.ogg", tone(0.7))
    found, problems = pairs.read_pairs(tmp_path)
    assert found.names == ("a", "b", "deep/c")
    assert problems == ()
    np.testing.assert_array_equal(found.clean(1), audio.read(tmp_path / "clean" / "b.wav")[0])
    np.testing.assert_array_equal(found.noisy(1), audio.read(tmp_path / "noisy" / "b.wav")[0])


def test_equal_names_form_pairs_before_names_with_other_suffixes(tmp_path):
    fill(tmp_path, ["a", "b"])
    for name in ("clean/a.flac", "clean/c.flac", "noisy/c.ogg", "clean/d.flac", "noisy/d.flac"):
        save(tmp_path / name, tone(0.7))
    save(tmp_path / "clean" / "d.wav", tone(0.8))
    save(tmp_path / "noisy" / "d.wav", tone(0.8))
    found, problems = pairs.read_pairs(tmp_path)
    assert found.names == ("a", "b", "c", "d.flac", "d.wav")
    np.testing.assert_array_equal(found.lengths, [9600, 9600, 11200, 11200, 12800])
    assert [problem.path for problem in problems] == [str(tmp_path / "clean" / "a.flac")]


def test_unicode_forms_of_a_name_are_the_same_and_any_bytes_are_a_name(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name in (f"clean/{composed}.wav", f"noisy/{decomposed}.wav"):
        save(tmp_path / name, tone(0.6))
    (tmp_path / "conditions.csv").write_text(f"name,snr\n{decomposed},5\n", "utf-8")
    found, problems = pairs.read_pairs(tmp_path)
    assert found.names == (composed,)
    assert found.conditions == {"snr": ("5",)}
    assert problems == ()
    (tmp_path / "conditions.csv").unlink()
    latin = os.fsdecode(b"caf\xe9.wav")
    for side in ("clean", "noisy"):
        (tmp_path / side / latin).write_bytes((tmp_path / f"clean/{composed}.wav").read_bytes())
    found, problems = pairs.read_pairs(tmp_path)
    assert found.names == (composed, latin[:-4])
    assert problems == ()


def test_conditions_are_read_from_a_table(tmp_path):
    fill(tmp_path, ["a", "b", "c"])
    table = tmp_path / "conditions.csv"
    table.write_text("snr,name,noise\n5,c,bus\n0,a,cafe\n2.5,b,\n7,other,bus\n")
    found, _ = pairs.read_pairs(tmp_path)
    assert found.conditions == {"snr": ("0", "2.5", "5"), "noise": ("cafe", "", "bus")}
    chosen = found.select(np.array([2, 0]))
    assert chosen.conditions == {"snr": ("5", "0"), "noise": ("bus", "cafe")}
    pairs.write_conditions(chosen, tmp_path)
    assert table.read_text().splitlines() == ["name,snr,noise", "c,5,bus", "a,0,cafe"]
    with pytest.raises(UserError, match=r"conditions\.csv: has no row for 'b'"):
        pairs.read_pairs(tmp_path)
    table.write_text("file,snr\n")
    with pytest.raises(UserError, match=r"conditions\.csv: its first line has no column 'name'"):
        pairs.read_pairs(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_conditions_may_have_a_byte_order_mark_and_spaces(tmp_path, encoding):
    (tmp_path / "c.csv").write_text("name, noise\r\na, café\r\n", encoding)
    assert pairs.read_conditions(tmp_path / "c.csv", ("a",)) == {"noise": ("café",)}


def test_conditions_in_another_encoding_are_a_user_error(tmp_path):
    (tmp_path / "c.csv").write_text("name,noise\na,café\n", "latin-1")
    with pytest.raises(UserError, match=r"c\.csv cannot be read: it is not UTF-8 text"):
        pairs.read_conditions(tmp_path / "c.csv", ("a",))


def test_every_bad_pair_is_named_with_its_reason(tmp_path):
    fill(
        tmp_path,
        [
            "good",
            "good2",
            "corrupt",
            "empty",
            "silent",
            "nan",
            "short",
            "brief",
            "long",
            "lonely",
            "unequal",
            "nearly",
        ],
    )
    clean, noisy = tmp_path / "clean", tmp_path / "noisy"
    (noisy / "corrupt.wav").write_bytes(b"RIFF0000")
    save(clean / "empty.wav", np.zeros(0))
    save(clean / "silent.wav", np.zeros(9600))
    save(noisy / "nan.wav", np.full(9600, np.nan), subtype="FLOAT")
    for side in (clean, noisy):
        save(side / "short.wav", tone(0.2))
        save(side / "brief.wav", tone(0.3))
        save(side / "long.wav", tone(3.0))
    (noisy / "lonely.wav").unlink()
    save(noisy / "unequal.wav", tone(0.6 + 17 / 16000))
    save(noisy / "nearly.wav", tone(0.6 + 16 / 16000))
    data = config(root=str(tmp_path), longest_seconds=2.0).data
    train, valid, problems = pairs.open_pairs(data)
    assert sorted(train.names + valid.names) == ["good", "good2", "nearly"]
    found_problems = {
        (Path(p.path).parent.name, Path(p.path).stem): f"{p.reason}; {p.action}" for p in problems
    }
    expected = {
        ("noisy", "corrupt"): "cannot be decoded",
        ("clean", "empty"): "empty",
        ("clean", "silent"): "silent",
        ("noisy", "nan"): "NaN or infinite",
        ("clean", "short"): "too short for PESQ",
        ("noisy", "short"): "too short for PESQ",
        ("clean", "brief"): "too short for the discriminator",
        ("noisy", "brief"): "too short for the discriminator",
        ("clean", "long"): "longer than config.data.longest_seconds=2",
        ("noisy", "long"): "longer than config.data.longest_seconds=2",
        ("clean", "lonely"): "no counterpart",
        ("noisy", "unequal"): "has 9617 samples",
        ("noisy", "nearly"): "both trimmed to the shorter length",
    }
    assert found_problems.keys() == expected.keys()
    for key, reason in expected.items():
        assert reason in found_problems[key]
        assert ("skipped" in found_problems[key]) == (key[1] != "nearly")
    for corpus in (train, valid):
        for number, name in enumerate(corpus.names):
            assert len(corpus.clean(number)) == len(corpus.noisy(number)) == 9600, name


def test_train_and_valid_folders_are_used_where_they_exist(tmp_path):
    fill(tmp_path / "train", ["a", "b", "c"])
    fill(tmp_path / "valid", ["d"])
    train, valid, _ = pairs.open_pairs(config(root=str(tmp_path)).data)
    assert train.names == ("a", "b", "c")
    assert valid.names == ("d",)


def test_without_them_speakers_are_held_out(tmp_path):
    fill(tmp_path, [f"p{speaker}_{number}" for speaker in range(5) for number in range(2)])
    train, valid, _ = pairs.open_pairs(config(root=str(tmp_path), valid_share=0.2).data)
    assert len(train) == 8
    assert len(valid) == 2
    assert valid.names[0].split("_")[0] == valid.names[1].split("_")[0]
    np.testing.assert_array_equal(
        valid.clean(1), audio.read(tmp_path / "clean" / f"{valid.names[1]}.wav")[0]
    )


def test_voicebank_folders_are_accepted_but_its_test_set_not_for_training(tmp_path):
    fill(tmp_path, ["p1_1"], *pairs.VOICEBANK_TEST)
    assert pairs.read_pairs(tmp_path)[0].names == ("p1_1",)
    with pytest.raises(UserError, match="needs the folders clean and noisy"):
        pairs.open_pairs(config(root=str(tmp_path)).data)
    fill(tmp_path, ["p2_1", "p3_1"], *pairs.VOICEBANK_TRAIN)
    train, valid, _ = pairs.open_pairs(config(root=str(tmp_path)).data)
    assert sorted(train.names + valid.names) == ["p2_1", "p3_1"]


def test_a_test_set_keeps_short_and_silent_files(tmp_path):
    fill(tmp_path, ["short"], seconds=0.1)
    fill(tmp_path, ["long"], seconds=25)
    for side in ("clean", "noisy"):
        save(tmp_path / side / "silent.wav", np.zeros(9600))
    (tmp_path / "clean" / "bad.wav").write_text("no audio")
    (tmp_path / "noisy" / "bad.wav").write_text("no audio")
    found, problems = pairs.read_pairs(tmp_path)
    assert found.names == ("long", "short", "silent")
    assert found.lengths.tolist() == [400000, 1600, 9600]
    assert len(problems) == 2


def test_user_errors_name_the_folder(tmp_path):
    with pytest.raises(UserError, match=r"config.data.root is not set"):
        pairs.open_pairs(config().data)
    with pytest.raises(UserError, match="needs the folders clean and noisy"):
        pairs.open_pairs(config(root=str(tmp_path)).data)
    with pytest.raises(UserError, match="needs the folders clean and noisy, or clean_testset_wav"):
        pairs.read_pairs(tmp_path)
    (tmp_path / "clean").mkdir()
    (tmp_path / "noisy").mkdir()
    with pytest.raises(UserError, match="contains no audio files"):
        pairs.read_pairs(tmp_path)
    save(tmp_path / "clean" / "a.wav", tone(0.5))
    with pytest.raises(UserError, match=r"none of its 1 audio files.*no counterpart"):
        pairs.read_pairs(tmp_path)
