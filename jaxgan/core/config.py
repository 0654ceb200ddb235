"""Configs: reading one from a Python file with overrides, storing it as JSON, comparing two.

A config is a `ml_collections.ConfigDict`. Its file defines `get_config(preset=None)`; on a command
line `FILE:PRESET` picks the preset and `--config.key=value` sets one value, which is parsed as the
type that the file gave that key.

The keys of a config, and the types of their values, are those of this project's own configs of the
same recipe; see `check_keys`. This file imports no jax, and neither do those configs, so mistakes
are reported at once.
"""

import ast
import contextlib
import difflib
import functools
import importlib.util
import json
import math
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from jaxgan.core import files
from jaxgan.core.errors import UserError

CONFIG_FILE = "config.json"
PREFIX = "--config."
PACKAGE = Path(__file__).parents[1]
CONFIGS = (PACKAGE / "configs", PACKAGE.parent / "configs")
"""Where jaxgan's own configs are: in the installed package, or next to it in a source tree."""


def load(spec: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Returns the config of a file, with overrides applied.

    Args:
        spec: "path/to/file.py" or "path/to/file.py:preset"; or the name of one of this project's
            configs in place of a path, "metricgan" or "metricgan:quick".
        overrides: items such as "--config.data.root=/data".

    Raises:
        UserError: the file, the preset or a key does not exist, the config lacks a key of its
            recipe, or a value has another type.
    """
    path, preset = split(spec)
    get_config = _get_config_of(path)
    try:
        config = get_config() if preset is None else get_config(preset)
    except (KeyError, ValueError) as error:
        message = error.args[0] if error.args else preset
        raise UserError(f"--config={spec}: {message}") from error
    except Exception as error:
        raise UserError(f"--config={spec}: {type(error).__name__}: {error}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={spec}: get_config returns {config!r}, not a ConfigDict")
    check_keys(config, f"--config={spec}")
    for override in overrides:
        _override(config, override)
    return config


def split(spec: str) -> tuple[str, str | None]:
    """Splits "configs/x.py:quick" into ("configs/x.py", "quick"); without a preset it is None.

    The name of one of this project's configs, "x" or "x:quick", gives the path of its file.
    """
    path, colon, preset = spec.rpartition(".py:")
    if colon:
        return f"{path}.py", preset
    stem, _, preset = spec.partition(":")
    named = [file for folder in CONFIGS if (file := folder / f"{stem}.py").is_file()]
    if stem.isidentifier() and named:
        return str(named[0]), preset or None
    return spec, None


def name(spec: str) -> str:
    """Returns a short name for the runs of a config: "x-quick" for "configs/x.py:quick"."""
    path, preset = split(spec)
    stem = PurePath(path).stem
    return f"{stem}-{preset}" if preset else stem


def write(config: ConfigDict, workdir: epath.PathLike) -> None:
    """Writes WORKDIR/config.json atomically."""
    path = epath.Path(workdir) / CONFIG_FILE
    files.replace(path, (json.dumps(to_plain(config), indent=2) + "\n").encode())


def read(workdir: epath.PathLike) -> ConfigDict:
    """Returns the config of a run, from its WORKDIR/config.json.

    A run that is older than a key gets the value that all configs of its recipe give that key.

    Raises:
        UserError: the file does not exist, is not a JSON object, lacks a section of its recipe's
            configs, or holds a value of another type.
    """
    path = epath.Path(workdir) / CONFIG_FILE
    files.check_reachable(path)
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__} in place of an object")
        config = ConfigDict(_tuples(content))
        references = _references(config)
        _check_types(config, references, f"{path}: ", complete=False)
        _fill(config, references)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path} does not exist: {workdir} is not the folder of a run") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({files.reason(error)})") from error
    except (ValueError, TypeError, RecursionError) as error:
        reason = files.reason(error)
        raise UserError(
            f"{path} cannot be read as JSON ({reason}); restore or remove it"
        ) from error
    return config


@contextlib.contextmanager
def fits(workdir: epath.PathLike) -> Iterator[None]:
    """Turns the errors of a block that makes a run's trained networks from its config into one.

    A config.json that was changed by hand can describe networks of other shapes than those that
    were trained, and every library has its own errors for that.

    Raises:
        UserError: the block raised an Exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{epath.Path(workdir) / CONFIG_FILE} does not describe the networks of the checkpoint "
            f"({type(error).__name__}: {files.reason(error)}); restore it"
        ) from error


