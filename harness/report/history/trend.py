"""A nightly series as it is told, whatever the form: its nights, what changed between them, and what was made of it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.alarm import Alarm, Asked, Break, Night, SeriesName
from harness.model.workload import Direction, Metric
from harness.report.history.alarmtext import change_words
from harness.stats.nights import breaks

# From so many boots on their middle half is told, below it all of them.
_QUARTILES = 4
# No figure of a night: arithmetic on it overflows.
_ABSURD = 1e300
# Of a condition's value, in characters.
_VALUE_CHARS = 60


class MarkKind(StrEnum):
    """What a night is marked for."""

    # A confirmed change, and how its alarm stands.
    WORSE = "worse"
    BETTER = "better"
    # A suspected change that an A/B did not confirm.
    REFUTED = "refuted"
    # Another host, QEMU, image, ...: not comparable with the night before.
    BREAK = "break"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is to be said of a night."""

    kind: MarkKind
    # For where there is little room: an alarm's id, the names of conditions.
    label: str
    words: str
    # Of a change: the night of the last kernel before it; whether somebody still has to do something.
    since: int | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A series with all that is known of it, oldest night first. Nights have boots."""

    name: SeriesName
    # None for one that this kab does not know.
    metric: Metric | None
    nights: tuple[Night, ...]
    # Of each night: the median of its boots, in metric units.
    medians: tuple[float, ...]
    # Of each night: what is to be said of it.
    marks: tuple[tuple[Mark, ...], ...]
    breaks: tuple[Break, ...]
    # Of the cell and its series, whatever their metric.
    alarms: tuple[Alarm, ...]

    @property
    def unit(self) -> str:
        """Of all values."""
        return self.metric.unit if self.metric is not None else ""

    @property
    def title(self) -> str:
        """``shared-dio/btrfs on debian:6.12: write_iops``."""
        return f"{self.name.cell} on {self.name.series}: {self.name.metric}"

    @property
    def aim(self) -> str:
        """``higher is better``; "" where nobody knows, and for a witness."""
        known = self.metric is not None and not self.metric.witness
        return f"{self.metric.direction} is better" if known and self.metric is not None else ""

    def spread(self, index: int) -> tuple[float, float]:
        """The middle half of a night's boots, of few boots all of them; in metric units."""
        values = self.nights[index].values
        if len(values) < _QUARTILES:
            return min(values), max(values)
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return low, high

    def effect(self, index: int) -> float | None:
        """A night's median / that of the night before; None where both cannot be compared."""
        if index == 0 or any(found.index == index for found in self.breaks):
            return None
        before, here = self.medians[index - 1], self.medians[index]
        return here / before if before > 0 and here > 0 else None

    def is_better(self, ratio: float) -> bool | None:
        """Whether a change by this ratio is for the better; None where nobody knows, or nothing changed."""
        if self.metric is None or self.metric.witness or ratio == 1:
            return None
        return (ratio > 1) is (self.metric.direction is Direction.HIGHER)


def trend_of(
    name: SeriesName,
    nights: Sequence[Night],
    *,
    metric: Metric | None,
    alarms: Sequence[Alarm] = (),
    asked: Sequence[Asked] = (),
) -> Trend:
    """The series `name`: those of `alarms` and of the suspicions `asked` that are of its cell belong to it."""
    usable = tuple(night for night in nights if night.values and all(abs(value) < _ABSURD for value in night.values))
    here = tuple(alarm for alarm in alarms if _cell(alarm.name) == _cell(name))
    mine = tuple(one for one in asked if one.name == name and not one.confirmed)
    found = breaks(usable)
    return Trend(
        name=name,
        metric=metric,
        nights=usable,
        medians=tuple(statistics.median(night.values) for night in usable),
        marks=_marks(usable, found, here, mine),
        breaks=found,
        alarms=here,
    )


def _cell(name: SeriesName) -> tuple[str, str, str]:
    return name.matrix, name.cell, name.series


def _marks(
    nights: Sequence[Night], found: Sequence[Break], alarms: Sequence[Alarm], asked: Sequence[Asked]
) -> tuple[tuple[Mark, ...], ...]:
    marks: list[list[Mark]] = [[] for _ in nights]
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, night in enumerate(nights):
        first.setdefault(night.kernel.digest, index)
        last[night.kernel.digest] = index
    for one in found:
        marks[one.index].append(_break_mark(one))
    for alarm in alarms:
        place = first.get(alarm.after.digest)
        if place is not None:
            kind = MarkKind.WORSE if alarm.worse else MarkKind.BETTER
            words = f"alarm {alarm.id}: {change_words(alarm)}, {alarm.state}"
            since = _before(alarm.before.digest, place, last)
            label = f"{alarm.id}, {alarm.state}"
            marks[place].append(Mark(kind=kind, label=label, words=words, since=since, open=alarm.open))
    for suspicion in asked:
        place = first.get(suspicion.change.after.digest)
        if place is not None:
            words = f"suspected, and not confirmed by {suspicion.run_id}"
            marks[place].append(Mark(kind=MarkKind.REFUTED, label="?", words=words))
    return tuple(map(tuple, marks))


def _before(digest: str, place: int, last: Mapping[str, int]) -> int | None:
    found = last.get(digest)
    return found if found is not None and found < place else None


def _break_mark(found: Break) -> Mark:
    def value(text: str) -> str:
        cut = f"{text[:_VALUE_CHARS]}..." if len(text) > _VALUE_CHARS else text
        return cut or "nothing"

    words = "; ".join(f"{name} {value(old)} -> {value(new)}" for name, old, new in found.changed)
    names = ", ".join(name for name, _, _ in found.changed)
    return Mark(kind=MarkKind.BREAK, label=names, words=f"not comparable: {words}")
