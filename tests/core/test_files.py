"""Files of a run in an object store, which cannot rename or append."""

import contextlib
import errno
import fcntl

import fsspec
import numpy as np
import pytest
import toy
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan.core import checksums, files, history, log, loop
from jaxgan.core import config as configs
from jaxgan.core.errors import UserError


class ObjectStore(MemoryFileSystem):
    """An object store like gs://, in memory."""

    protocol = ("gcs", "gs")
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(str(path).partition("://")[2] or str(path))

    def _open(self, path, mode="rb", **options):
        assert mode in ("rb", "wb"), "objects cannot be appended to"
        return super()._open(path, mode, **options)

    def mv(self, *names, **options):
        raise AssertionError("objects cannot be renamed")

    cp_file = mv


@pytest.fixture
def workdir(monkeypatch):
    """An empty folder at gs://."""
    monkeypatch.setattr(ObjectStore, "store", {})
    monkeypatch.setattr(ObjectStore, "pseudo_dirs", [""])
    # This is never undone: no test needs the real implementation.
    fsspec.register_implementation("gcs", ObjectStore, clobber=True)
    return files.absolute("gs://bucket/run")


def test_configs(workdir):
    config = toy.get_config()
    configs.write(config, workdir)
    assert not configs.differences(config, configs.read(workdir))
    with pytest.raises(UserError, match=r"gs://bucket/other/config\.json does not exist"):
        configs.read("gs://bucket/other")


def test_history(workdir):
    folder = workdir / history.FOLDER
    digests = [history.write(folder, {"x": np.arange(number)}, number) for number in (1, 2)]
    assert [list(record["x"]) for record in history.read(folder, digests)] == [[0], [0, 1]]
    with pytest.raises(UserError, match=r"gs://bucket/run/history/round_000001\.npz is damaged"):
        dict(history.read(folder, digests[::-1])[0])
    history.remove_unused(folder, [2], 1)
    assert [path.name for path in folder.iterdir()] == ["round_000002.npz"]


def test_checksums(workdir):
    for name in ("a", "below/b"):
        (workdir / name).write_bytes(name.encode())
    checksums.check(workdir)
    checksums.write(workdir)
    checksums.check(workdir)
    (workdir / "below/b").write_bytes(b"c")
    checksums.check(workdir, ("a",))
    with pytest.raises(ValueError, match="below/b is damaged"):
        checksums.check(workdir, ("below",))


def test_metrics(workdir, monkeypatch):
    class NoBoard:
        def __init__(self, folder, number):
            pass

        def write(self, row, media):
            pass

    # TensorBoard writes to gs:// with a client of its own.
    monkeypatch.setattr(log, "_Board", NoBoard)
    for done, numbers in [(0, (1, 2, 3)), (1, (2,))]:
        written = log.Log(workdir, done)
        for number in numbers:
            written.write({"round": number, "done": done}, {})
    assert [(row["round"], row["done"]) for row in log.read(workdir)] == [(1, 0), (2, 1)]


def test_folders_in_an_object_store_are_not_claimed(workdir):
    with files.claimed(workdir), files.claimed(workdir):
        assert not ObjectStore.store


def test_one_claim_at_a_time(tmp_path):
    folder = epath.Path(tmp_path)
    refused = pytest.raises(UserError, match="another run is using")
    with files.claimed(folder), refused, files.claimed(folder):
        pass
    with files.claimed(folder):
        pass


def test_a_disk_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def refuse(*given):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(files.claimed(epath.Path(tmp_path)))


def test_a_store_that_cannot_be_reached_is_reported_in_one_line(monkeypatch):
    def fail(path):
        raise ImportError("Please install gcsfs\nto access it")

    monkeypatch.setattr(type(epath.Path("gs://bucket/run")), "exists", fail)
    with pytest.raises(UserError) as error:
        configs.read("gs://bucket/run")
    assert str(error.value).startswith("gs://bucket/run/config.json cannot be reached (Please")
    with pytest.raises(UserError, match=r"^gs://bucket/run cannot be reached \(Please install"):
        loop.check(toy.get_config(), "gs://bucket/run")
    files.check_reachable(epath.Path("/nowhere"))
