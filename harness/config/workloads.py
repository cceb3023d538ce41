"""The catalogue of workloads, workload files of the user's own, and `--set KEY=VALUE`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import resources
from harness.config.document import Scalar, Table, Value, read_table, scalar, scalars, table
from harness.config.limits import check_parameters
from harness.errors import ConfigError
from harness.model.workload import FIRST_KIND, Parameter, Workload
from harness.parse.suggest import unknown
from harness.parse.units import duration_text, parse_count, parse_duration, parse_size
from harness.workloads.kinds import Key
from harness.workloads.registry import KINDS, kind_named, kind_of, metrics_of

# Of workloads of any kind, in the order to list them in; each kind has its own behind the first ones.
_FIRST_KEYS = ("name", "kind", "title", "stands_for")
_OTHER_KEYS = (
    "parameters",
    "warmup",
    "runtime",
    "iterations",
    "deciding",
    "subsystems",
    "words",
    "modules",
    "disk",
)
OWN_KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for kind in KINDS.values() for key in kind.keys})
WORKLOAD_KEYS = (*_FIRST_KEYS, *OWN_KEYS, *_OTHER_KEYS)
_REQUIRED = ("name", "title", "stands_for", "deciding", "disk")

_NAME = re.compile(r"[a-z][a-z0-9-]*")
# Of a warm-up and of an iteration, and how many iterations a boot has at most.
_SHORTEST_S, _LONGEST_S = 0.001, 24 * 3600.0
_MOST_ITERATIONS = 1000
_PARAMETER = re.compile(r"[a-z][a-z0-9_]*")


def load_workloads() -> dict[str, Workload]:
    """The catalogue that ships with kab, by name. Raises ConfigError with FILE:LINE, HostError."""
    catalogue: dict[str, Workload] = {}
    for path in sorted(_catalogue_folder().glob("*.yaml")):
        workload = load_workload(path)
        if workload.name in catalogue:
            raise ConfigError(f"{path}: there is a workload {workload.name!r} already")
        catalogue[workload.name] = workload
    return catalogue


def find_workload(name: Scalar, catalogue: Mapping[str, Workload]) -> Workload:
    """The workload of a name in the catalogue, or of a path to a file. Raises ConfigError."""
    if is_path(name.text):
        path = Path(name.text).absolute()
        found = load_workload(Path(name.text))
        # The catalogue's folder is another one on another host; a stored experiment must not name it.
        return found if path.resolve().parent == _catalogue_folder().resolve() else replace(found, file=str(path))
    if name.text not in catalogue:
        error = unknown("workload", name.text, catalogue, where=name.where)
        raise ConfigError(error.message, remedy=f"{error.remedy} A file is named by its path, such as ./mine.yaml.")
    return catalogue[name.text]


def is_path(name: str) -> bool:
    """Whether a workload's name means a file, not an entry of the catalogue."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def load_workload(path: Path) -> Workload:
    """The workload in a file. Raises ConfigError with FILE:LINE."""
    document = read_table(path)
    named = scalar(document.entries["kind"], "kind") if "kind" in document.entries else None
    kind = kind_named(named.text, where=named.where) if named else KINDS[FIRST_KIND]
    document.check_keys(
        "workload",
        (*_FIRST_KEYS, *(key.name for key in kind.keys), *_OTHER_KEYS),
        required=(*_REQUIRED, *(key.name for key in kind.keys if key.required)),
    )
    values: dict[str, Any] = {"own": {}}
    for key, value in document.entries.items():
        if key in _READERS:
            attribute, read = _READERS[key]
            values[attribute] = read(value, key)
        else:
            values["own"][key] = _texts(value, key)
    name = scalar(document.entries["name"], "name")
    if not _NAME.fullmatch(name.text):
        raise ConfigError(f"{name.where}: {name.text!r} is not a name: lower-case letters, digits and dashes")
    if "template" in document.entries:
        values["template"] = _find_template(scalar(document.entries["template"], "template"), path)
    workload = Workload(**values)
    _check_deciding(workload, document.entries["deciding"])
    return workload


def override(workload: Workload, changes: Mapping[str, Scalar]) -> Workload:
    """`workload` with some parameters, or its warmup, runtime or iterations, changed; typed as they were.

    Space on disk grows with what its kind says of the parameters.
    Raises ConfigError for a key that it does not have, for a value of another type and for one that cannot work.
    """
    parameters = dict(workload.parameters)
    fields: dict[str, Any] = {}
    for key, value in changes.items():
        if key in _TIMING:
            attribute, read = _READERS[key]
            fields[attribute] = read(value, key)
        elif key in parameters:
            parameters[key] = value.parse(_like(parameters[key]))
        else:
            raise unknown(f"parameter of workload {workload.name}", key, [*parameters, *_TIMING], where=value.where)
    changed = replace(workload, parameters=parameters, **fields)
    check_parameters(changed, workload, {key: value.where for key, value in changes.items()})
    return replace(changed, disk_bytes=max(workload.disk_bytes, kind_of(changed).space_bytes(changed)))


