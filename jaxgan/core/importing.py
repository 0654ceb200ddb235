"""Imports what a user names by an import path, such as a score of their own."""

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from jaxgan.core.errors import UserError


def import_path(path: str, what: str = "score") -> Any:
    """Returns the object at `package.name` or `module:name`.

    Args:
        path: the import path.
        what: the noun for the object in error messages.

    Raises:
        UserError: the module cannot be imported, it lacks the object, or the object is a module.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator:
        module_name, _, attribute = path.rpartition(".")

    def import_module(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:
            reason = one_line(error)
            raise UserError(f"{what}: '{path}': cannot import '{name}' ({reason})") from error

    found: Any = import_module(module_name)
    for part in attribute.split("."):
        # A package has a module of its own as an attribute only after that has been imported.
        if not hasattr(found, part) and _has_module(found, part):
            import_module(f"{found.__name__}.{part}")
        if not hasattr(found, part):
            raise UserError(f"{what}: '{path}': module '{module_name}' has no '{attribute}'")
        found = getattr(found, part)
    if isinstance(found, ModuleType):
        raise UserError(f"{what}: '{path}' is a module; name the {what} in it: {path}:my_{what}")
    return found


def _has_module(found: Any, name: str) -> bool:
    """Returns whether a package has a module of this name."""
    is_package = isinstance(found, ModuleType) and hasattr(found, "__path__")
    return is_package and importlib.util.find_spec(f"{found.__name__}.{name}") is not None


def one_line(error: BaseException) -> str:
    """Returns an exception's type and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
