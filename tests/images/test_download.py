import gzip
import hashlib
import io
import tarfile

import file_server
import numpy as np
import pytest

from jaxgan.core import download as core_download
from jaxgan.images import download
from jaxgan.images.data import cifar
from jaxgan.images.download import SOURCES, Source


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(core_download, "PAUSE_SECONDS", 0.0)
    with file_server.running() as server:
        yield server


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def archive(names=download.CIFAR10_FILES):
    """Files in the folder of the published archive, and others that must not be unpacked."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as target:
        for name in (*names, "batches.meta.txt", "../../evil.bin"):
            content = f"content of {name}".encode()
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def published(server, monkeypatch):
    """Small files in place of the published ones, on the second of two mirrors."""
    random = np.random.default_rng(0)
    mnist = {name: gzip.compress(random.bytes(30_000)) for name in SOURCES["mnist"].files}
    packed = archive()
    mirrors = (f"{server.url}/gone", f"{server.url}/mirror/")
    name = "cifar-10-binary.tar.gz"
    server.files = {f"/mirror/{name}": content for name, content in mnist.items()}
    server.files[f"/mirror/{name}"] = packed
    sources = {
        "mnist": Source(mirrors, {name: sha256(content) for name, content in mnist.items()}),
        "cifar10": SOURCES["cifar10"]._replace(mirrors=mirrors, files={name: sha256(packed)}),
    }
    monkeypatch.setattr(download, "SOURCES", sources)
    return mnist


def run(*arguments):
    return download.main([str(argument) for argument in arguments])


def test_files_come_from_the_first_mirror_that_has_them(server, published, tmp_path, capsys):
    place = tmp_path / "new" / "mnist"
    assert run("mnist", place) == 0
    assert {path.name: path.read_bytes() for path in place.iterdir()} == published
    output = capsys.readouterr()
    assert f"mnist is in {place}" in output.out
    assert "404 Not Found; trying another server" in output.err
    asked = len(server.asked)
    assert run("mnist", place) == 0
    assert len(server.asked) == asked


def test_an_interrupted_download_continues(server, published, tmp_path):
    name, content = next(iter(published.items()))
    (tmp_path / f"{name}.part").write_bytes(content[:10_000])
    assert run("mnist", tmp_path) == 0
    assert (tmp_path / name).read_bytes() == content
    assert (f"/mirror/{name}", "bytes=10000-") in server.asked


def test_a_connection_that_breaks_off_is_resumed(server, published, tmp_path):
    server.limit = 20_000
    assert run("mnist", tmp_path) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == published


def test_a_file_that_differs_from_the_published_one_is_not_kept(
    server, published, tmp_path, capsys
):
    name = next(iter(published))
    server.files[f"/mirror/{name}"] = b"something else"
    assert run("mnist", tmp_path) == 2
    assert f"{name}: the download was damaged and has been deleted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_users_file_that_differs_is_named_and_stays(server, published, tmp_path, capsys):
    name = next(iter(published))
    (tmp_path / name).write_bytes(b"packed anew")
    assert run("mnist", tmp_path) == 2
    assert f"{name} differs from the published file: remove it" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"packed anew"
    assert server.asked == []


def test_another_base_url_replaces_the_mirrors(server, published, tmp_path, capsys):
    assert run("mnist", tmp_path, "--base-url", f"{server.url}/mirror") == 0
    assert all(path.startswith("/mirror/") for path, _ in server.asked)
    assert run("mnist", tmp_path / "other", "--base-url", f"{server.url}/none") == 2
    message = capsys.readouterr().err
    assert message.endswith("the server answers 404 Not Found\n")


def test_cifar10_is_unpacked_and_its_archive_removed(server, published, tmp_path):
    assert run("cifar10", tmp_path) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        name: f"content of {name}" for name in download.CIFAR10_FILES
    }
    asked = len(server.asked)
    assert run("cifar10", tmp_path) == 0
    assert len(server.asked) == asked
    (tmp_path / download.CIFAR10_FILES[0]).unlink()
    assert run("cifar10", tmp_path) == 0
    assert (tmp_path / download.CIFAR10_FILES[0]).exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive()[:-40], "is damaged"),
        (b"not an archive", "is damaged"),
        (archive(download.CIFAR10_FILES[1:]), f"lacks {download.CIFAR10_FILES[0]}"),
    ],
)
def test_an_archive_without_its_files_is_refused(tmp_path, content, says):
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(content)
    with pytest.raises(download.UserError, match=rf"cifar\.tar\.gz {says}"):
        download.unpack_cifar10(path, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_cannot_be_made_and_an_unknown_name_are_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run("mnist", tmp_path / "file" / "deeper") == 2
    assert "cannot be created" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run("imagenet", tmp_path)
    assert caught.value.code == 2
    assert "mnist, fashion_mnist, cifar10" in capsys.readouterr().err.replace("'", "")


def test_every_source_has_checksums_and_mirrors_of_the_files_that_are_read():
    for name, source in SOURCES.items():
        assert source.mirrors
        assert all(len(bytes.fromhex(sha)) == 32 for sha in source.files.values()), name
    for name in ("mnist", "fashion_mnist"):
        assert sorted(SOURCES[name].files) == [
            f"{part}-{kind}-ubyte.gz"
            for part in ("t10k", "train")
            for kind in ("images-idx3", "labels-idx1")
        ]
