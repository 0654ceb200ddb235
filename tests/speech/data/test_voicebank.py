import io
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from corpora import config, save, tone
from rich.progress import Progress

from jaxgan.core import download
from jaxgan.core.errors import UserError
from jaxgan.speech.data import voicebank
from jaxgan.speech.data.audio import read
from jaxgan.speech.data.pairs import VOICEBANK_TEST, VOICEBANK_TRAIN

PUBLISHED = {**dict.fromkeys(VOICEBANK_TRAIN, 4), **dict.fromkeys(VOICEBANK_TEST, 2)}


def corpus(root, folders=VOICEBANK_TRAIN, speakers=("p225", "p226", "p287", "p300"), rate=16000):
    for folder in folders:
        for speaker in speakers:
            for number in range(2):
                save(root / folder / f"{speaker}_{number:03d}.wav", tone(0.5, rate), rate)


def test_two_speakers_are_for_validation_and_the_test_set_is_not_read(tmp_path):
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


def test_user_errors_say_what_to_do(tmp_path):
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
    """Returns a zip file like the published ones, including the files that macOS adds."""
    random = np.random.default_rng(0)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/", "")
        archive.writestr(f"__MACOSX/{folder}/._p1_0.wav", b"x")
        archive.writestr(f"{folder}/.DS_Store", b"x")
        for number in range(count):
            archive.writestr(f"{folder}/p{number}_0.wav", random.bytes(30_000))
    return content.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `files`, cuts every response off after `limit` bytes and records the requests."""

    def __init__(self):
        self.files, self.limit, self.ranges, self.requests = {}, None, True, []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/mirror"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        content = self.server.files.get(self.path.removeprefix("/mirror/"))
        if content is None:
            return self.send_error(404)
        start = (
            int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        )
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])
        self.close_connection = True
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(voicebank, "PUBLISHED", PUBLISHED)
    with Server() as running:
        running.files = {f"{name}.zip": zipped(name, count) for name, count in PUBLISHED.items()}
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def run(server, folder, *options):
    return voicebank.main([str(folder), "--base-url", server.url, *options])


def test_everything_is_downloaded_verified_and_unpacked(server, tmp_path, capsys):
    folder = tmp_path / "new" / "voicebank"
    assert run(server, folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(PUBLISHED)
    for name, count in PUBLISHED.items():
        assert len(list((folder / name).iterdir())) == count
        with zipfile.ZipFile(io.BytesIO(server.files[f"{name}.zip"])) as archive:
            assert (folder / name / "p1_0.wav").read_bytes() == archive.read(f"{name}/p1_0.wav")
    assert "VoiceBank-DEMAND is in" in capsys.readouterr().out
    requests = len(server.requests)
    assert run(server, folder) == 0
    assert len(server.requests) == requests


def test_zips_can_be_kept(server, tmp_path):
    assert run(server, tmp_path, "--keep-zips") == 0
    for name, content in server.files.items():
        assert (tmp_path / name).read_bytes() == content


def test_a_connection_that_breaks_off_is_resumed(server, tmp_path):
    server.limit = 50_000
    assert run(server, tmp_path) == 0
    ranges = [wanted for path, wanted in server.requests if VOICEBANK_TRAIN[0] in path]
    assert ranges == [None, "bytes=50000-", "bytes=100000-"]


def test_a_later_start_continues_where_an_earlier_one_gave_up(server, tmp_path, capsys):
    server.limit = 0
    (tmp_path / f"{VOICEBANK_TRAIN[0]}.zip.part").write_bytes(
        server.files[f"{VOICEBANK_TRAIN[0]}.zip"][:70_000]
    )
    assert run(server, tmp_path) == 2
    assert "goes on from byte 70000" in capsys.readouterr().err
    assert len(server.requests) == download.ATTEMPTS
    server.limit = None
    assert run(server, tmp_path) == 0
    assert server.requests[download.ATTEMPTS][1] == "bytes=70000-"


def test_a_server_without_ranges_starts_from_the_beginning(server, tmp_path):
    server.ranges = False
    name = f"{VOICEBANK_TRAIN[0]}.zip"
    (tmp_path / f"{name}.part").write_bytes(b"something else" * 1000)
    assert run(server, tmp_path, "--keep-zips") == 0
    assert (tmp_path / name).read_bytes() == server.files[name]


@pytest.mark.parametrize("surplus", [b"", b"too much"])
def test_a_partial_file_that_is_complete_or_too_long(server, tmp_path, surplus):
    name = f"{VOICEBANK_TRAIN[0]}.zip"
    (tmp_path / f"{name}.part").write_bytes(server.files[name] + surplus)
    assert run(server, tmp_path, "--keep-zips") == 0
    assert (tmp_path / name).read_bytes() == server.files[name]


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


def test_a_different_number_of_files_than_published_is_a_user_error(server, tmp_path, capsys):
    name = VOICEBANK_TEST[1]
    server.files[f"{name}.zip"] = zipped(name, 1)
    assert run(server, tmp_path) == 2
    assert "contains 1 audio files where 2 were published" in capsys.readouterr().err


def test_a_refusal_and_an_unreachable_server_are_user_errors(server, tmp_path, capsys):
    server.files.clear()
    assert run(server, tmp_path) == 2
    assert "the server answers 404" in capsys.readouterr().err
    assert voicebank.main([str(tmp_path), "--base-url", "http://127.0.0.1:9/x"]) == 2
    message = capsys.readouterr().err
    assert "Connection refused" in message
    assert message.count("\n") == 1


def test_a_full_disk_is_a_user_error_and_keeps_the_partial_file(
    server, tmp_path, monkeypatch, capsys
):
    name = f"{VOICEBANK_TRAIN[0]}.zip"
    append = download._append

    def limited(file, data):
        append(file, data[:1000])
        raise UserError(f"{file.name} cannot be written: No space left on device")

    monkeypatch.setattr(download, "_append", limited)
    assert run(server, tmp_path) == 2
    assert "No space left" in capsys.readouterr().err
    assert (tmp_path / f"{name}.part").stat().st_size == 1000


def test_a_write_error_names_the_file(tmp_path):
    class Full:
        name = "a.zip.part"

        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"a.zip.part cannot be written: No space left"):
        download._append(Full(), b"x")
    (tmp_path / "file").touch()
    with Progress() as progress, pytest.raises(UserError, match="cannot be created"):
        voicebank.download(tmp_path / "file" / "deeper", "http://127.0.0.1:9", False, progress)


def test_an_archive_cannot_write_elsewhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../evil.wav", b"x")
        archive.writestr("/etc/evil2.wav", b"x")
    voicebank.unpack(tmp_path / "a.zip", tmp_path / "a")
    assert sorted(os.listdir(tmp_path / "a")) == ["evil.wav", "evil2.wav"]
    assert sorted(os.listdir(tmp_path)) == ["a", "a.zip"]
