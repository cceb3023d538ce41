"""A search as one HTML file: the metric of every boot along the history, the posterior below it, and the summary."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.bisect.findings import Evidence, findings_of
from harness.bisect.standing import Standing
from harness.model.bisection import BisectionOutcome
from harness.model.run import Run
from harness.model.workload import Metric
from harness.render import render
from harness.report.bisection import bisection_summary
from harness.report.numbers import number
from harness.report.scales import Tick, log_axis

_LEFT, _RIGHT, _TOP = 60.0, 20.0, 16.0
_STEP = 26.0
_PLOT_HEIGHT, _POSTERIOR_HEIGHT, _NAMES_HEIGHT, _GAP = 260.0, 60.0, 96.0, 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RungColumn:
    """One kernel of the ladder: where its dots are, and its bar."""

    x: float
    name: str
    state: str
    # Heights of its boots' values, with words.
    dots: tuple[tuple[float, str], ...]
    # Top of the bar of P(slow), and the words.
    bar: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderChart:
    """Geometry of the chart, pixels."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    posterior_top: float
    posterior_bottom: float
    metric: str
    ticks: tuple[Tick, ...]
    columns: tuple[RungColumn, ...]
    # (x of the last kernel before it, x of the first behind it, kind) of each edge.
    edges: tuple[tuple[float, float, str], ...]


def bisection_html(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> str:
    """The page; pure, no network, nothing executed."""
    return render(
        "bisection.html.j2",
        run=run,
        answer=str(outcome.answer) if outcome else "open",
        reason=outcome.reason if outcome else "the search is not finished",
        kind=_KINDS.get(str(outcome.answer) if outcome else "", "inconclusive"),
        chart=_chart(evidence, standing, outcome, metrics),
        summary=bisection_summary(run, evidence, standing, outcome, metrics),
    )


_KINDS = {"found": "faster", "nothing": "same", "unproven": "inconclusive"}


def _chart(
    evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> LadderChart:
    plan = evidence.plan
    name = standing.metric.name if standing.metric else ""
    values = findings_of(evidence).values(name, range(len(plan.rungs)))
    metric = metrics.get(name)
    floor = metric.floor if metric else 0.0
    bottom = _TOP + _PLOT_HEIGHT
    axis = log_axis([max(value, floor) for many in values.values() for value in many], start=bottom, end=_TOP)
    posterior_top = bottom + _GAP
    posterior_bottom = posterior_top + _POSTERIOR_HEIGHT
    columns = []
    for index, (rung, there) in enumerate(zip(plan.rungs, standing.rungs, strict=True)):
        slow = there.slow
        said = f"{rung.release}: {there.state}" + (f", P(slow) {slow:.3f}" if slow is not None else "")
        columns.append(
            RungColumn(
                x=_x(index),
                # Without Debian's revision.
                name=rung.version.rpartition("-")[0] or rung.version,
                state=str(there.state),
                dots=tuple(
                    (axis.at(max(value, floor)), f"{rung.release}: {name} {number(value)}")
                    for value in values.get(index, ())
                ),
                bar=round(posterior_bottom - (slow or 0.0) * _POSTERIOR_HEIGHT, 1),
                title=f"{said} {there.note}".strip(),
            )
        )
    edges = outcome.edges if outcome else standing.edges
    return LadderChart(
        width=_x(len(plan.rungs)) + _RIGHT,
        height=posterior_bottom + _NAMES_HEIGHT,
        left=_LEFT,
        right=_x(len(plan.rungs) - 1) + _STEP / 2,
        top=_TOP,
        bottom=bottom,
        posterior_top=posterior_top,
        posterior_bottom=posterior_bottom,
        metric=f"{name} {metric.unit}".strip() if metric else name,
        ticks=axis.ticks(),
        columns=tuple(columns),
        edges=tuple((_x(edge.before), _x(edge.after), str(edge.kind)) for edge in edges),
    )


def _x(index: int) -> float:
    return _LEFT + _STEP * (index + 0.5)
