"""The cells of a matrix: the product of its axes, less what is excluded, with what is included and adjusted."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations, islice
from math import prod

from harness.config.document import Scalar, scalar
from harness.config.experiment import Request
from harness.config.matrix.layers import (
    CELL_KEYS,
    Axis,
    Entry,
    Inclusion,
    Layer,
    Rule,
    Says,
    cell_says,
    entry_of,
    laid_over,
    said_by,
)
from harness.errors import ConfigError
from harness.model.matrix import LONGEST_CELL_NAME
from harness.parse.foreign import printable
from harness.parse.suggest import unknown

# More is a slip of one axis too many, and a boot of each would take a year.
_MOST_CELLS = 1_000_000
# Of the labels of an axis, in an error.
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixCell:
    """One experiment of a matrix before its kernels are fixed."""

    name: str
    # Axis -> label, in the order of the file.
    axes: Mapping[str, str]
    request: Request
    # FILE:LINE that makes it.
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisEntry:
    """Where an axis says something of its cells."""

    axis: str
    # FILE:LINE.
    where: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A cell, or the beginning of one, in the making."""

    labels: tuple[str, ...]
    says: Says
    # Bit n: no label contradicts rule n.
    excluded: int
    adjusted: int


def cells_of(layer: Layer, title: str, over: Says) -> tuple[MatrixCell, ...]:
    """The cells of a file, `over` over what it says of them; one that is called like the matrix where it has no axes.

    Raises ConfigError with FILE:LINE for rules and cells that contradict one another or mean nothing, and where no cell
    is left.
    """
    if not layer.axes:
        for rules in (layer.exclude, layer.adjust):
            for rule in rules or ():
                raise ConfigError(f"{rule.where}: without axes there is nothing to choose from", remedy=_NO_AXES)
        for inclusion in layer.include or ():
            raise ConfigError(
                f"{inclusion.keys.where}: without axes there is nothing to add a cell to", remedy=_NO_AXES
            )
        request = Request(**laid_over(layer.says, over))
        return (MatrixCell(name=title, axes={}, request=request, where=f"{layer.path}"),)
    return _Product(layer, over).cells()


_NO_AXES = "Write the keys at the left margin, or give the file axes."


