"""Frozen dataclasses to plain JSON values and back, by their type annotations; exact, canonical, no I/O.

A field that the text lacks takes its default (it was written before the field existed, or the field is a later one); a
field that the type lacks is an error (it was written by a newer kab). A field may be stored under another name. See
harness.model.stored.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.errors import ConfigError
from harness.model.stored import STORED_AS, told_fields

Record = TypeVar("Record")


def to_plain(value: Any) -> Any:
    """`value` as nothing but dict, list, str, int, float, bool and None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_stored_name(field): to_plain(item) for field, item in told_fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value


def from_plain(kind: type[Record], data: Any) -> Record:
    """The inverse of `to_plain`, for a dataclass `kind`. Raises ConfigError when `data` does not fit it."""
    try:
        return decode(kind, data)  # type: ignore[no-any-return]
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise ConfigError(f"stored {kind.__name__} does not fit this version of kab: {error}") from error


def canonical(value: Any) -> str:
    """`value` as JSON text that is equal whenever the value is: sorted keys, no spaces, ASCII only."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def field_type(kind: type, name: str) -> Any:
    """The annotation of a dataclass's field, for `decode`."""
    return _hints(kind)[name]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def decode(hint: Any, data: Any) -> Any:
    """As `from_plain`, for any annotation. Raises TypeError, ValueError, AttributeError or KeyError."""
    return _decoder(hint)(data)


# A matrix has hundreds of thousands of values, and a few dozen annotations.
@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    """What reads values of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return partial(_decode_union, arguments)
    if origin is tuple:
        return partial(_decode_tuple, _decoder(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return partial(_decode_mapping, _decoder(arguments[0]), _decoder(arguments[1]))
    if isinstance(hint, type) and is_dataclass(hint):
        return partial(_decode_record, hint)
    if hint is datetime or hint is date:
        moment: Callable[[Any], Any] = hint.fromisoformat
        return moment
    if isinstance(hint, type) and issubclass(hint, Enum | Path):
        return hint
    return partial(_decode_plain, hint)


def _decode_tuple(item: Callable[[Any], Any], data: Any) -> Any:
    # A text could be taken apart as well.
    if not isinstance(data, list | tuple):
        raise TypeError(f"{data!r} is no list")
    return tuple([item(one) for one in data])


def _decode_mapping(key: Callable[[Any], Any], item: Callable[[Any], Any], data: Any) -> Any:
    return {key(name): item(one) for name, one in data.items()}


def _decode_plain(hint: Any, data: Any) -> Any:
    if type(data) is hint:
        return data
    # JSON writes 5.0 as a float and 5 as an int, but a program in between may have turned one into the other.
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(hint, type) and not isinstance(data, hint):
        raise TypeError(f"{data!r} is not of type {hint.__name__}")
    return data


def _decode_record(kind: Any, data: Mapping[str, Any]) -> Any:
    known = _fields(kind)
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}")
    values = {}
    for name, item in data.items():
        field, read = known[name]
        values[field] = read(item)
    return kind(**values)


@cache
def _fields(kind: Any) -> Mapping[str, tuple[str, Callable[[Any], Any]]]:
    """Stored name -> a field's own, and what reads it."""
    return {_stored_name(field): (field.name, _decoder(_hints(kind)[field.name])) for field in fields(kind)}


def _stored_name(field: "Field[Any]") -> str:
    return str(field.metadata.get(STORED_AS, field.name))


def _decode_union(arguments: tuple[Any, ...], data: Any) -> Any:
    if data is None and NoneType in arguments:
        return None
    # Exact types first: a bool is an int, and an int fits a float.
    exact = [argument for argument in arguments if type(data) is argument]
    others = [argument for argument in arguments if argument is not NoneType]
    return decode((exact or others)[0], data)
