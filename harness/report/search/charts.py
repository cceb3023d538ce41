"""A search's charts as geometry: the strip of all rungs, and the metric of every boot with the posterior below it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.bisect.evidence import Evidence, ladder_evidence
from harness.bisect.view import RungStanding, Standing
from harness.model.bisection import BisectionPlan, Edge, FoundEdge, RungState
from harness.model.workload import Metric
from harness.report.numbers import number
from harness.report.scales import Tick, log_axis
from harness.report.search import rungs
from harness.report.search.sentences import place, rung_note
from harness.report.wording import counted

_LEFT, _RIGHT, _TOP = 60.0, 20.0, 16.0
# From kernel to kernel: as it fits the page, between these.
_LEAST_STEP, _LARGEST_STEP, _PAGE_WIDTH = 20.0, 44.0, 1040.0
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
    bar_width: float
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


def ladder_chart(
    evidence: Evidence, standing: Standing, edges: Sequence[Edge | FoundEdge], metrics: Mapping[str, Metric]
) -> LadderChart:
    """The metric of every boot along the ladder, and below it how likely each kernel is to be slow."""
    plan = evidence.plan
    name = standing.metric.name if standing.metric else ""
    values = ladder_evidence(evidence).values(name, range(len(plan.rungs)))
    metric = metrics.get(name)
    floor = metric.floor if metric else 0.0
    bottom = _TOP + _PLOT_HEIGHT
    axis = log_axis([max(value, floor) for many in values.values() for value in many], start=bottom, end=_TOP)
    posterior_top = bottom + _GAP
    posterior_bottom = posterior_top + _POSTERIOR_HEIGHT
    columns = []
    places = _places(plan, standing, edges)
    end = max(places.values())
    step = min(max((_PAGE_WIDTH - _LEFT - _RIGHT) / (end + 1), _LEAST_STEP), _LARGEST_STEP)

    def at(place: float) -> float:
        return round(_LEFT + step * (place + 0.5), 1)

    for index, (rung, there) in enumerate(zip(plan.rungs, standing.rungs, strict=True)):
        if index not in places:
            continue
        slow = there.slow
        said = f"{rungs.full_name(rung)}: {there.state}" + (f", P(slow) {slow:.3f}" if slow is not None else "")
        columns.append(
            RungColumn(
                x=at(places[index]),
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
    return LadderChart(
        kernels=len(plan.rungs),
        gaps=tuple((at(middle), count) for middle, count in _gaps(places)),
        width=at(end) + step / 2 + _RIGHT,
        bar_width=step - 8,
        height=posterior_bottom + _NAMES_HEIGHT,
        left=_LEFT,
        right=at(end) + step / 2,
        top=_TOP,
        bottom=bottom,
        posterior_top=posterior_top,
        posterior_bottom=posterior_bottom,
        metric=f"{name} {metric.unit}".strip() if metric else name,
        ticks=axis.ticks(),
        columns=tuple(columns),
        edges=tuple((at(places[edge.before]), at(places[edge.after]), place(plan, edge)) for edge in edges),
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
    """Middle of each stretch that is left out, in steps, and how many kernels it has."""
    return tuple(
        ((places[one] + places[other]) / 2, other - one - 1)
        for one, other in itertools.pairwise(places)
        if other > one + 1
    )


# The strip: its width, the least of a kernel that was booted, and a width from which its letter can be read.
_STRIP_WIDTH, _LEAST, _READABLE = 1040.0, 6.0, 13.0
_STRIP_HEIGHT, _BELIEVED = 48.0, 8.0
_HEIGHTS = {"F": 22.0, "S": 22.0, "?": 16.0, ".": 4.0}
STRIP_WORDS = {
    "F": "fast", "S": "slow", "?": "neither yet", "x": "cannot be tested", "f": "believed fast, not booted",
    "s": "believed slow, not booted", ".": "unknown",
}  # fmt: skip
# Classes of the letters: colour, and where they stand.
_CLASSES = {"F": "fast", "f": "fast", "S": "slow", "s": "slow", "?": "doubt", "x": "skip", ".": "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A kernel of the strip, or a stretch of kernels that are alike and were not booted."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    letter: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An edge on the strip."""

    x: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """All rungs at a glance, pixels: fast ones above, slow ones below."""

    width: float
    height: float
    cells: tuple[Cell, ...]
    edges: tuple[Mark, ...]
    first: str
    last: str
    # The same in sentences, one for each stretch of one state.
    stretches: tuple[str, ...]


