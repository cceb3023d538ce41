"""Alarms in words."""

from collections.abc import Iterator
from datetime import datetime

from harness.model.alarm import Alarm, AlarmEvent, AlarmState
from harness.model.verdict import Comparison
from harness.parse.foreign import printable
from harness.report.numbers import interval, level, number, percent

_LINE_CHARS = 2000


def alarm_text(alarm: Alarm, *, bisect: str, repeat: str, now: datetime) -> str:
    """All of an alarm, for a terminal: what changed, how sure that is, what became of it, and what to do next."""
    return "\n".join(printable(line, limit=_LINE_CHARS) for line in _lines(alarm, bisect, repeat, now))


def state_words(alarm: Alarm, now: datetime) -> str:
    """``new``, ``acknowledged by O until 2026-11-30``, ``acknowledged by O, overdue since 2026-11-30``, ``fixed``."""
    last = alarm.events[-1]
    if last.state is not AlarmState.ACKNOWLEDGED or last.due is None:
        return str(alarm.state)
    word = ", overdue since" if alarm.overdue(now) else " until"
    return f"acknowledged by {last.owner}{word} {last.due:%Y-%m-%d}"


def change_words(alarm: Alarm) -> str:
    """``write_iops -5.1 %, worse``."""
    found = alarm.comparison
    effect = percent(found.ratio) if found.ratio is not None else "changed"
    return f"{alarm.name.metric} {effect}, {'worse' if alarm.worse else 'better'}"


def kernels_words(alarm: Alarm) -> str:
    """The kernels on both sides of it."""
    return f"{alarm.before.name} -> {alarm.after.name}"


def _lines(alarm: Alarm, bisect: str, repeat: str, now: datetime) -> Iterator[str]:
    name = alarm.name
    yield f"alarm {alarm.id}: {change_words(alarm)}"
    yield f"  where    {name.cell} of {name.matrix}, kernels of {name.series}"
    yield f"  between  {alarm.before.name} ({alarm.before.version or alarm.before.spec})"
    yield f"  and      {alarm.after.name} ({alarm.after.version or alarm.after.spec})"
    yield f"  shown by run {alarm.confirmed_by}: {_comparison_words(alarm.comparison)}"
    for other in alarm.others:
        yield f"  with it  {_comparison_words(other)}"
    yield f"  state    {state_words(alarm, now)}"
    for event in alarm.events:
        yield f"    {event.at:%Y-%m-%d %H:%M}  {_event_words(event)}"
    yield ""
    yield "Find the change between both kernels:"
    yield f"  {bisect}"
    yield "Make the comparison that confirmed it again:" if repeat else "The run that confirmed it is gone."
    if repeat:
        yield f"  {repeat}"


def _comparison_words(found: Comparison) -> str:
    figures = f"{number(found.baseline)} -> {number(found.candidate)}"
    effect = f", {percent(found.ratio)}" if found.ratio is not None else ""
    sure = f", {level(found.error)} interval x{interval(found.low, found.high)}" if found.low is not None else ""
    return f"{found.metric} {figures}{effect}{sure}, {found.blocks} blocks"


def _event_words(event: AlarmEvent) -> str:
    by = f" by {event.owner}" if event.owner else ""
    due = f", due {event.due:%Y-%m-%d}" if event.due is not None else ""
    note = f": {event.note}" if event.note else ""
    return f"{event.state}{by}{due}{note}"