class _Product:
    """The cells of a file with axes."""

    def __init__(self, layer: Layer, over: Says) -> None:
        self._layer = layer
        self._axes = layer.axes
        self._over = over
        self._included = tuple(_included(inclusion, layer.axes) for inclusion in layer.include or ())
        # Labels of includes are none of their axis, but rules may speak of them.
        self._labels = {
            name: {**axis.entries, **{found.entries[name].label: found.entries[name] for found in self._included}}
            for name, axis in layer.axes.items()
        }
        self._exclude = self._checked_rules(layer.exclude or ())
        self._adjust = self._checked_rules(layer.adjust or ())
        self._check_contradictions()
        # Rules that adjust a cell, as bits -> what they say together.
        self._adjustments: dict[int, Says] = {0: {}}

    def cells(self) -> tuple[MatrixCell, ...]:
        """All cells, those that are included last."""
        cells: dict[str, MatrixCell] = {}
        used_exclude = used_adjust = 0
        where = self._layer.axes_where
        for row in self._rows():
            if row.excluded:
                used_exclude |= row.excluded
                continue
            used_adjust |= row.adjusted
            cell = self._cell(row.labels, laid_over(row.says, self._adjustment(row.adjusted)), where)
            cells[cell.name] = cell
        for found in self._included:
            cell = self._included_cell(found)
            if cell.name in cells:
                raise ConfigError(f"{found.where}: there is a cell {cell.name} already, at {cells[cell.name].where}")
            used_adjust |= self._matching(self._adjust, found)
            cells[cell.name] = cell
        for used, rules in ((used_exclude, self._exclude), (used_adjust, self._adjust)):
            for bit, rule in enumerate(rules):
                if not used >> bit & 1:
                    raise ConfigError(f"{rule.where}: no cell matches {_told(rule)}", remedy=self._known())
        if not cells:
            raise ConfigError(f"{where}: no cell is left: each is excluded", remedy="Exclude less, or include one.")
        return tuple(cells.values())

    def _rows(self) -> Iterable[_Row]:
        count = prod(len(axis.entries) for axis in self._axes.values())
        if count > _MOST_CELLS:
            raise ConfigError(f"{self._layer.axes_where}: the axes make {count} cells; at most {_MOST_CELLS} are taken")
        every = ((1 << len(self._exclude)) - 1, (1 << len(self._adjust)) - 1)
        rows: Iterable[_Row] = [_Row((), self._layer.says, *every)]
        for axis in self._axes.values():
            rows = self._longer(rows, axis)
        return rows

    def _longer(self, rows: Iterable[_Row], axis: Axis) -> Iterator[_Row]:
        """Each row with each label of one more axis. Not a list: what is excluded need not be kept."""
        entries = [
            (entry, _bits(self._exclude, axis.name, entry.label), _bits(self._adjust, axis.name, entry.label))
            for entry in axis.entries.values()
        ]
        for row in rows:
            for entry, excluded, adjusted in entries:
                yield _Row(
                    (*row.labels, entry.label),
                    laid_over(row.says, entry.says),
                    row.excluded & excluded,
                    row.adjusted & adjusted,
                )

    def _cell(self, labels: tuple[str, ...], says: Says, where: str) -> MatrixCell:
        name = "/".join(labels)
        if len(name) > LONGEST_CELL_NAME:
            raise ConfigError(
                f"{where}: the name of the cell {printable(name, limit=80)} is longer than {LONGEST_CELL_NAME} "
                "characters",
                remedy="Give the axes shorter labels: `LABEL: VALUE`.",
            )
        axes = dict(zip(self._axes, labels, strict=True))
        return MatrixCell(name=name, axes=axes, request=Request(**laid_over(says, self._over)), where=where)

    def _adjustment(self, bits: int) -> Says:
        if bits not in self._adjustments:
            says: Says = {}
            for bit, rule in enumerate(self._adjust):
                if bits >> bit & 1:
                    says = laid_over(says, rule.says)
            self._adjustments[bits] = says
        return self._adjustments[bits]

    def _included_cell(self, found: "_Included") -> MatrixCell:
        if bits := self._matching(self._exclude, found):
            rule = next(rule for bit, rule in enumerate(self._exclude) if bits >> bit & 1)
            raise ConfigError(f"{found.where}: this cell is excluded at {rule.where}")
        says = self._layer.says
        for entry in found.entries.values():
            says = laid_over(says, entry.says)
        says = laid_over(says, self._adjustment(self._matching(self._adjust, found)))
        labels = tuple(entry.label for entry in found.entries.values())
        return self._cell(labels, laid_over(says, found.says), found.where)

    def _matching(self, rules: Sequence[Rule], found: "_Included") -> int:
        """The rules that match, as bits."""
        bits = (1 << len(rules)) - 1
        for axis, entry in found.entries.items():
            bits &= _bits(rules, axis, entry.label)
        return bits

    def _checked_rules(self, rules: Sequence[Rule]) -> Sequence[Rule]:
        for rule in rules:
            for axis, patterns in rule.when.items():
                if axis not in self._axes:
                    raise unknown("axis", axis, self._axes, where=patterns[0].where if patterns else rule.where)
                for pattern in patterns:
                    if not any(matches(label, pattern.text) for label in self._labels[axis]):
                        raise unknown(
                            f"label of the axis {axis}", pattern.text, self._labels[axis], where=pattern.where
                        )
        return rules

    def _check_contradictions(self) -> None:
        """Refuse two that say the same key of a cell, where no order between them could be meant."""
        # Axis -> its entries, with the keys that each says.
        said = {name: [(entry, said_by(entry.says)) for entry in axis.values()] for name, axis in self._labels.items()}
        for (first, ones), (second, others) in combinations(said.items(), 2):
            seen = {key: entry for entry, keys in ones for key in keys}
            for entry, keys in others:
                for key in sorted(keys & seen.keys()):
                    raise ConfigError(
                        f"{entry.where}: the axes {first} and {second} both say {key} (see {seen[key].where})"
                    )
        for axis, entries in said.items():
            for entry, keys in entries:
                for rule in self._adjust:
                    if _meant(rule, axis, entry.label):
                        _refuse_both(said_by(rule.says) & keys, rule.where, axis, entry)
                _refuse_for_all(said_by(self._over) & keys, axis, entry)
        for found in self._included:
            for axis, entry in found.entries.items():
                _refuse_both(said_by(found.says) & said_by(entry.says), found.where, axis, entry)

    def _known(self) -> str:
        return " ".join(_labels_told(name, labels) for name, labels in self._labels.items())


