"""Nightly series as they are stored, told; nothing here boots or screens."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from harness.errors import ConfigError
from harness.lab.workspace import Workspace
from harness.model.alarm import Night, SeriesName
from harness.parse.foreign import printable
from harness.report.history.text import history_text
from harness.report.history.trend import Trend, trend_of
from harness.workloads.registry import METRICS

# Names that an error lists.
_LISTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReport:
    """Series over the nights."""

    trends: tuple[Trend, ...]
    # Rows of each series in the text.
    newest: int = 20

    def text(self) -> str:
        """For a terminal."""
        return history_text(self.trends, newest=self.newest)

    def json(self) -> str:
        """For a program."""
        from harness.report.history.json import history_json

        return json.dumps(history_json(self.trends), indent=2)

    def html(self) -> str:
        """For a browser: one file without scripts."""
        from harness.report.history.html import history_html

        return history_html(self.trends, now=datetime.now(UTC))


def history(
    workspace: Workspace,
    *,
    workload: str | None,
    matrix: str | None,
    cell: str | None,
    series: str | None,
    metric: str | None,
    newest: int,
) -> HistoryReport:
    """As Lab.history."""
    known = workspace.store.history.series(workload=workload)
    if not known:
        what = f"of workload {printable(workload)} " if workload else ""
        raise ConfigError(
            f"no night {what}is stored yet",
            remedy="`kab run`, `kab gate` and `kab nightly` store nights: one for each cell of their matrix.",
        )
    wanted = {"matrix": matrix, "cell": cell, "series": series}
    chosen = _fitting(known, {name: pattern for name, pattern in wanted.items() if pattern is not None})
    metrics = _metrics(chosen, metric)
    names = {name for name in chosen if name.metric in metrics}
    trends: list[Trend] = []
    alarms, asked = workspace.store.alarms.all().alarms, workspace.store.alarms.asked()
    for one in metrics:
        found = workspace.store.history.nights(metric=one, workload=workload, **_exact(names))
        trends += [
            trend_of(name, nights, metric=METRICS.get(name.metric), alarms=alarms, asked=asked)
            for name, nights in found.items()
            if name in names
        ]
    return HistoryReport(trends=tuple(sorted(trends, key=lambda trend: _order(trend.name))), newest=newest)


def cell_trends(
    workspace: Workspace, *, matrix: str, cell: str, series: str, counting: Collection[str] = ()
) -> tuple[Trend, ...]:
    """The series of one cell, for its page: of the metrics that count, else of those that `history` takes itself."""
    store = workspace.store
    known = store.history.series(matrix=matrix, cell=cell, series=series)
    if not known:
        return ()
    alarms = store.alarms.all(matrix=matrix, cell=cell, series=series).alarms
    asked = store.alarms.asked(matrix=matrix, cell=cell, series=series)
    found: dict[SeriesName, tuple[Night, ...]] = {}
    there = {name.metric for name in known}
    for metric in [metric for metric in counting if metric in there] or _metrics(known, None):
        found |= store.history.nights(metric=metric, matrix=matrix, cell=cell, series=series)
    return tuple(
        trend_of(name, nights, metric=METRICS.get(name.metric), alarms=alarms, asked=asked)
        for name, nights in found.items()
    )


def _fitting(known: Sequence[SeriesName], patterns: Mapping[str, str]) -> tuple[SeriesName, ...]:
    """Those whose names fit. Raises ConfigError, with what there is, where a pattern fits none."""
    left = tuple(known)
    for part, pattern in patterns.items():
        kept = tuple(name for name in left if fnmatchcase(getattr(name, part), pattern))
        if not kept:
            there = list(dict.fromkeys(printable(getattr(name, part)) for name in left))
            more = f", and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
            raise ConfigError(
                f"no {part} fits {printable(pattern)}", remedy=f"There are: {', '.join(there[:_LISTED])}{more}."
            )
        left = kept
    return left


def _metrics(known: Sequence[SeriesName], pattern: str | None) -> tuple[str, ...]:
    """Metrics to tell of: those that fit, else the first speed of those there are, in the catalogue's order."""
    there = {name.metric for name in known}
    ordered = [name for name in METRICS if name in there] + sorted(there - set(METRICS))
    if pattern is not None:
        _fitting(known, {"metric": pattern})
        return tuple(name for name in ordered if fnmatchcase(name, pattern))
    speeds = [name for name in ordered if name in METRICS and METRICS[name].decides and not METRICS[name].witness]
    return tuple((speeds or ordered)[:1])


def _exact(names: set[SeriesName]) -> dict[str, str]:
    """What all of them share, for the database to look for."""
    shared = {}
    for part in ("matrix", "cell", "series"):
        texts = {getattr(name, part) for name in names}
        if len(texts) == 1:
            shared[part] = texts.pop()
    return shared


def _order(name: SeriesName) -> tuple[str, ...]:
    return name.matrix, name.cell, name.series, name.metric