def _check_deciding(workload: Workload, value: Value) -> None:
    """Raise ConfigError for a metric that this workload does not yield, or that never decides."""
    for item in scalars(value, "deciding"):
        check_metric(workload, item)


def check_metric(workload: Workload, name: Scalar, *, besides: tuple[str, ...] = ()) -> None:
    """Raise ConfigError for a metric that no verdict about this workload can come of, unless it is one of `besides`."""
    known = metrics_of(workload)
    if name.text in besides:
        return
    if name.text not in known:
        raise unknown("metric", name.text, (*besides, *known), where=name.where)
    if not known[name.text].decides:
        raise ConfigError(
            f"{name.where}: {name.text} is only shown: no verdict comes of it",
            remedy=f"These decide: {', '.join(metric.name for metric in known.values() if metric.decides)}.",
        )


def _catalogue_folder() -> Path:
    return resources.folder("configs") / "workloads"


def _find_template(name: Scalar, workload_file: Path) -> str:
    beside = workload_file.resolve().parent / name.text
    if beside.parent == _catalogue_folder().resolve():
        # The catalogue's folder is another one on another host; a stored experiment must not name it.
        return _existing(beside, name).name
    return str(beside) if beside.is_file() else _existing(_catalogue_folder() / name.text, name).name


def _existing(path: Path, name: Scalar) -> Path:
    if not path.is_file():
        raise ConfigError(f"{name.where}: there is no template {name.text!r}", remedy=f"Looked for {path}.")
    return path


def _text(value: Value, key: str) -> str:
    return scalar(value, key).text


def _texts(value: Value, key: str) -> tuple[str, ...]:
    return tuple(item.text for item in scalars(value, key))


def _duration(value: Value, key: str) -> float:
    return scalar(value, key).parse(parse_duration)


def _warmup(value: Value, key: str) -> float:
    seconds = _duration(value, key)
    # Programs such as fio count milliseconds, and 0 of them are for ever to it.
    if seconds and not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise ConfigError(
            f"{value.where}: {key} is out of range",
            remedy=f"From {duration_text(_SHORTEST_S)} to {duration_text(_LONGEST_S)}.",
        )
    return seconds


def _runtime(value: Value, key: str) -> float:
    seconds = _warmup(value, key)
    if seconds <= 0:
        raise ConfigError(f"{value.where}: {key} must be more than 0")
    return seconds


def _iterations(value: Value, key: str) -> int:
    return scalar(value, key).parse(lambda text: parse_count(text, minimum=1, maximum=_MOST_ITERATIONS))


def _size(value: Value, key: str) -> int:
    return scalar(value, key).parse(parse_size)


def _parameters(value: Value, key: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    entries: Table = table(value, key)
    for name, entry in entries.entries.items():
        if not _PARAMETER.fullmatch(name) or name in _TIMING:
            raise ConfigError(f"{entries.places[name]}: {name!r} cannot be the name of a parameter")
        found[name] = _parameter(scalar(entry, name))
    return found


# Key of the file -> attribute of Workload, and what reads it.
_READERS: Mapping[str, tuple[str, Callable[[Value, str], Any]]] = {
    "name": ("name", _text),
    "kind": ("kind", _text),
    "title": ("title", _text),
    "stands_for": ("stands_for", _text),
    "template": ("template", _text),
    "parameters": ("parameters", _parameters),
    "warmup": ("warmup_s", _warmup),
    "runtime": ("runtime_s", _runtime),
    "iterations": ("iterations", _iterations),
    "deciding": ("deciding", _texts),
    "subsystems": ("subsystems", _texts),
    "words": ("words", _texts),
    "modules": ("modules", _texts),
    "disk": ("disk_bytes", _size),
}
# What `--set` reaches besides the template's own parameters.
_TIMING = ("warmup", "runtime", "iterations")


def _parameter(value: Scalar) -> Parameter:
    """A parameter's value and, with it, its type: what it looks like; a quoted one is a text."""
    if value.quoted:
        return value.text
    if value.text in {"true", "false"}:
        return value.text == "true"
    if re.fullmatch(r"\d+\.\d+", value.text):
        return float(value.text)
    for parser in (parse_size, parse_duration):
        try:
            return parser(value.text)
        except ConfigError:
            continue
    return value.text


def _like(default: Parameter) -> Callable[[str], Parameter]:
    """What reads a value of the same type as `default`."""
    # bool first: it is an int, too.
    if isinstance(default, bool):
        return _truth
    if isinstance(default, int):
        return parse_size
    if isinstance(default, float):
        return _number_or_duration
    return str


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ConfigError(f"{text!r} is neither true nor false")
    return text == "true"


def _number_or_duration(text: str) -> float:
    if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        return float(text)
    return parse_duration(text)
