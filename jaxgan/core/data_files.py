"""Files of data that a user gives: finds them, and reports those that cannot be used."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxgan.core.errors import UserError

LEFT_OUT = "left_out.txt"
"""The file, in the folder of a run or of an evaluation, that names all unusable files."""
SKIPPED = "skipped"
EXAMPLES = 3
"""Files of one reason that `summarise` names."""
_VARIABLE = re.compile(r"\S*/\S*|\d+(\.\d+)?")
LISTED_IN_ERROR = 10
"""Files that the error of `refuse` names; it only counts the others."""


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used as it is.

    Attributes:
        path: the file.
        reason: why it cannot be used.
        action: what is done about it.
    """

    path: str
    reason: str
    action: str = SKIPPED

    def __str__(self) -> str:
        """Returns one line: the file, the reason and the action."""
        return printable(f"{self.path}: {self.reason}; {self.action}")


def summarise(problems: Sequence[Problem]) -> list[str]:
    """Returns lines for the screen: the number of files for each reason, with three examples.

    Reasons that only differ in numbers and paths count as one.
    """
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        kind = _VARIABLE.sub("#", f"{problem.reason}; {problem.action}")
        groups.setdefault(kind, []).append(problem)
    lines = []
    for group in sorted(groups.values(), key=len, reverse=True):
        if len(group) <= EXAMPLES:
            lines += [str(problem) for problem in group]
            continue
        named = ", ".join(problem.path for problem in group[:EXAMPLES])
        example = f"{group[0].reason}; {group[0].action}"
        lines.append(printable(f"{count_files(len(group))} such as {named}: {example}"))
    return lines


def describe(problems: Sequence[Problem]) -> list[str]:
    """Returns the lines of a report: how many files cannot be used, and `summarise`."""
    if not problems:
        return []
    shown = summarise(problems)
    whole = f"; {LEFT_OUT} lists them" if len(shown) < len(problems) else ""
    heading = f"{count_files(len(problems))} cannot be used as found{whole}:"
    return [heading, *(f"  {line}" for line in shown)]


def list_of(problems: Sequence[Problem]) -> dict[str, bytes]:
    """Returns a file that names every problem, by its name; it is empty without problems."""
    return {LEFT_OUT: "".join(f"{problem}\n" for problem in problems).encode()}


def printable(text: str) -> str:
    """Returns text with the bytes of file names that are not UTF-8 as escapes."""
    return text.encode(errors="backslashreplace").decode()


def refuse(problems: Sequence[Problem]) -> None:
    """Raises UserError if there are any problems, as config.data.strict=True requires."""
    if not problems:
        return
    named = "; ".join(f"{problem.path}: {problem.reason}" for problem in problems[:LISTED_IN_ERROR])
    more = len(problems) - LISTED_IN_ERROR
    rest = f"; and {more} more" if more > 0 else ""
    raise UserError(
        f"config.data.strict=True refuses {count_files(len(problems))}: {printable(named)}{rest}. "
        "Fix or remove them, or set config.data.strict=False to train without them"
    )


def count_files(count: int) -> str:
    """Returns a number of files in words: "1 file", "2 files"."""
    return "1 file" if count == 1 else f"{count} files"


def existing_folder(key: str, folder: str | os.PathLike[str]) -> Path:
    """Returns the path of a folder, with ~ expanded.

    Args:
        key: the config key or flag that names the folder, for messages.
        folder: its value.

    Raises:
        UserError: the value is empty, or there is no such folder.
    """
    if not str(folder):
        raise UserError(f"{key} is not set: give the folder")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"{key}={folder}: there is no such folder")
    return path


def find(folder: str | os.PathLike[str], suffixes: Collection[str]) -> list[str]:
    """Lists files under a folder at any depth, following links to folders.

    Args:
        folder: where to look.
        suffixes: the suffixes of the wanted files, in lower case and with their dot; in file names
            case does not matter.

    Returns:
        Sorted paths relative to the folder, with "/" between their parts. Hidden files, and the
        files in hidden folders are ignored.
    """
    return sorted(_walk(Path(folder), suffixes, "", frozenset()))


def _walk(
    folder: Path, suffixes: Collection[str], prefix: str, ancestors: frozenset[str]
) -> Iterator[str]:
    # A link to a folder that contains it would never end; two links to one folder are two folders.
    real = os.path.realpath(folder)
    if real in ancestors:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(
                folder / entry.name, suffixes, f"{prefix}{entry.name}/", ancestors | {real}
            )
        elif Path(entry.name).suffix.lower() in suffixes:
            yield prefix + entry.name
