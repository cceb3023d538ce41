"""A matrix file as it is written: axes, rules and defaults, laid over those of the file that it extends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config.document import Items, Scalar, Table, Value, read_table, scalar, scalars, table
from harness.config.experiment import (
    EXPERIMENT_KEYS,
    KEYS,
    MATRIX_KEYS,
    experiment_names,
    find_experiment,
    matrix_names,
    read_keys,
    refuse_consent,
)
from harness.config.matrix.gate import read_gate
from harness.config.workloads import is_path
from harness.errors import ConfigError
from harness.model.matrix import LONGEST_CELL_NAME
from harness.parse.foreign import printable
from harness.parse.suggest import nearest, unknown
from harness.parse.units import parse_count
from harness.userpath import user_path

# Files that extend one another; nobody can follow more.
_MOST_PARENTS = 8
# Of the whole matrix, which has one connection and one place for its results.
_WHOLE_KEYS = ("accel", "connect", "json", "html")
# Of the section `nightly`.
NIGHTLY_KEYS = ("series", "newest")
CELL_KEYS = tuple(key for key in EXPERIMENT_KEYS if key not in _WHOLE_KEYS)
# Of each item of `adjust`, besides those of a cell.
ADJUST_KEYS = ("when",)
# Attribute of Request -> the key that says it.
_KEY_OF = {key.attribute: name for name, key in KEYS.items()}

# Attribute of Request -> what is said of it; what is not said is not there.
Says = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A label of an axis, and what it says."""

    label: str
    says: Says
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What cells differ in: entries by their labels, at least one."""

    name: str
    entries: Mapping[str, Entry]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Cells whose labels match, and what it says of them: nothing where it takes them out."""

    # Axis -> shell patterns, one of which its label matches.
    when: Mapping[str, tuple[Scalar, ...]]
    says: Says
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """One more cell, as it is written: its labels can be read when all axes are known."""

    keys: Table
    # Where a workload that it names by a path is looked for.
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """All that a file says, with what it extends below; None (or empty) is what it does not say."""

    path: Path
    title: Scalar | None = None
    says: Says = field(default_factory=dict)
    axes: Mapping[str, Axis] = field(default_factory=dict)
    # Where the axes begin; "" where there are none.
    axes_where: str = ""
    exclude: tuple[Rule, ...] | None = None
    include: tuple[Inclusion, ...] | None = None
    adjust: tuple[Rule, ...] | None = None
    # Attribute of GatePolicy -> its value.
    gate: Mapping[str, Any] = field(default_factory=dict)
    # Where margins of metrics are said: metric or pattern -> its place.
    gate_places: Mapping[str, str] = field(default_factory=dict)
    waivers: Path | None = None
    waivers_where: str = ""
    series: tuple[str, ...] | None = None
    newest: int | None = None

    def over(self, parent: "Layer") -> "Layer":
        """This file over the one that it extends: keys, axes and lists of this one win; its title is its own."""
        return replace(
            self,
            says=laid_over(parent.says, self.says),
            axes={**parent.axes, **self.axes},
            axes_where=self.axes_where or parent.axes_where,
            exclude=parent.exclude if self.exclude is None else self.exclude,
            include=parent.include if self.include is None else self.include,
            adjust=parent.adjust if self.adjust is None else self.adjust,
            gate={**parent.gate, **self.gate},
            gate_places=self.gate_places if "margins" in self.gate else parent.gate_places,
            waivers=self.waivers or parent.waivers,
            waivers_where=self.waivers_where or parent.waivers_where,
            series=parent.series if self.series is None else self.series,
            newest=parent.newest if self.newest is None else self.newest,
        )


def laid_over(low: Says, high: Says) -> Says:
    """What `low` and `high` say, `high` over `low`; changed parameters of the workload one by one."""
    if not high:
        return low
    merged = {**low, **high}
    if "overrides" in low and "overrides" in high:
        merged["overrides"] = {**low["overrides"], **high["overrides"]}
    return merged


def said_by(says: Says) -> frozenset[str]:
    """The keys of a file that `says` is made of, in words: "disk", "set.jobs"."""
    keys = {_KEY_OF[attribute] for attribute in says if attribute != "overrides"}
    return frozenset(keys | {f"set.{name}" for name in says.get("overrides", ())})


def read_layers(path: Path) -> Layer:
    """What a file says, and below it what the files say that it extends. Raises ConfigError with FILE:LINE."""
    layer, extends = _read_layer(path)
    seen = [path.resolve()]
    while extends is not None:
        parent = _parent(extends, path)
        if parent.resolve() in seen:
            raise ConfigError(f"{extends.where}: {printable(extends.text, limit=200)} extends itself in the end")
        if len(seen) > _MOST_PARENTS:
            raise ConfigError(f"{extends.where}: more than {_MOST_PARENTS} files extend one another")
        seen.append(parent.resolve())
        below, extends_next = _read_layer(parent)
        layer, path, extends = layer.over(below), parent, extends_next
    return layer


