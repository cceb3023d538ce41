"""Alarms: confirmed changes of a nightly series, each told once, with a state that somebody owns."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from harness.model.run import KernelRecord
from harness.model.verdict import Comparison

_SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesName:
    """What is followed over the nights: a cell of a matrix, on kernels of one series, by one metric."""

    # Title of the matrix; the cell's name.
    matrix: str
    cell: str
    # What the kernels are newest of, as a kernel spec: "debian:6.12".
    series: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One point of a series: the boots of one kernel in one run."""

    run_id: str
    created: datetime
    kernel: KernelRecord
    # What must be equal for two nights to be comparable, as one text each: host, QEMU, image, kab.
    conditions: tuple[tuple[str, str], ...]
    # One value per boot, in metric units, in the order of the boots.
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Two nights in a row that are not comparable: something besides the kernel is another."""

    # Which night is the first under the new conditions.
    index: int
    # What changed: (condition, before, from here on); "" where there was none, or is none any more.
    changed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A suspected change of a series. Nobody is told of it before an A/B of both kernels confirms it."""

    # Which night is most likely the first after it.
    index: int
    # The last kernel that is surely before it, and the first that is surely after it.
    before: KernelRecord
    after: KernelRecord
    # Medians after it / before it, and whether that is worse.
    ratio: float
    worse: bool
    # How far both sides are apart, in standard errors.
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A suspected change that an A/B of both kernels was made for, and what came of it."""

    name: SeriesName
    change: Change
    # The A/B run.
    run_id: str
    at: datetime
    confirmed: bool


class AlarmState(StrEnum):
    """Where an alarm stands."""

    NEW = "new"
    # Somebody has it, until a day.
    ACKNOWLEDGED = "acknowledged"
    FIXED = "fixed"
    NOT_A_BUG = "not-a-bug"


# What may come after each state. A fixed one is new again when it is confirmed once more.
NEXT_STATES: Mapping[AlarmState, frozenset[AlarmState]] = {
    AlarmState.NEW: frozenset({AlarmState.ACKNOWLEDGED, AlarmState.FIXED, AlarmState.NOT_A_BUG}),
    AlarmState.ACKNOWLEDGED: frozenset({AlarmState.ACKNOWLEDGED, AlarmState.FIXED, AlarmState.NOT_A_BUG}),
    AlarmState.FIXED: frozenset({AlarmState.NEW}),
    AlarmState.NOT_A_BUG: frozenset(),
}
# Within so many working days whoever acknowledged an alarm is asked again, unless a day is named.
WORKING_DAYS = 3


def due_after(moment: datetime, working_days: int = WORKING_DAYS) -> datetime:
    """The same time so many working days later: Saturdays and Sundays do not count."""
    due = moment
    while working_days:
        due += timedelta(days=1)
        working_days -= due.weekday() < _SATURDAY
    return due


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """A change of an alarm's state."""

    state: AlarmState
    at: datetime
    owner: str = ""
    note: str = ""
    # Of an acknowledged one: when its owner is asked again.
    due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A change that an interleaved A/B of both kernels confirmed."""

    # Short, unique in its store, and made of what it is about: "a1b2c3d4".
    id: str
    name: SeriesName
    # The last kernel before the change and the first after it.
    before: KernelRecord
    after: KernelRecord
    # The A/B run that confirmed it, and what it says.
    confirmed_by: str
    comparison: Comparison
    # Whether it is worse (or else better) after it.
    worse: bool
    # The first is NEW, the last is how it stands.
    events: tuple[AlarmEvent, ...]
    # Other metrics of the same boots that moved with it.
    others: tuple[Comparison, ...] = ()

    @property
    def state(self) -> AlarmState:
        """How it stands."""
        return self.events[-1].state

    @property
    def open(self) -> bool:
        """Whether somebody still has to do something."""
        return self.state in {AlarmState.NEW, AlarmState.ACKNOWLEDGED}

    def overdue(self, now: datetime) -> bool:
        """Whether it was acknowledged until a moment that is past: an acknowledging outlives nothing."""
        last = self.events[-1]
        return last.state is AlarmState.ACKNOWLEDGED and last.due is not None and last.due < now
