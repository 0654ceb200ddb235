"""Keeps descriptions by the content of the recording, so that each is made only once.

A language model takes seconds for a description and may not repeat its words. With its texts in the
user's cache folder, a run that is resumed sees the same rewards as one that was not stopped.
"""

import contextlib
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
        path: of the database's file; it is created when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str) -> str | None:
        """Returns the text of a key, or None."""
        with self._open() as database:
            row = database.execute("SELECT text FROM texts WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put(self, key: str, text: str) -> str:
        """Stores a text unless the key has one already, and returns the one that is stored."""
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (key, text))
        return self.get(key) or text

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
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._path, timeout=WAIT_SECONDS)) as database:
            with database:
                database.execute("CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, text)")
                database.execute("CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n)")
            with database:
                yield database


def stored() -> Texts:
    """Returns the texts in the user's cache folder."""
    return Texts(cache.folder() / "texts" / "descriptions.sqlite")


def key(describe: object, samples: np.ndarray, sample_rate: int) -> str:
    """Returns the key of a description.

    Args:
        describe: what makes it; its repr must say what the text depends on.
        samples: float64 [n].
        sample_rate: in Hz.
    """
    digest = hashlib.sha256(f"{describe!r}\n{sample_rate}\n".encode())
    digest.update(np.ascontiguousarray(samples, np.float64).tobytes())
    return digest.hexdigest()