def _parent(extends: Scalar, path: Path) -> Path:
    """A path is taken from the file that names it; a name is of a file that ships with kab."""
    if is_path(extends.text):
        return path.parent / user_path(extends.text)
    known = (*matrix_names(), *experiment_names())
    if extends.text not in known:
        error = unknown("matrix or experiment", extends.text, known, where=extends.where)
        raise ConfigError(error.message, remedy=f"{error.remedy} A file is named by its path, such as ./base.yaml.")
    return find_experiment(extends.text)


def _read_layer(path: Path) -> tuple[Layer, Scalar | None]:
    document = read_table(path)
    refuse_consent(document)
    document.check_keys("matrix", (*_SECTIONS, *EXPERIMENT_KEYS))
    found: dict[str, Any] = {}
    experiment = {key: value for key, value in document.entries.items() if key not in MATRIX_KEYS}
    found["says"] = read_keys(experiment, beside=path.parent)
    for key, value in document.entries.items():
        if key in _SECTIONS:
            found |= _SECTIONS[key](value, key, path)
    extends = scalar(document.entries["extends"], "extends") if "extends" in document.entries else None
    return Layer(path=path, **found), extends


# What reads each section of a file: (value, key, file) -> attributes of Layer.


def _title(value: Value, key: str, path: Path) -> dict[str, Any]:  # noqa: ARG001 - as the others
    title = scalar(value, key)
    check_label("title", title.text, title.where)
    return {"title": title}


def _axes(value: Value, key: str, path: Path) -> dict[str, Any]:
    axes = table(value, key)
    if not axes.entries:
        raise ConfigError(f"{axes.where}: {key} holds none", remedy="Leave the key out: the file is one cell, then.")
    return {
        "axes": {name: _axis(name, axes.places[name], entry, path.parent) for name, entry in axes.entries.items()},
        "axes_where": axes.where,
    }


def _axis(name: str, where: str, value: Value, folder: Path) -> Axis:
    check_label("axis", name, where)
    # "--only AXIS=PATTERN" could not tell where it ends; `when` and `set` are words of rules.
    if "=" in name or name in {"when", *_WHOLE_KEYS, *MATRIX_KEYS}:
        raise ConfigError(f"{where}: an axis cannot be called {name!r}")
    if isinstance(value, Scalar):
        raise ConfigError(
            f"{value.where}: the axis {name} must be a list or a mapping of labels, not a single value",
            remedy=f"One value for all cells is written as `{name}: VALUE`, outside of axes.",
        )
    entries: dict[str, Entry] = {}
    for label, place, written in _labels(name, value, where):
        if label in entries:
            raise ConfigError(f"{place}: the label {label!r} was there already, at {entries[label].where}")
        entries[label] = entry_of(name, label, written, place, folder)
    if not entries:
        raise ConfigError(f"{where}: the axis {name} has no labels: no cell could be made")
    return Axis(name=name, entries=entries, where=where)


def _labels(name: str, value: Items | Table, where: str) -> list[tuple[str, str, Value]]:
    """(label, its place, what is written for it)"""
    if isinstance(value, Table):
        return [(label, value.places[label], written) for label, written in value.entries.items()]
    if name not in CELL_KEYS:
        guess = nearest(name, CELL_KEYS)
        raise ConfigError(
            f"{where}: the axis {name!r} is called like no key of an experiment, so that each of its labels needs a "
            "mapping of keys",
            remedy=(f"Did you mean {guess}? " if guess else "") + f"Or write `{name}: {{LABEL: {{KEY: VALUE}}}}`.",
        )
    items = [scalar(item, f"each item of the axis {name}") for item in value.items]
    return [(item.text, item.where, item) for item in items]


def entry_of(axis: str, label: str, written: Value, where: str, folder: Path) -> Entry:
    """The entry of an axis for what is written: a value of the key that the axis is called like, or a table of keys.

    Raises ConfigError.
    """
    check_label(f"label of the axis {axis}", label, where)
    says = (
        read_keys({axis: written}, beside=folder)
        if axis in CELL_KEYS
        else cell_says(table(written, f"the label {label} of the axis {axis}"), folder)
    )
    return Entry(label=label, says=says, where=where)


def cell_says(keys: Table, folder: Path, *, besides: tuple[str, ...] = ()) -> Says:
    """What a table says of single cells, its keys `besides` left aside. Raises ConfigError."""
    refuse_consent(keys)
    for key, where in keys.places.items():
        if key in _WHOLE_KEYS:
            raise ConfigError(f"{where}: {key} is of the whole matrix", remedy="Write it at the left margin, once.")
    keys.check_keys("experiment", (*besides, *CELL_KEYS))
    return read_keys({key: value for key, value in keys.entries.items() if key not in besides}, beside=folder)


