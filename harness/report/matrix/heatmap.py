"""The cells of a matrix as a table: which axes go down and across, and what each tile says. Nothing here draws."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.model.matrix import CellResult, CellVerdict
from harness.model.workload import Metric
from harness.report.matrix.claims import KINDS, SIGNS, goodness, is_waived, leading, verdict_words
from harness.report.numbers import NOTHING, percent

# Columns that a page of usual width takes; rows of one table, before an axis gets a table for each of its labels.
_MOST_COLUMNS, _MOST_ROWS = 8, 60
# Axes that go down beside each other.
_ROW_AXES = 2
# Matrices of which less than this part of the grid is there are a list.
_LEAST_FILLED = 0.35
# Changes from which on a tile is coloured more strongly: |log ratio| of 2, 10 and 30 %.
_STRENGTHS = (math.log(1.02), math.log(1.10), math.log(1.30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A cell in the table: the verdict as a word, a sign and a kind of colour, and the effect."""

    name: str
    # Where the page tells more of it: an anchor, or a page.
    link: str
    sign: str
    word: str
    # "better", "worse", "same", "fine", "unclear", "none".
    kind: str
    # 0 (hardly any) to 3.
    strength: int
    # "-5.1 %" and the metric whose change that is, or "" where there is none.
    change: str
    metric: str
    waived: bool
    # The day of the result, where that is not the newest run's.
    when: str = ""

    @property
    def told(self) -> str:
        """All of it in words."""
        effect = f", {self.metric} {self.change}" if self.metric else ""
        when = f" ({self.when})" if self.when else ""
        return f"{self.name}: {self.word}{', waived' if self.waived else ''}{effect}{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A heading over columns or beside rows."""

    label: str
    span: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """One row: its headings that begin here, outermost first, and its tiles; None where there is no such cell."""

    heads: tuple[Head, ...]
    tiles: tuple[Tile | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatTable:
    """One table."""

    # Axis and label of what all its cells share beyond what the whole matrix does.
    facets: tuple[tuple[str, str], ...]
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    # One line of headings for each axis of the columns; none where there is a single unnamed column.
    heads: tuple[tuple[Head, ...], ...]
    rows: tuple[HeatRow, ...]

    @property
    def columns(self) -> int:
        """How many there are."""
        return max((len(row.tiles) for row in self.rows), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """All cells of a matrix."""

    # Axis and label of what all cells share.
    fixed: tuple[tuple[str, str], ...]
    tables: tuple[HeatTable, ...]


def tile_of(result: CellResult, metrics: Mapping[str, Metric], *, link: str) -> Tile:
    """The tile of a cell."""
    lead = leading(result, metrics)
    ratio = lead.comparison.ratio if lead else None
    better = goodness(ratio, metrics.get(lead.metric)) if lead and ratio and ratio > 0 else 1.0
    # What is not a number has no strength.
    size = abs(math.log(better)) if 0 < better < math.inf else 0.0
    told = lead is not None and ratio is not None and result.verdict is not CellVerdict.UNMEASURED
    return Tile(
        name=result.cell,
        link=link,
        sign=SIGNS[result.verdict],
        word=verdict_words(result.verdict),
        kind=KINDS[result.verdict],
        strength=_strength(result.verdict, size),
        change=percent(ratio) if told and ratio is not None and math.isfinite(ratio) else NOTHING,
        metric=lead.metric if told and lead else "",
        waived=is_waived(result),
    )


def _strength(verdict: CellVerdict, size: float) -> int:
    """How strongly a tile is coloured; a change that is not shown, weakly."""
    if verdict is CellVerdict.FAULTY:
        return len(_STRENGTHS)
    return min(
        sum(size >= least for least in _STRENGTHS), 1 if verdict is CellVerdict.INCONCLUSIVE else len(_STRENGTHS)
    )


def heat_map(cells: Sequence[tuple[Mapping[str, str], Tile]]) -> HeatMap:
    """Tables of all cells, given by their labels on the axes: the longest axis goes down, few-label axes across.

    Axes on which all cells agree are named once. What fits neither way has a table for each of its labels; a matrix
    of which most of the grid is missing is a list.
    """
    names = list(dict.fromkeys(axis for axes, _ in cells for axis in axes))
    labels = {axis: list(dict.fromkeys(axes[axis] for axes, _ in cells if axis in axes)) for axis in names}
    complete = all(set(axes) == set(names) for axes, _ in cells)
    fixed = tuple((axis, labels[axis][0]) for axis in names if complete and len(labels[axis]) == 1 and len(cells) > 1)
    free = [axis for axis in names if axis not in dict(fixed)]
    at = {tuple(axes[axis] for axis in free): tile for axes, tile in cells} if complete else {}
    if not free or len(at) < len(cells):
        return HeatMap(fixed=fixed, tables=(_list(tile for _, tile in cells),))
    across = _across(free, labels)
    down, facets = _down([axis for axis in free if axis not in across], labels)
    tables = []
    for chosen in _product(facets, labels):
        here = {key: tile for key, tile in at.items() if _on(key, free, facets) == chosen}
        if here:
            facet = tuple(zip(facets, chosen, strict=True))
            tables.append(_table(here, free, down, across, labels, facet))
    room = sum(len(table.rows) * table.columns for table in tables)
    if len(cells) < _LEAST_FILLED * room:
        return HeatMap(fixed=fixed, tables=(_list(tile for _, tile in cells),))
    return HeatMap(fixed=fixed, tables=tuple(tables))


def _across(free: Sequence[str], labels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The axes that give most columns of those that fit; one is left to go down."""
    longest = max(free, key=lambda axis: len(labels[axis]))
    others = [axis for axis in free if axis != longest]
    fitting = [
        some
        for count in (1, 2)
        for some in combinations(others, count)
        if math.prod(len(labels[axis]) for axis in some) <= _MOST_COLUMNS
    ]
    return max(fitting, key=lambda some: math.prod(len(labels[axis]) for axis in some), default=())


def _down(left: Sequence[str], labels: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of the remaining axes go down, and which have tables of their own; both in the order of the file."""
    down = sorted(left, key=lambda axis: -len(labels[axis]))[:_ROW_AXES]
    if math.prod(len(labels[axis]) for axis in down) > _MOST_ROWS:
        down = down[:1]
    return tuple(axis for axis in left if axis in down), tuple(axis for axis in left if axis not in down)


def _product(axes: Sequence[str], labels: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    combined: list[tuple[str, ...]] = [()]
    for axis in axes:
        combined = [(*one, label) for one in combined for label in labels[axis]]
    return combined


def _on(key: tuple[str, ...], free: Sequence[str], axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(key[free.index(axis)] for axis in axes)


def _table(
    here: Mapping[tuple[str, ...], Tile],
    free: Sequence[str],
    down: Sequence[str],
    across: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    facets: tuple[tuple[str, str], ...],
) -> HeatTable:
    placed = {(_on(key, free, down), _on(key, free, across)): tile for key, tile in here.items()}
    used_down, used_across = ({key[side] for key in placed} for side in (0, 1))
    rows = [one for one in _product(down, labels) if one in used_down]
    columns = [one for one in _product(across, labels) if one in used_across]
    beside = _beginnings(rows, len(down))
    return HeatTable(
        facets=facets,
        row_axes=tuple(down),
        column_axes=tuple(across),
        heads=tuple(
            tuple(found for heads in _beginnings(columns, len(across)) for depth, found in heads if depth == level)
            for level in range(len(across))
        ),
        rows=tuple(
            HeatRow(
                heads=tuple(head for _, head in heads),
                tiles=tuple(placed.get((row, column)) for column in columns),
            )
            for row, heads in zip(rows, beside, strict=True)
        ),
    )


def _beginnings(keys: Sequence[tuple[str, ...]], depth: int) -> list[list[tuple[int, Head]]]:
    """For each key the headings that begin with it, with their depth: equal beginnings share one."""
    found: list[list[tuple[int, Head]]] = []
    for place, key in enumerate(keys):
        heads = []
        for level in range(depth):
            prefix = key[: level + 1]
            if place and keys[place - 1][: level + 1] == prefix:
                continue
            span = 0
            while place + span < len(keys) and keys[place + span][: level + 1] == prefix:
                span += 1
            heads.append((level, Head(label=key[level], span=span)))
        found.append(heads)
    return found


def _list(tiles: Iterable[Tile]) -> HeatTable:
    rows = tuple(HeatRow(heads=(Head(label=tile.name),), tiles=(tile,)) for tile in tiles)
    return HeatTable(facets=(), row_axes=("cell",), column_axes=(), heads=(), rows=rows)