def _refuse_both(keys: Iterable[str], where: str, axis: str, entry: Entry) -> None:
    for key in sorted(keys):
        raise ConfigError(
            f"{where}: {key} is what the axis {axis} says at {entry.where}: the cell would not be what its name says"
        )


def _refuse_for_all(keys: Iterable[str], axis: str, entry: Entry) -> None:
    for key in sorted(keys):
        raise said_for_all(key, AxisEntry(axis=axis, where=entry.where))


def said_for_all(key: str, entry: AxisEntry) -> ConfigError:
    """An error to raise where a command line says of all cells what an axis says of each."""
    option = f"--set {key.removeprefix('set.')}" if key.startswith("set.") else f"--{key.replace('_', '-')}"
    return ConfigError(
        f"{option} is given for all cells, and the axis {entry.axis} says it for each, at {entry.where}",
        remedy=f"Leave it out, or choose cells: --only {entry.axis}=LABEL.",
    )


def _bits(rules: Sequence[Rule], axis: str, label: str) -> int:
    """The rules that a label of an axis does not contradict."""
    return sum(1 << bit for bit, rule in enumerate(rules) if _meant(rule, axis, label))


def _meant(rule: Rule, axis: str, label: str) -> bool:
    """Whether a rule leaves this label of an axis open, or names it."""
    patterns = rule.when.get(axis)
    return patterns is None or any(matches(label, pattern.text) for pattern in patterns)


def matches(label: str, pattern: str) -> bool:
    """Whether a label is meant by a shell pattern, or is that very text."""
    return label == pattern or fnmatchcase(label, pattern)


def _told(rule: Rule) -> str:
    return " and ".join(f"{axis}={'|'.join(item.text for item in patterns)}" for axis, patterns in rule.when.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Included:
    """A cell that is added by hand."""

    # Axis -> its entry there, in the order of the axes.
    entries: Mapping[str, Entry]
    # What is said of this cell alone.
    says: Says
    where: str


def _included(inclusion: Inclusion, axes: Mapping[str, Axis]) -> _Included:
    keys = inclusion.keys
    for key, where in keys.places.items():
        if key not in axes and key not in CELL_KEYS:
            raise unknown("axis or experiment key", key, (*axes, *CELL_KEYS), where=where)
    entries: dict[str, Entry] = {}
    for name, axis in axes.items():
        if name not in keys.entries:
            raise ConfigError(
                f"{keys.where}: this cell has no label of the axis {name}", remedy=_labels_told(name, axis.entries)
            )
        entries[name] = _included_entry(scalar(keys.entries[name], name), axis, inclusion)
    says = cell_says(keys, inclusion.folder, besides=tuple(axes))
    return _Included(entries=entries, says=says, where=keys.where)


def _included_entry(label: Scalar, axis: Axis, inclusion: Inclusion) -> Entry:
    """A label of the axis; else, of an axis that is called like a key, a value of its own for this cell."""
    if label.text in axis.entries:
        return axis.entries[label.text]
    if axis.name not in CELL_KEYS:
        raise unknown(f"label of the axis {axis.name}", label.text, axis.entries, where=label.where)
    try:
        return entry_of(axis.name, label.text, label, label.where, inclusion.folder)
    except ConfigError as error:
        raise ConfigError(
            error.message, remedy=f"{error.remedy} {_labels_told(axis.name, axis.entries)}".strip()
        ) from error


def _labels_told(axis: str, labels: Collection[str]) -> str:
    more = len(labels) - _MOST_TOLD
    first = ", ".join(islice(labels, _MOST_TOLD))
    return f"Labels of the axis {axis}: {first}{f' and {more} more' if more > 0 else ''}."
