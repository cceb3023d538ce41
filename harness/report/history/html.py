"""The page of nightly series: a chart for each, its alarms, and a table of its nights."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from harness import __version__
from harness.model.alarm import Alarm
from harness.render import Fragment, render
from harness.report.history.alarmtext import change_words, kernels_words, state_words
from harness.report.history.charts import trend_svg
from harness.report.history.trend import MarkKind, Trend
from harness.report.numbers import NOTHING, number, percent, scale_for
from harness.report.wording import counted

# Rows of a table of nights, besides those with a mark.
_NEWEST_ROWS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NightRow:
    """A night in the table."""

    when: str
    kernel: str
    run: str
    boots: int
    median: str
    spread: str
    change: str
    # "better", "worse", or "": how the change is drawn.
    kind: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """An alarm of a series' cell."""

    alarm: Alarm
    change: str
    kernels: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One series on the page."""

    anchor: str
    trend: Trend
    unit: str
    chart: Fragment
    alarms: tuple[AlarmRow, ...]
    # Newest first.
    rows: tuple[NightRow, ...]
    left_out: int


def history_html(trends: Sequence[Trend], *, now: datetime) -> str:
    """The whole page."""
    open_alarms = {alarm.id: alarm for trend in trends for alarm in trend.alarms if alarm.open}
    worse = any(alarm.worse for alarm in open_alarms.values())
    nights = max((len(trend.nights) for trend in trends), default=0)
    count = len(open_alarms)
    changes = f"{counted(count, 'change')} {'is' if count == 1 else 'are'} open" if count else "no change is open"
    return render(
        "report/history/page.html.j2",
        cards=[_card(trend, f"series-{number}", now) for number, trend in enumerate(trends, 1)],
        claim=f"{len(trends)} series over {counted(nights, 'night')}, {changes}",
        kind="slower" if worse else "inconclusive" if open_alarms else "same",
        word="worse" if worse else "changed" if open_alarms else "no open change",
        sign="▼" if worse else "▲" if open_alarms else "=",
        now=now,
        version=__version__,
    )


def _card(trend: Trend, anchor: str, now: datetime) -> Card:
    factor, unit = scale_for(trend.unit, *trend.medians)
    shown = [
        index for index in range(len(trend.nights)) if index >= len(trend.nights) - _NEWEST_ROWS or trend.marks[index]
    ]
    return Card(
        anchor=anchor,
        trend=trend,
        unit=unit,
        chart=trend_svg(trend),
        alarms=tuple(
            AlarmRow(
                alarm=alarm, change=change_words(alarm), kernels=kernels_words(alarm), state=state_words(alarm, now)
            )
            for alarm in trend.alarms
        ),
        rows=tuple(_row(trend, index, factor) for index in reversed(shown)),
        left_out=len(trend.nights) - len(shown),
    )


def _row(trend: Trend, index: int, factor: float) -> NightRow:
    night, effect = trend.nights[index], trend.effect(index)
    marks = trend.marks[index]
    low, high = trend.spread(index)
    confirmed = [str(mark.kind) for mark in marks if mark.kind in {MarkKind.WORSE, MarkKind.BETTER}]
    return NightRow(
        when=f"{night.created:%Y-%m-%d %H:%M}",
        kernel=night.kernel.name,
        run=night.run_id,
        boots=len(night.values),
        median=number(trend.medians[index] / factor),
        spread=f"{number(low / factor)} to {number(high / factor)}",
        change=percent(effect) if effect is not None else NOTHING,
        kind=confirmed[0] if confirmed else "",
        words=tuple(mark.words for mark in marks),
    )
