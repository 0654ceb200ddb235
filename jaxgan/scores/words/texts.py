"""Keeps descriptions by the content of the recording, so that each is made only once.

A language model takes seconds for a description and may not repeat its words. With its texts in the
user's cache folder, a run that is resumed sees the same rewards as one that was not stopped.
"""

import contextlib
import functools
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgan.core import cache

WAIT_SECONDS = 30.0
"""How long a process waits for others that are writing."""


class Texts:
    """Texts by key in a database that several processes may use at the same time.

    Args:
        path: the path of the database's file, which is created if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, text)")
            database.execute("CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n)")

    def get(self, key: str) -> str | None:
        """Returns the text of a key, or None."""
        with self._open() as database:
            return _get(database, key)

    def put(self, key: str, text: str) -> str:
        """Stores a text unless the key has one already, and returns the one that is stored."""
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (key, text))
            return _get(database, key) or text

    def count(self, name: str) -> int:
        """Adds 1 to a counter and returns it."""
        with self._open() as database:
            database.execute(
                "INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1",
                (name,),
            )
            row = database.execute("SELECT n FROM counts WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=WAIT_SECONDS)
        with contextlib.closing(connection) as database, database:
            yield database


def stored() -> Texts:
    """Returns the texts in the user's cache folder."""
    return _texts(cache.folder() / "texts" / "descriptions.sqlite")


@functools.cache
def _texts(path: Path) -> Texts:
    return Texts(path)


def _get(database: sqlite3.Connection, key: str) -> str | None:
    row = database.execute("SELECT text FROM texts WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def key(describe: object, samples: np.ndarray, sample_rate: int) -> str:
    """Returns the key of a description.

    Args:
        describe: the function that makes it; its repr must say what the text depends on.
        samples: float64 [n].
        sample_rate: the sample rate in Hz.
    """
    digest = hashlib.sha256(f"{describe!r}\n{sample_rate}\n".encode())
    digest.update(np.ascontiguousarray(samples, np.float64).tobytes())
    return digest.hexdigest()
