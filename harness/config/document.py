"""A YAML file as plain text values that know their line.

YAML 1.1 would read ``6.10`` as 6.1 and ``no`` as false. Here every scalar is the text that was written, and the key
that holds it decides what it means. Anchors, aliases and tags are refused: an experiment is read top to bottom.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from harness.config.textfile import read_text_file
from harness.errors import ConfigError
from harness.parse.suggest import unknown

_Parsed = TypeVar("_Parsed")

_UNUSABLE = re.compile(r"[\0\ud800-\udfff]")
# The tags that the parser itself gives to what carries none.
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text at a place ("FILE:LINE", or "--option" for one that comes from the command line)."""

    text: str
    where: str
    # Whether it was written in quotes (or as a block): always a text, then, never a number.
    quoted: bool = False

    def parse(self, parser: Callable[[str], _Parsed]) -> _Parsed:
        """What `parser` makes of the text; its ConfigError gets the place in front."""
        try:
            return parser(self.text)
        except ConfigError as error:
            raise ConfigError(f"{self.where}: {error.message}", remedy=error.remedy) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    items: tuple["Value", ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping; keys are texts, each there once."""

    entries: Mapping[str, "Value"]
    # Where each key stands.
    places: Mapping[str, str]
    where: str

    def check_keys(self, what: str, known: Sequence[str], *, required: Sequence[str] = ()) -> None:
        """Raise ConfigError for the first key that is not known, and for a required one that is not there."""
        for key, where in self.places.items():
            if key not in known:
                raise unknown(f"{what} key", key, known, where=where)
        for key in required:
            if key not in self.entries:
                raise ConfigError(f"{self.where}: {what} lacks the key {key!r}")


Value = Scalar | Items | Table


def read_document(path: Path) -> Value | None:
    """What a file holds; None where that is nothing (but comments). Raises ConfigError, with FILE:LINE."""
    text = read_text_file(path)
    try:
        # BaseLoader knows no types and makes no objects; composing stops before even that.
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deep") from error
    return None if root is None else _value(root, path)


def read_table(path: Path) -> Table:
    """The file's top-level mapping. Raises ConfigError, with FILE:LINE, when it is not such a file."""
    value = read_document(path)
    if value is None:
        raise ConfigError(f"{path}: the file is empty")
    if not isinstance(value, Table):
        raise ConfigError(f"{value.where}: the file must be a list of `key: value` lines")
    return value


def scalar(value: Value, key: str) -> Scalar:
    """`value` as the one text that `key` wants. Raises ConfigError."""
    if not isinstance(value, Scalar):
        raise ConfigError(f"{value.where}: {key} must be one value, not a {_KINDS[type(value)]}")
    return value


def scalars(value: Value, key: str) -> tuple[Scalar, ...]:
    """`value` as a list of texts; one text is a list of one. Raises ConfigError."""
    if isinstance(value, Scalar):
        return (value,)
    if isinstance(value, Items):
        return tuple(scalar(item, f"each item of {key}") for item in value.items)
    raise ConfigError(f"{value.where}: {key} must be a value or a list, not a {_KINDS[type(value)]}")


def table(value: Value, key: str) -> Table:
    """`value` as a mapping. Raises ConfigError."""
    if not isinstance(value, Table):
        raise ConfigError(f"{value.where}: {key} must be a mapping of keys to values, not a {_KINDS[type(value)]}")
    return value


_KINDS: Mapping[type, str] = {Scalar: "single value", Items: "list", Table: "mapping"}


class _Loader(yaml.BaseLoader):
    """Composes nodes; refuses anchors and aliases, with their line."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=mark)
        if event.anchor is not None:
            # Also one that nobody refers to: what it was meant for is not there.
            raise yaml.MarkedYAMLError(problem=f"anchors such as &{event.anchor} are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


def _value(node: yaml.Node, path: Path) -> Value:
    where = f"{path}:{node.start_mark.line + 1}"
    if node.tag not in _PLAIN_TAGS:
        raise ConfigError(f"{where}: tags such as {node.tag!r} are not supported")
    if isinstance(node, yaml.ScalarNode):
        if not node.value and node.style is None:
            raise ConfigError(f"{where}: a value is missing", remedy='An empty text is written "".')
        if _UNUSABLE.search(node.value):
            # Only an escape in quotes brings them in; no name of a file and no database takes them.
            raise ConfigError(f"{where}: a value holds a NUL or half of a surrogate pair")
        return Scalar(text=node.value, where=where, quoted=node.style is not None)
    if isinstance(node, yaml.SequenceNode):
        return Items(items=tuple(_value(item, path) for item in node.value), where=where)
    entries: dict[str, Value] = {}
    places: dict[str, str] = {}
    for key_node, value_node in node.value:
        place = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{place}: a key must be a plain word")
        key = str(key_node.value)
        if key in entries:
            raise ConfigError(f"{place}: the key {key!r} was there already, at {places[key]}")
        entries[key], places[key] = _value(value_node, path), place
    return Table(entries=entries, places=places, where=where)
