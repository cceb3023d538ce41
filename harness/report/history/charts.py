"""The chart of a nightly series as geometry: where each night, line, mark and name goes; a template draws it."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.parse.foreign import printable
from harness.render import Fragment, fragment
from harness.report.history.trend import MarkKind, Trend
from harness.report.numbers import number, percent, scale_for
from harness.report.scales import Axis, Tick, linear_axis
from harness.report.wording import counted

_LEFT, _RIGHT, _TOP, _PLOT_HEIGHT = 60.0, 24.0, 44.0, 230.0
# Pixels between names on the axis, and of a letter; letters of a name, of a mark's label.
_NAME_STEP, _LETTER, _LONGEST_NAME, _LONGEST_LABEL = 17.0, 6.6, 18, 24
# Rows of labels above the plot: changes, then breaks.
_CHANGE_ROW, _BREAK_ROW = 14.0, 32.0
_SIGNS = {MarkKind.WORSE: "▼", MarkKind.BETTER: "▲"}
_SMALLEST_DOT, _LARGEST_DOT = 1.6, 4.0
# Changes and breaks that the description names.
_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendDot:
    """A night: its median, and the middle half of its boots."""

    x: float
    y: float
    low: float
    high: float
    # "worse", "better" where a confirmed change begins, else "".
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendBand:
    """Between the last kernel before a confirmed change and the first after it."""

    x: float
    width: float
    kind: str
    open: bool
    # "" where there is no room for it.
    label: str
    label_x: float
    # "start" or "end": to which side of it the label goes.
    anchor: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendLine:
    """A break of conditions: a vertical line with a label where there is room."""

    x: float
    label: str
    anchor: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendLevel:
    """The median of the nights between two changes or breaks."""

    x1: float
    x2: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendChart:
    """One series over its nights, pixels."""

    width: float
    height: float
    plot: tuple[float, float, float, float]
    change_row: float
    break_row: float
    dot: float
    title: str
    # What is on it, in sentences, for those who cannot see it.
    description: str
    unit: str
    aim: str
    ticks: tuple[Tick, ...]
    names: tuple[Tick, ...]
    dots: tuple[TrendDot, ...]
    levels: tuple[TrendLevel, ...]
    bands: tuple[TrendBand, ...]
    breaks: tuple[TrendLine, ...]
    # Suspicions that were not confirmed.
    refuted: tuple[Tick, ...]


def trend_svg(trend: Trend, *, width: float = 1040) -> Fragment:
    """The chart as SVG, to be put into any page that has the style of reports and report/history/style.css.j2.

    A sentence instead of it where the series has no night.
    """
    return fragment("report/history/trend.html.j2", chart=trend_chart(trend, width=width), trend=trend)


def trend_chart(trend: Trend, *, width: float = 1040) -> TrendChart | None:
    """The chart of a series; None when it has no night."""
    if not trend.nights:
        return None
    factor, unit = scale_for(trend.unit, *trend.medians)
    spreads = [trend.spread(index) for index in range(len(trend.nights))]
    right, bottom = width - _RIGHT, _TOP + _PLOT_HEIGHT
    ends = [end / factor for spread in spreads for end in spread]
    axis = linear_axis([*ends, *(value / factor for value in trend.medians)], start=bottom, end=_TOP)
    step = (right - _LEFT) / len(trend.nights)
    columns = _Columns(left=_LEFT, right=right, step=step)
    names = tuple(_names(trend, columns))
    # They stand at 60 degrees.
    names_height = 22.0 + _LETTER * math.sin(math.radians(60)) * max(len(name.label) for name in names)
    return TrendChart(
        width=width,
        height=round(bottom + names_height, 1),
        plot=(_LEFT, _TOP, right, bottom),
        change_row=_CHANGE_ROW,
        break_row=_BREAK_ROW,
        dot=round(min(max(step / 3, _SMALLEST_DOT), _LARGEST_DOT), 1),
        title=printable(trend.title),
        description=description(trend),
        unit=unit,
        aim=trend.aim,
        ticks=axis.ticks(5),
        names=names,
        dots=tuple(_dots(trend, spreads, columns, axis, factor, unit)),
        levels=tuple(_levels(trend, columns, axis, factor)),
        bands=tuple(_bands(trend, columns)),
        breaks=tuple(_breaks(trend, columns)),
        refuted=tuple(
            Tick(at=columns.at(index), label=mark.words)
            for index, marks in enumerate(trend.marks)
            for mark in marks
            if mark.kind is MarkKind.REFUTED
        ),
    )


def description(trend: Trend) -> str:
    """What the chart shows, in sentences."""
    nights = trend.nights
    factor, unit = scale_for(trend.unit, *trend.medians)
    low, high = (number(value / factor) for value in (min(trend.medians), max(trend.medians)))
    said = [
        f"{counted(len(nights), 'night')} from {nights[0].created:%Y-%m-%d} to {nights[-1].created:%Y-%m-%d}, medians "
        f"from {low} to {high} {unit}".rstrip()
    ]
    marked = [
        f"{nights[index].created:%Y-%m-%d}, {nights[index].kernel.name}: {mark.words}"
        for index, marks in enumerate(trend.marks)
        for mark in marks
        if mark.kind is not MarkKind.REFUTED
    ]
    said += marked[-_NAMED:]
    if len(marked) > _NAMED:
        said.append(f"and {len(marked) - _NAMED} older marks")
    return printable(". ".join(said))


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names without what all of them end in, from a ``-``, ``+`` or ``.`` on; long ones are cut."""
    shared = len(min(names, key=len, default=""))
    while shared and len({name[len(name) - shared :] for name in names}) > 1:
        shared -= 1
    ending = names[0][len(names[0]) - shared :] if names else ""
    starts = [place for sign in "+-" if (place := ending.find(sign)) >= 0]
    cut = len(ending) - min(starts) if starts else 0
    kept = [name[: len(name) - cut] or name for name in names]
    return tuple(f"{name[: _LONGEST_NAME - 1]}…" if len(name) > _LONGEST_NAME else name for name in kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where nights stand."""

    left: float
    right: float
    step: float

    def at(self, index: float) -> float:
        return round(self.left + (index + 0.5) * self.step, 1)


class _Row:
    """Labels in one row that do not cover each other; one that finds no room is left out."""

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        self._end = columns.left

    def place(self, x: float, text: str) -> tuple[str, str]:
        """The label, or "", and to which side of `x` it goes."""
        label = f"{text[: _LONGEST_LABEL - 1]}…" if len(text) > _LONGEST_LABEL else text
        wide = _LETTER * (len(label) + 1)
        anchor = "start" if x + wide <= self._columns.right else "end"
        begin, end = (x, x + wide) if anchor == "start" else (x - wide, x)
        if begin < self._end:
            return "", anchor
        self._end = end
        return label, anchor


def _names(trend: Trend, columns: _Columns) -> Iterator[Tick]:
    """Kernels on the axis, as many as can be read: those of changes and breaks first, the newest and the oldest."""
    names = short_names([printable(night.kernel.name) for night in trend.nights])
    last = len(names) - 1
    marked = [index for index, marks in enumerate(trend.marks) if any(mark.kind in _SIGNS for mark in marks)]
    every = max(1, math.ceil(_NAME_STEP / columns.step))
    taken: list[int] = []
    for index in (*marked, last, 0, *range(0, last, every)):
        if all(abs(index - other) * columns.step >= _NAME_STEP for other in taken):
            taken.append(index)
    yield from (Tick(at=columns.at(index), label=names[index]) for index in sorted(taken))


def _dots(
    trend: Trend,
    spreads: Sequence[tuple[float, float]],
    columns: _Columns,
    axis: Axis,
    factor: float,
    unit: str,
) -> Iterator[TrendDot]:
    for index, night in enumerate(trend.nights):
        effect = trend.effect(index)
        changed = f", {percent(effect)}" if effect is not None else ""
        marks = trend.marks[index]
        said = f"{night.created:%Y-%m-%d} {night.kernel.name}: {number(trend.medians[index] / factor)} {unit}{changed}"
        low, high = spreads[index]
        yield TrendDot(
            x=columns.at(index),
            y=axis.at(trend.medians[index] / factor),
            low=axis.at(low / factor),
            high=axis.at(high / factor),
            kind=next((str(mark.kind) for mark in marks if mark.kind in _SIGNS), ""),
            title="; ".join((said, *(mark.words for mark in marks))),
        )


def _levels(trend: Trend, columns: _Columns, axis: Axis, factor: float) -> Iterator[TrendLevel]:
    starts = [0] + [
        index
        for index, marks in enumerate(trend.marks)
        if index and any(mark.kind is not MarkKind.REFUTED for mark in marks)
    ]
    for start, stop in zip(starts, (*starts[1:], len(trend.nights)), strict=True):
        level = statistics.median(trend.medians[start:stop])
        yield TrendLevel(
            x1=round(columns.at(start - 0.5), 1), x2=round(columns.at(stop - 0.5), 1), y=axis.at(level / factor)
        )


def _bands(trend: Trend, columns: _Columns) -> Iterator[TrendBand]:
    row = _Row(columns)
    for index, marks in enumerate(trend.marks):
        for mark in marks:
            if mark.kind not in _SIGNS:
                continue
            start = columns.at(mark.since if mark.since is not None else index - 1)
            end = columns.at(index)
            label, anchor = row.place(end, f"{_SIGNS[mark.kind]} {mark.label}")
            yield TrendBand(
                x=max(start, columns.left),
                width=round(end - max(start, columns.left), 1),
                kind=str(mark.kind),
                open=mark.open,
                label=label,
                label_x=end,
                anchor=anchor,
                title=mark.words,
            )


def _breaks(trend: Trend, columns: _Columns) -> Iterator[TrendLine]:
    row = _Row(columns)
    for index, marks in enumerate(trend.marks):
        for mark in marks:
            if mark.kind is MarkKind.BREAK:
                x = columns.at(index - 0.5)
                label, anchor = row.place(x, printable(mark.label))
                yield TrendLine(x=x, label=label, anchor=anchor, title=mark.words)
