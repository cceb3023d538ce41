"""A search as one HTML file: the metric of every boot along the history, the posterior below it, and the summary."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.bisect.evidence import Evidence, ladder_evidence
from harness.bisect.view import Standing
from harness.model.bisection import BisectionOutcome, BisectionPlan, Edge, FoundEdge, RungState
from harness.model.run import Run
from harness.model.workload import Metric
from harness.render import render
from harness.report.numbers import number
from harness.report.scales import Tick, log_axis
from harness.report.search import rungs
from harness.report.search.sentences import rung_note
from harness.report.search.text import bisection_summary

_LEFT, _RIGHT, _TOP = 60.0, 20.0, 16.0
_STEP = 26.0
# Ladders with more kernels leave out long stretches without a boot; such a gap takes so many steps.
_MANY, _LONG_STRETCH, _GAP_STEPS = 64, 6, 2.0
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
    kernels: int
    # (x, number of kernels) of each stretch that is left out.
    gaps: tuple[tuple[float, int], ...]
    # (x of the last kernel before it, x of the first behind it, kind and name) of each edge.
    edges: tuple[tuple[float, float, str], ...]


def bisection_html(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> str:
    """The page; pure, no network, nothing executed."""
    return render(
        "report/search/page.html.j2",
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
    values = ladder_evidence(evidence).values(name, range(len(plan.rungs)))
    metric = metrics.get(name)
    floor = metric.floor if metric else 0.0
    bottom = _TOP + _PLOT_HEIGHT
    axis = log_axis([max(value, floor) for many in values.values() for value in many], start=bottom, end=_TOP)
    posterior_top = bottom + _GAP
    posterior_bottom = posterior_top + _POSTERIOR_HEIGHT
    edges: Sequence[Edge | FoundEdge] = outcome.edges if outcome else standing.edges
    columns = []
    places = _places(plan, standing, edges)
    for index, (rung, there) in enumerate(zip(plan.rungs, standing.rungs, strict=True)):
        if index not in places:
            continue
        slow = there.slow
        said = f"{rungs.full_name(rung)}: {there.state}" + (f", P(slow) {slow:.3f}" if slow is not None else "")
        columns.append(
            RungColumn(
                x=_x(places[index]),
                name=rungs.axis_name(rung),
                state=str(there.state),
                dots=tuple(
                    (axis.at(max(value, floor)), f"{rungs.name(rung)}: {name} {number(value)}")
                    for value in values.get(index, ())
                ),
                bar=round(posterior_bottom - (slow or 0.0) * _POSTERIOR_HEIGHT, 1),
                title=f"{said} {rung_note(plan, there)}".strip(),
            )
        )
    end = max(places.values())
    return LadderChart(
        kernels=len(plan.rungs),
        gaps=_gaps(places),
        width=_x(end + 1) + _RIGHT,
        height=posterior_bottom + _NAMES_HEIGHT,
        left=_LEFT,
        right=_x(end) + _STEP / 2,
        top=_TOP,
        bottom=bottom,
        posterior_top=posterior_top,
        posterior_bottom=posterior_bottom,
        metric=f"{name} {metric.unit}".strip() if metric else name,
        ticks=axis.ticks(),
        columns=tuple(columns),
        edges=tuple((_x(places[edge.before]), _x(places[edge.after]), _said(plan, edge)) for edge in edges),
    )


def _places(plan: BisectionPlan, standing: Standing, edges: Sequence[Edge | FoundEdge]) -> dict[int, float]:
    """Where on the axis each kernel stands, in steps.

    On a long ladder long stretches of kernels that no boot was spent on are left out, but for the gap that they leave.
    """
    count = len(plan.rungs)
    kept = set(range(count))
    if count > _MANY:
        telling = {index for index, rung in enumerate(standing.rungs) if rung.boots or rung.state is RungState.SKIP}
        telling |= {0, count - 1, *(edge.before for edge in edges), *(edge.after for edge in edges)}
        ordered = sorted(telling)
        for one, other in itertools.pairwise(ordered):
            if other - one - 1 >= _LONG_STRETCH:
                kept -= set(range(one + 1, other))
    places: dict[int, float] = {}
    at, previous = 0.0, -1
    for index in sorted(kept):
        at += 0.0 if previous < 0 else 1.0 if index == previous + 1 else _GAP_STEPS
        places[index], previous = at, index
    return places


def _gaps(places: Mapping[int, float]) -> tuple[tuple[float, int], ...]:
    """Middle of each stretch that is left out, pixels, and how many kernels it has."""
    return tuple(
        (_x((places[one] + places[other]) / 2), other - one - 1)
        for one, other in itertools.pairwise(places)
        if other > one + 1
    )


def _said(plan: BisectionPlan, edge: Edge | FoundEdge) -> str:
    return f"{edge.kind}: {rungs.full_name(plan.rungs[edge.after])}"


def _x(place: float) -> float:
    return _LEFT + _STEP * (place + 0.5)