def check_keys(config: ConfigDict, source: str) -> None:
    """Checks the keys of a config, and the types of their values, for `config.recipe`.

    This project's own configs of the recipe say which keys there are. A network may have the keys
    that a network of the same name has in any other config. For a recipe without such a config, all
    keys are accepted.

    Args:
        config: the config that is checked.
        source: its file or flag, for messages.

    Raises:
        UserError: a key is unknown or missing, or a value has another type.
    """
    references = _references(config)
    if not references:
        return
    known = {key for reference in references for key, _ in _flat(reference.to_dict())}
    for key, _ in _flat(config.to_dict()):
        if key not in known and not _is_elsewhere(key, known):
            raise UserError(f"{source}: config.{key} is unknown; {_nearest(key, known)}")
    _check_types(config, references, f"{source}: config.", complete=True)


def differences(old: ConfigDict, new: ConfigDict) -> list[tuple[str, Any, Any]]:
    """Returns (dotted key, old value, new value) for every difference; None if a key is missing."""
    before, after = flat(old), flat(new)
    keys = [*before, *(key for key in after if key not in before)]
    pairs = ((key, before.get(key), after.get(key)) for key in keys)
    return [(key, one, other) for key, one, other in pairs if one != other]


def flat(config: ConfigDict) -> dict[str, Any]:
    """Returns every value, as JSON restores it, by its dotted key."""
    return dict(_flat(to_plain(config)))


def check_continues(
    old: ConfigDict, new: ConfigDict, workdir: epath.PathLike, may_change: Collection[str]
) -> None:
    """Raises UserError, naming every key, unless a run of `old` may continue as `new`.

    More rounds and the keys of `may_change` are the only differences allowed.
    """
    if old.get("recipe") != new.get("recipe"):
        raise UserError(
            f"{workdir} holds a run of {old.get('recipe')!r}, not of {new.get('recipe')!r}; give "
            "another --workdir for a new run"
        )
    refused = [
        f"{key} was {before!r} and is now {after!r}"
        for key, before, after in differences(old, new)
        if key not in may_change and not (key == "rounds" and after > before)
    ]
    if refused:
        raise UserError(
            f"{workdir} holds a run of another config: {'; '.join(refused)}. Give the old values "
            "to continue it (rounds may only grow), or another --workdir for a new run"
        )


def check_values(
    config: ConfigDict,
    choices: Mapping[str, Sequence[Any]],
    ranges: Mapping[str, tuple[float, float]],
) -> None:
    """Refuses values that are not allowed. A key that the config lacks is not checked.

    Args:
        config: the config of a run.
        choices: the allowed values of a dotted key.
        ranges: the lowest and the highest allowed value of a dotted key; math.inf for no limit.

    Raises:
        UserError: a value is not allowed; the message names the key.
    """

    values = dict(_flat(config.to_dict()))
    for key in choices:
        if key in values and values[key] not in choices[key]:
            known = ", ".join(map(str, choices[key]))
            raise UserError(f"config.{key}={values[key]}: choose one of {known}")
    for key, (least, greatest) in ranges.items():
        if key in values and not least <= values[key] <= greatest:
            wanted = f"{least} or more" if greatest == math.inf else f"from {least} to {greatest}"
            raise UserError(f"config.{key}={values[key]}: must be {wanted}")


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """Returns the config as JSON restores it: nested dicts, lists, numbers, strings."""
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return plain


def _get_config_of(path: str) -> Any:
    file = epath.Path(path)
    if not file.is_file():
        raise UserError(f"--config: {path} does not exist; give a file or a name such as metricgan")
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"--config: {path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    for folder in CONFIGS:
        if folder.is_dir() and str(folder.parent) not in sys.path:
            sys.path.append(str(folder.parent))  # a config may import one of this project's
    try:
        module_spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"--config: {path} line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise UserError(f"--config: {path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, "get_config"):
        raise UserError(f"--config: {path} defines no get_config(preset=None)")
    return module.get_config


def _override(config: ConfigDict, item: str) -> None:
    key, equals, text = item.removeprefix(PREFIX).partition("=")
    if not item.startswith(PREFIX) or not equals:
        raise UserError(f"{item}: write it as {PREFIX}key=value")
    known = [dotted for dotted, _ in _flat(config.to_dict())]
    if key not in known:
        raise UserError(f"{PREFIX}{key}: this config has no such key; {_nearest(key, known)}")
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = _parse(f"{PREFIX}{key}", text, node.get_type(last), node[last])


