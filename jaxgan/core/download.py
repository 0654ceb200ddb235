"""Downloads large files over HTTP, with a progress bar; interrupted downloads are resumed."""

import http
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jaxgan.core.checksums import digest
from jaxgan.core.errors import UserError

CHUNK = 1 << 18
ATTEMPTS = 6
"""The number of connections in a row that may fail without delivering a new byte."""
PAUSE_SECONDS = 2.0
"""The pause before the second connection; it doubles before each further one."""
TIMEOUT_SECONDS = 60


def progress_bars() -> Progress:
    """Returns the display for `fetch`: one bar for each file, with its size, speed and time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )


def fetch(url: str, target: Path, progress: Progress, sha256: str | None = None) -> None:
    """Downloads a file, continuing from what an earlier call has left in `TARGET.part`.

    Args:
        url: http or https.
        target: the file; it appears under this name only when it is complete.
        progress: gets a bar for this file.
        sha256: the checksum that the file must have, in lower-case hexadecimal digits.

    Raises:
        UserError: the server refuses, cannot be reached, or breaks off again and again; the disk
            is full; or the file is damaged, which deletes it. Otherwise the part that has arrived
            stays for the next call.
    """
    part = target.with_name(target.name + ".part")
    bar = progress.add_task(target.name, total=None)
    failures = 0
    while True:
        before = _size(part)
        try:
            if _resume(url, part, progress, bar):
                _check(part, sha256, url)
                part.rename(target)
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise UserError(f"{url}: the server answers {error.code} {error.reason}") from error
            reason = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = failures + 1 if _size(part) <= before else 1
        if failures >= ATTEMPTS:
            raise UserError(f"{url}: {reason}; the same command continues from byte {_size(part)}")
        time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


def _resume(url: str, part: Path, progress: Progress, bar: TaskID) -> bool:
    """Appends the bytes of one connection; returns whether the file is then complete."""
    have = _size(part)
    headers = {"User-Agent": "jaxgan", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # The server has no further bytes: the part is the whole file, or longer than the file.
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return True
        part.unlink()
        return False
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        have = 0
    left = response.headers.get("Content-Length")
    total = have + int(left) if left else None
    progress.update(bar, total=total, completed=have)
    with response, _opened(part, "ab" if have else "wb") as file:
        while data := response.read(CHUNK):
            _append(file, data)
            progress.advance(bar, len(data))
    return total is None or _size(part) == total


def _check(part: Path, sha256: str | None, url: str) -> None:
    if sha256 is not None and digest(part) != sha256:
        part.unlink()
        raise UserError(f"{url}: the download was damaged and has been deleted; try again")


def _opened(part: Path, mode: str) -> BinaryIO:
    try:
        return cast(BinaryIO, part.open(mode))
    except OSError as error:
        raise UserError(f"{part} cannot be written: {error.strerror}") from error


def _append(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise UserError(f"{file.name} cannot be written: {error.strerror}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
