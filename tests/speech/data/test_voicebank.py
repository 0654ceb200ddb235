import io
import os
import zipfile

import numpy as np
import pytest
from corpora import config, save, tone
from rich.progress import Progress

from jaxgan.core.errors import UserError
from jaxgan.speech.data import voicebank
from jaxgan.speech.data.audio import read
from jaxgan.speech.data.pairs import VOICEBANK_TEST, VOICEBANK_TRAIN

PUBLISHED = {**dict.fromkeys(VOICEBANK_TRAIN, 4), **dict.fromkeys(VOICEBANK_TEST, 2)}


def corpus(place, folders=VOICEBANK_TRAIN, speakers=("p225", "p226", "p287", "p300"), rate=16000):
    for folder in folders:
        for speaker in speakers:
            for number in range(2):
                save(place / folder / f"{speaker}_{number:03d}.wav", tone(0.5, rate), rate)


def test_two_speakers_are_for_validation_and_the_test_set_is_not_touched(tmp_path):
    corpus(tmp_path)
    corpus(tmp_path, VOICEBANK_TEST, ("p232", "p257"))
    train, valid, problems = voicebank.open_voicebank(config(root=str(tmp_path)).data)
    assert train.names == ("p225_000", "p225_001", "p300_000", "p300_001")
    assert valid.names == ("p226_000", "p226_001", "p287_000", "p287_001")
    assert problems == ()


def test_other_speakers_can_be_chosen(tmp_path):
    corpus(tmp_path)
    data = config(root=str(tmp_path), valid_speakers=("p300",)).data
    _, valid, _ = voicebank.open_voicebank(data)
    assert valid.names == ("p300_000", "p300_001")


def test_48_khz_files_are_resampled_once(tmp_path, own_cache, monkeypatch):
    corpus(tmp_path, rate=48000)
    train, _, _ = voicebank.open_voicebank(config(root=str(tmp_path)).data)
    assert len(list((own_cache / "audio").iterdir())) == 2
    monkeypatch.setattr("jaxgan.speech.data.waves.decode", None)
    again, _, _ = voicebank.open_voicebank(config(root=str(tmp_path)).data)
    for number in range(len(train)):
        np.testing.assert_array_equal(train.noisy(number), again.noisy(number))
    np.testing.assert_array_equal(
        train.clean(0), read(tmp_path / VOICEBANK_TRAIN[0] / "p225_000.wav")[0]
    )


def test_mistakes_say_what_to_do(tmp_path):
    with pytest.raises(
        UserError, match=r"python -m jaxgan.speech.data.voicebank .* downloads them"
    ):
        voicebank.open_voicebank(config(root=str(tmp_path)).data)
    corpus(tmp_path)
    for speakers, says in {
        ("p999",): "no usable file of speaker 'p999'",
        (): "must leave speakers for both",
        ("p225", "p226", "p287", "p300"): "must leave speakers for both",
    }.items():
        with pytest.raises(UserError, match=says):
            voicebank.open_voicebank(config(root=str(tmp_path), valid_speakers=speakers).data)


def zipped(folder, count):
    """A zip file like the published ones, with what a Mac adds to it."""
    random = np.random.default_rng(0)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/", "")
        archive.writestr(f"__MACOSX/{folder}/._p1_0.wav", b"x")
        archive.writestr(f"{folder}/.DS_Store", b"x")
        for number in range(count):
            archive.writestr(f"{folder}/p{number}_0.wav", random.bytes(30_000))
    return content.getvalue()


class Server:
    """Stands in for `fetch`: serves `files` under one address and records what it was asked for."""

    url = "http://server/mirror"

    def __init__(self):
        self.files, self.asked = {}, []

    def fetch(self, url, target, progress):
        self.asked.append(url)
        name = url.removeprefix(f"{self.url}/")
        if name not in self.files:
            raise UserError(f"{url}: the server answers 404 Not Found")
        target.write_bytes(self.files[name])


@pytest.fixture
def server(monkeypatch):
    made = Server()
    made.files = {f"{name}.zip": zipped(name, count) for name, count in PUBLISHED.items()}
    monkeypatch.setattr(voicebank, "fetch", made.fetch)
    monkeypatch.setattr(voicebank, "PUBLISHED", PUBLISHED)
    return made


def run(server, place, *options):
    return voicebank.main([str(place), "--base-url", server.url, *options])


def test_everything_is_downloaded_verified_and_unpacked(server, tmp_path, capsys):
    place = tmp_path / "new" / "voicebank"
    assert run(server, place) == 0
    assert sorted(path.name for path in place.iterdir()) == sorted(PUBLISHED)
    for name, count in PUBLISHED.items():
        assert len(list((place / name).iterdir())) == count
        with zipfile.ZipFile(io.BytesIO(server.files[f"{name}.zip"])) as archive:
            assert (place / name / "p1_0.wav").read_bytes() == archive.read(f"{name}/p1_0.wav")
    assert "VoiceBank-DEMAND is in" in capsys.readouterr().out
    asked = len(server.asked)
    assert run(server, place) == 0
    assert len(server.asked) == asked


def test_zips_can_be_kept(server, tmp_path):
    assert run(server, tmp_path, "--keep-zips") == 0
    for name, content in server.files.items():
        assert (tmp_path / name).read_bytes() == content


def test_a_damaged_zip_is_deleted_and_named(server, tmp_path, capsys):
    name = f"{VOICEBANK_TRAIN[0]}.zip"
    good = server.files[name]
    damaged = bytearray(good)
    damaged[60_000] ^= 255
    server.files[name] = bytes(damaged)
    assert run(server, tmp_path) == 2
    assert "was damaged" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    server.files[name] = good
    assert run(server, tmp_path) == 0


def test_another_number_of_files_than_published_is_refused(server, tmp_path, capsys):
    name = VOICEBANK_TEST[1]
    server.files[f"{name}.zip"] = zipped(name, 1)
    assert run(server, tmp_path) == 2
    assert "contains 1 audio files where 2 were published" in capsys.readouterr().err


def test_a_refusal_is_reported_in_one_line(server, tmp_path, capsys):
    server.files.clear()
    assert run(server, tmp_path) == 2
    message = capsys.readouterr().err
    assert "the server answers 404" in message
    assert message.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with Progress() as progress, pytest.raises(UserError, match="cannot be created"):
        voicebank.download(tmp_path / "file" / "deeper", "http://server", False, progress)


def test_an_archive_cannot_write_elsewhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../evil.wav", b"x")
        archive.writestr("/etc/evil2.wav", b"x")
    voicebank.unpack(tmp_path / "a.zip", tmp_path / "a")
    assert sorted(os.listdir(tmp_path / "a")) == ["evil.wav", "evil2.wav"]
    assert sorted(os.listdir(tmp_path)) == ["a", "a.zip"]