def _nearest(key: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"the keys are {', '.join(sorted(known))}"


@functools.cache
def _own_configs(recipe: str = "") -> tuple[ConfigDict, ...]:
    """Returns this project's configs, each with every preset.

    Args:
        recipe: skips the files that do not contain this word, so that the packages of other domains
            are not imported; "" for all files. A config either names its recipe or imports a config
            that is named after it.
    """
    folder = next(folder for folder in CONFIGS if folder.is_dir())
    word = re.compile(rf"\b{re.escape(recipe)}\b")
    functions = (
        _get_config_of(str(path))
        for path in sorted(folder.glob("*.py"))
        if word.search(path.read_text())
    )
    return tuple(
        function(preset)
        for function in functions
        for preset in (None, *function.__globals__.get("PRESETS", ()))
    )


def _references(config: ConfigDict) -> list[ConfigDict]:
    """Returns this project's own configs of the same recipe."""
    recipe = str(config.get("recipe"))
    return [own for own in _own_configs(recipe) if own.recipe == recipe]


def _is_elsewhere(key: str, known: Collection[str]) -> bool:
    """Returns whether a section of the recipe has this key in a config of another recipe."""
    section = key.rpartition(".")[0]
    has_section = bool(section) and any(other.startswith(f"{section}.") for other in known)
    return has_section and any(key in dict(_flat(own.to_dict())) for own in _own_configs())


def _check_types(
    config: ConfigDict, references: Sequence[ConfigDict], prefix: str, complete: bool
) -> None:
    """Raises UserError unless the values have the types that they have in the references.

    Args:
        config: the config that is checked.
        references: the configs that it is compared with.
        prefix: the prefix of a key, for messages.
        complete: refuse a config that lacks a key which all references have; otherwise only one
            that lacks a section.
    """
    flats = [dict(_flat(reference.to_dict())) for reference in references]
    plain = config.to_dict()
    for key in dict.fromkeys(key for flat in flats for key in flat):
        examples = [flat[key] for flat in flats if key in flat]
        names = key.split(".")
        value: Any = plain
        for depth, name in enumerate(names):
            path = ".".join(names[:depth])
            if not isinstance(value, Mapping):
                raise UserError(f"{prefix}{path}={value!r:.60}: expected a section with {name}")
            if name not in value:
                if len(examples) == len(flats) and (complete or depth < len(names) - 1):
                    missing = ".".join(names[: depth + 1])
                    raise UserError(
                        f"{prefix}{missing} is missing, such as {key}={examples[0]!r:.60}"
                    )
                break
            value = value[name]
        else:
            if not any(_is_like(value, example) for example in examples):
                kind = type(examples[0]).__name__
                raise UserError(
                    f"{prefix}{key}={value!r:.60}: expected {kind}, such as {examples[0]!r:.60}"
                )


def _fill(config: ConfigDict, references: Sequence[ConfigDict]) -> None:
    """Sets every key that the config lacks and to which all references give the same value."""
    own = dict(_flat(config.to_dict()))
    flats = [dict(_flat(reference.to_dict())) for reference in references]
    for key, value in flats[0].items() if flats else ():
        if key not in own and all(key in flat and flat[key] == value for flat in flats):
            section: Any = config
            *names, last = key.split(".")
            for name in names:
                section = section[name]
            section[last] = value


def _is_like(value: Any, example: Any) -> bool:
    if isinstance(example, tuple | list):
        return isinstance(value, tuple | list) and (
            not example or all(_is_like(item, example[0]) for item in value)
        )
    if example is None or (type(example) is float and type(value) is int):
        return True
    return type(value) is type(example)


def _parse(flag: str, text: str, kind: type, default: Any) -> Any:
    """Returns the value that `text` stands for, of the type of the config's own value."""
    if kind is str:
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        value = text
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind in (tuple, list):
        items = value if isinstance(value, tuple | list) else (value,)
        if default and all(isinstance(item, float) for item in default):
            items = [float(item) if isinstance(item, int) else item for item in items]
        value = kind(items)
        if default and any(type(item) is not type(default[0]) for item in value):
            raise UserError(f"{flag}={text}: expected values such as {default!r}")
    if kind is not type(None) and type(value) is not kind:
        raise UserError(f"{flag}={text}: expected {kind.__name__}, such as {default!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{flag}={text}: expected a finite number")
    return value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
