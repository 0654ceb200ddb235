"""The hook for experiment trackers: a user's function that receives each row of metrics."""

from collections.abc import Callable, Mapping

from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path, one_line

Row = Mapping[str, int | float | None]
LogRow = Callable[[dict[str, int | float | None]], None]
"""Receives one line of metrics.jsonl as a dict of its own."""


def load(path: str) -> LogRow | None:
    """Returns the function that `config.tracker` names; None if it names none.

    Args:
        path: `module:function`, or an empty string.

    Raises:
        UserError: the path is not one, the module cannot be imported, or it has no such function.
    """
    if not path:
        return None
    if ":" not in path:
        raise UserError(f"config.tracker={path}: write it as module:function")
    function: LogRow = import_path(path, "config.tracker")
    if not callable(function):
        raise UserError(f"config.tracker={path}: it is not a function, but {function!r}")
    return function


class Tracker:
    """Passes rows of metrics on to a function, whose errors never stop the run.

    Args:
        path: see `load`.
        say: prints a line; called once, for the first error.

    Raises:
        UserError: as `load`.
    """

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._log_row = load(path)
        self._say = say
        self._failed = False

    def __call__(self, row: Row) -> None:
        """Calls the function with a copy of the row, even after an earlier row has failed."""
        if self._log_row is None:
            return
        try:
            self._log_row(dict(row))
        except (Exception, SystemExit) as error:
            if not self._failed:
                self._say(
                    f"config.tracker={self._path}: round {row['round']}: {one_line(error)}; "
                    "training goes on, and further errors are not shown"
                )
            self._failed = True
