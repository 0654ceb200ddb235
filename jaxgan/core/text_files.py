"""Reads text files in the encodings that editors and spreadsheets write, and writes UTF-8."""

import codecs
import sys
from pathlib import Path

from etils import epath

from jaxgan.core.errors import UserError
from jaxgan.core.files import writable


def read_text(path: epath.PathLike, key: str, content: str) -> str:
    """Returns the text of a file in UTF-8, or in UTF-16 with a byte order mark, without the mark.

    Args:
        path: the file.
        key: the config key that names the file, followed by "=", or "", for messages.
        content: what the file should hold, for messages.

    Raises:
        UserError: the file cannot be read, or has another encoding.
    """
    try:
        data = epath.Path(path).read_bytes()
        utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf_16 else "utf-8-sig")
    except OSError as error:
        raise UserError(f"{key}{path} cannot be read: give {content} ({error})") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{key}{path} cannot be read: it is not UTF-8 text (byte {error.start}); convert it"
        ) from error


def write_text(output: str | Path | None, text: str) -> None:
    """Writes a text to a file in UTF-8, whose folder it makes, or to standard output.

    Args:
        output: the file; None for standard output.
        text: what to write.

    Raises:
        UserError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    path = Path(output).expanduser()
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
