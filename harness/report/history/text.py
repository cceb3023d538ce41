"""Nightly series for a terminal: a line of blocks over all nights, a row for the newest and for what is marked."""

from collections.abc import Sequence
from itertools import pairwise

from harness.parse.foreign import printable
from harness.report.history.trend import MarkKind, Trend
from harness.report.layout import columns
from harness.report.numbers import NOTHING, number, percent, scale_for
from harness.report.wording import counted

_BLOCKS = "▁▂▃▄▅▆▇█"
# Of a line of blocks, in characters; of a cell of a table.
_LINE, _CELL_CHARS = 80, 120
_SIGNS = {MarkKind.WORSE: "!", MarkKind.BETTER: "+", MarkKind.REFUTED: "?", MarkKind.BREAK: "|"}


def history_text(trends: Sequence[Trend], *, newest: int) -> str:
    """Every series, each with a row for its `newest` nights, and for older ones with a mark."""
    return "\n\n".join("\n".join(_lines(trend, newest)) for trend in trends)


def sparkline(values: Sequence[float], width: int = _LINE) -> str:
    """A block for each value, low to high; of more values than `width` each block is the mean of several."""
    if not values:
        return ""
    count = min(len(values), width)
    bounds = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[one:other]) / (other - one) for one, other in pairwise(bounds)]
    low, high = min(means), max(means)
    steps = len(_BLOCKS) - 1
    # What is all but equal is drawn so.
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        return _BLOCKS[steps // 2] * len(means)
    return "".join(_BLOCKS[round((value - low) / (high - low) * steps)] for value in means)


def _lines(trend: Trend, newest: int) -> list[str]:
    factor, unit = scale_for(trend.unit, *trend.medians)
    told = ", ".join(word for word in (unit, trend.aim) if word)
    head = f"{trend.title}{f' ({told})' if told else ''}, {counted(len(trend.nights), 'night')}"
    if not trend.nights:
        return [printable(head)]
    low, high = min(trend.medians) / factor, max(trend.medians) / factor
    line = f"  {sparkline(trend.medians)}  {number(low)} to {number(high)}"
    first = max(len(trend.nights) - newest, 0)
    shown = [index for index in range(len(trend.nights)) if index >= first or trend.marks[index]]
    rows = [("", "night", "kernel", "boots", "median", "change", "")]
    for index in shown:
        night, effect, marks = trend.nights[index], trend.effect(index), trend.marks[index]
        rows.append(
            (
                "".join(dict.fromkeys(_SIGNS[mark.kind] for mark in marks)),
                f"{night.created.astimezone():%Y-%m-%d}",
                printable(night.kernel.name, limit=_CELL_CHARS),
                str(len(night.values)),
                number(trend.medians[index] / factor),
                percent(effect) if effect is not None else NOTHING,
                printable("; ".join(mark.words for mark in marks)),
            )
        )
    missing = len(trend.nights) - len(shown)
    left_out = [f"  {counted(missing, 'older night')} without a mark left out"] if missing else []
    table = [f"  {row}" for row in columns(rows, left={0, 1, 2, 6})]
    return [printable(head), line, *table, *left_out]