def stretches(letters: str) -> Iterator[tuple[str, int, int]]:
    """(letter, first rung, one behind the last) of each kernel that was booted, and of each stretch that was not."""
    start = 0
    for letter, run in itertools.groupby(letters):
        stop = start + len(list(run))
        if letter in "fs.":
            yield letter, start, stop
        else:
            yield from ((letter, rung, rung + 1) for rung in range(start, stop))
        start = stop


def strip(plan: BisectionPlan, standing: Standing, edges: Sequence[Edge | FoundEdge]) -> Strip:
    """The strip, to scale as far as each kernel that was booted can still be seen."""
    pieces = list(stretches(standing.strip))
    share = _STRIP_WIDTH / len(plan.rungs)
    least = min(_LEAST, _STRIP_WIDTH / len(pieces))
    wished = [max(share * (stop - start), least) for _, start, stop in pieces]
    # What small pieces take more than their share is taken from the others.
    small = sum(width for width in wished if width <= least)
    room = max(_STRIP_WIDTH - small, 0.0) / max(sum(width for width in wished if width > least), 1e-9)
    cells, bounds, x = [], {}, 0.0
    for (letter, start, stop), width in zip(pieces, wished, strict=True):
        scaled = width if width <= least else width * room
        cells.append(_cell(plan, standing, letter, start, stop, x=x, width=scaled))
        bounds.update({rung: x + scaled * (rung - start) / (stop - start) for rung in range(start, stop)})
        x += scaled
    return Strip(
        width=_STRIP_WIDTH,
        height=_STRIP_HEIGHT,
        cells=tuple(cells),
        edges=tuple(
            Mark(x=round(bounds[edge.after], 1), kind=str(edge.kind), title=place(plan, edge)) for edge in edges
        ),
        first=rungs.axis_name(plan.rungs[0]),
        last=rungs.axis_name(plan.rungs[-1]),
        stretches=tuple(_sentences(plan, standing)),
    )


def _cell(
    plan: BisectionPlan, standing: Standing, letter: str, start: int, stop: int, *, x: float, width: float
) -> Cell:
    kind = _CLASSES[letter]
    height = _HEIGHTS.get(letter, _BELIEVED)
    # Towards the middle line from above or below; what is neither lies on it.
    middle = _STRIP_HEIGHT / 2
    y = {"fast": middle - 2 - height, "slow": middle + 2}.get(kind, middle - height / 2)
    if stop - start == 1:
        title = f"rung {start}: {rung_title(plan, standing, start)}"
    else:
        names = f"{rungs.name(plan.rungs[start])} to {rungs.name(plan.rungs[stop - 1])}"
        title = f"rungs {start} to {stop - 1}: {names}: {stop - start} kernels, {STRIP_WORDS[letter]}"
    gap = 1.0 if width > 3 else 0.0
    return Cell(
        x=round(x, 1),
        y=y,
        width=round(max(width - gap, 0.5), 1),
        height=height,
        kind=kind if letter not in "fs" else f"{kind} believed",
        letter=letter if letter in "FS?x" and width >= _READABLE else "",
        title=title,
    )


def rung_title(plan: BisectionPlan, standing: Standing, index: int) -> str:
    """A rung's kernel, state, probability and note."""
    rung, there = plan.rungs[index], standing.rungs[index]
    said = f"{rungs.full_name(rung)}: {STRIP_WORDS[standing.strip[index]]}"
    said += f", {counted(there.boots, 'boot')}" if there.boots else ""
    said += f", P(slow) {there.slow:.3f}" if there.slow is not None else ""
    note = rung_note(plan, there)
    return f"{said} ({note})" if note else said


def _sentences(plan: BisectionPlan, standing: Standing) -> Iterator[str]:
    """``fast: A to B, 12 kernels, 4 of them booted``; what cannot be tested belongs to what is around it."""
    start, states = 0, [_CLASSES[letter] for letter in standing.strip]
    known = [state if state != "skip" else "" for state in states]
    for index, state in enumerate(known):
        known[index] = state or (known[index - 1] if index else next(filter(None, known), "unknown"))
    for state, run in itertools.groupby(known):
        stop = start + len(list(run))
        inside: Sequence[RungStanding] = standing.rungs[start:stop]
        names = [rungs.name(plan.rungs[rung]) for rung in (start, stop - 1)]
        where = names[0] if stop - start == 1 else f"{names[0]} to {names[1]}"
        booted, dead = sum(one.boots > 0 for one in inside), states[start:stop].count("skip")
        skipped = f", {dead} of them cannot be tested" if dead else ""
        word = {"doubt": "neither yet"}.get(state, state)
        tested = "booted" if booted == stop - start else f"{booted} of them booted" if booted else "none booted"
        yield f"{word}: {where}, {counted(stop - start, 'kernel')}, {tested}{skipped}"
        start = stop