def check_label(what: str, text: str, where: str) -> None:
    """Raise ConfigError for what cannot be a part of a cell's name."""
    shown = repr(printable(text, limit=80))
    if not text or text != text.strip():
        raise ConfigError(f"{where}: the {what} {shown} is empty, or begins or ends with a blank")
    if printable(text) != text:
        raise ConfigError(f"{where}: the {what} {shown} holds a control character")
    if "/" in text:
        raise ConfigError(
            f"{where}: the {what} {shown} holds a `/`, which stands between the labels of a cell's name",
            remedy="Write `LABEL: VALUE`, with a label of your own." if what.startswith("label") else "",
        )
    if len(text) > LONGEST_CELL_NAME:
        raise ConfigError(f"{where}: the {what} {shown} is longer than {LONGEST_CELL_NAME} characters")


def tables(value: Value, key: str) -> tuple[Table, ...]:
    """`value` as a list of mappings. Raises ConfigError."""
    if not isinstance(value, Items):
        raise ConfigError(f"{value.where}: {key} must be a list of mappings", remedy=f"Such as `{key}: [{{...}}]`.")
    return tuple(table(item, f"each item of {key}") for item in value.items)


def _exclude(value: Value, key: str, path: Path) -> dict[str, Any]:  # noqa: ARG001 - as the others
    return {key: tuple(Rule(when=_patterns(item), says={}, where=item.where) for item in tables(value, key))}


def _adjust(value: Value, key: str, path: Path) -> dict[str, Any]:
    rules = []
    for item in tables(value, key):
        says = cell_says(item, path.parent, besides=ADJUST_KEYS)
        if "when" not in item.entries or not says:
            raise ConfigError(
                f"{item.where}: each item of adjust needs `when` and a key of an experiment",
                remedy="Such as `adjust: [{when: {fs: ext4}, margin: 10%}]`.",
            )
        rules.append(Rule(when=_patterns(table(item.entries["when"], "when")), says=says, where=item.where))
    return {key: tuple(rules)}


def _patterns(when: Table) -> Mapping[str, tuple[Scalar, ...]]:
    if not when.entries:
        raise ConfigError(f"{when.where}: no axis is named: each cell would match")
    return {axis: scalars(value, axis) for axis, value in when.entries.items()}


def _include(value: Value, key: str, path: Path) -> dict[str, Any]:
    return {key: tuple(Inclusion(keys=item, folder=path.parent) for item in tables(value, key))}


def _gate(value: Value, key: str, path: Path) -> dict[str, Any]:  # noqa: ARG001 - as the others
    written = table(value, key)
    policy = read_gate(written)
    metrics = written.entries.get("metrics")
    return {"gate": policy, "gate_places": metrics.places if isinstance(metrics, Table) else {}}


def _waivers(value: Value, key: str, path: Path) -> dict[str, Any]:
    named = scalar(value, key)
    if not named.text.strip():
        raise ConfigError(f"{named.where}: {key} is empty")
    return {"waivers": path.parent / user_path(named.text), "waivers_where": named.where}


def _nightly(value: Value, key: str, path: Path) -> dict[str, Any]:  # noqa: ARG001 - as the others
    keys = table(value, key)
    keys.check_keys(key, NIGHTLY_KEYS, required=("series",))
    found: dict[str, str] = {}
    for item in scalars(keys.entries["series"], "series"):
        if not item.text.strip() or printable(item.text) != item.text:
            raise ConfigError(f"{item.where}: {printable(item.text, limit=80)!r} is no kernel spec")
        if item.text in found:
            raise ConfigError(f"{item.where}: the series {item.text!r} was there already, at {found[item.text]}")
        found[item.text] = item.where
    if not found:
        raise ConfigError(f"{keys.places['series']}: series holds none")
    said: dict[str, Any] = {"series": tuple(found)}
    if "newest" in keys.entries:
        said["newest"] = scalar(keys.entries["newest"], "newest").parse(lambda text: parse_count(text, minimum=1))
    return said


def _extends(value: Value, key: str, path: Path) -> dict[str, Any]:  # noqa: ARG001 - as the others
    if not scalar(value, key).text.strip():
        raise ConfigError(f"{value.where}: {key} is empty")
    return {}


_SECTIONS = {
    "title": _title,
    "extends": _extends,
    "axes": _axes,
    "exclude": _exclude,
    "include": _include,
    "adjust": _adjust,
    "gate": _gate,
    "waivers": _waivers,
    "nightly": _nightly,
}
