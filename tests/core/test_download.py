import hashlib

import file_server
import numpy as np
import pytest
from rich.progress import Progress

from jaxgan.core import download
from jaxgan.core.errors import UserError

CONTENT = np.random.default_rng(0).bytes(120_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    with file_server.running() as server:
        server.files["/file"] = CONTENT
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "a.zip"


def part_of(target):
    return target.with_name("a.zip.part")


def ranges(server):
    """The Range headers of all requests so far."""
    return [wanted for _, wanted in server.asked]


def fetch(server, target, name="file", **options):
    with Progress() as progress:
        download.fetch(f"{server.url}/{name}", target, progress, **options)


def test_a_file_is_downloaded_and_its_checksum_is_checked(server, target):
    fetch(server, target, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert ranges(server) == [None]


def test_a_damaged_file_is_deleted(server, target):
    with pytest.raises(UserError, match="/file: the download was damaged and has been deleted"):
        fetch(server, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_connection_that_breaks_off_is_resumed(server, target):
    server.limit = 50_000
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=50000-", "bytes=100000-"]


def test_a_later_call_continues_where_an_earlier_one_gave_up(server, target):
    server.limit = 0
    part_of(target).write_bytes(CONTENT[:70_000])
    with pytest.raises(UserError, match="continues from byte 70000"):
        fetch(server, target)
    assert len(server.asked) == download.ATTEMPTS
    server.limit = None
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server)[download.ATTEMPTS] == "bytes=70000-"


def test_a_server_without_ranges_sends_the_whole_file_again(server, target):
    server.ranges = False
    part_of(target).write_bytes(b"something else" * 1000)
    fetch(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("surplus", [b"", b"too much"])
def test_a_part_that_is_complete_or_too_long_becomes_the_file(server, target, surplus):
    part_of(target).write_bytes(CONTENT + surplus)
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_refusal_and_an_unreachable_server_are_reported(server, target):
    with pytest.raises(UserError, match="/other: the server answers 404"):
        fetch(server, target, "other")
    assert len(server.asked) == 1
    with Progress() as progress, pytest.raises(UserError, match="Connection refused"):
        download.fetch("http://127.0.0.1:9/file", target, progress)


def test_a_full_disk_is_reported_and_the_part_stays(server, target, monkeypatch):
    append = download._append

    def limited(file, data):
        append(file, data[:1000])
        raise UserError(f"{file.name} cannot be written: No space left on device")

    monkeypatch.setattr(download, "_append", limited)
    with pytest.raises(UserError, match="No space left"):
        fetch(server, target)
    assert part_of(target).stat().st_size == 1000


def test_a_write_error_names_the_file():
    class Full:
        name = "a.zip.part"

        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"a\.zip\.part cannot be written: No space left"):
        download._append(Full(), b"x")
