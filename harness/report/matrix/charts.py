"""Small charts of a cell as geometry: effects beside their margins, and a dot for each boot.

A page has thousands of them, so that all dots of an arm are one path; the figures stand in the tables beside them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellVerdict, MetricVerdict
from harness.model.trial import Outcome, Trial
from harness.model.workload import Metric
from harness.report.matrix.claims import KINDS, goodness
from harness.report.numbers import number, scale_for
from harness.report.scales import Tick, linear_axis
from harness.stats.blocks import boot_value

# Of the bar of an effect, in pixels; the wider side of what it shows, as a factor.
_BAR_WIDTH, _BAR_HEIGHT, _EDGE = 220.0, 22.0, 4.0
_LEAST_FACTOR, _MOST_FACTOR = 1.12, 4.0
_DOTS_WIDTH, _DOTS_HEIGHT, _LEFT = 300.0, 92.0, 46.0
# Boots of an arm that the description names one by one.
_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectBar:
    """One metric's effect, better to the right, with its interval; what is worse than the margin is shaded."""

    width: float
    height: float
    # Right ends of what is worse than the margin, and left end of what is better than it (an A/B cell: None for gates).
    worse_to: float
    better_from: float | None
    one: float
    at: float
    low: float
    high: float
    kind: str


def effect_bars(
    counting: Sequence[MetricVerdict], metrics: Mapping[str, Metric], *, gates: bool
) -> tuple[EffectBar | None, ...]:
    """A bar for each metric on one logarithmic scale; None where there is no ratio."""
    ends: list[tuple[float, float, float] | None] = []
    for one in counting:
        found, metric = one.comparison, metrics.get(one.metric)
        if not found.ratio or found.ratio < 0 or not math.isfinite(found.ratio):
            ends.append(None)
            continue
        middle = goodness(found.ratio, metric)
        both = [goodness(end, metric) if end is not None and end > 0 else math.nan for end in (found.low, found.high)]
        known = sorted(end for end in both if not math.isnan(end))
        ends.append((middle, known[0], known[-1]) if len(known) == 2 else (middle, 1 / _MOST_FACTOR, _MOST_FACTOR))
    reach = max(
        [_LEAST_FACTOR]
        + [(1 + one.margin) ** 1.6 for one in counting]
        + [max(end, 1 / end) * 1.02 for three in ends if three for end in three if 0 < end < math.inf]
    )
    scale = math.log(min(reach, _MOST_FACTOR))

    def at(value: float) -> float:
        part = 0.0 if value <= 0 else min(max(math.log(value) / scale, -1.0), 1.0) if value < math.inf else 1.0
        return round(_BAR_WIDTH / 2 + part * (_BAR_WIDTH / 2 - _EDGE), 1)

    return tuple(
        EffectBar(
            width=_BAR_WIDTH,
            height=_BAR_HEIGHT,
            worse_to=at(1 / (1 + one.margin)),
            better_from=None if gates else at(1 + one.margin),
            one=at(1.0),
            at=at(three[0]),
            low=at(three[1]),
            high=at(three[2]),
            kind=kind_of_metric(one),
        )
        if three
        else None
        for one, three in zip(counting, ends, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BootDots:
    """One metric: a dot for each boot, in the order of the blocks."""

    name: str
    unit: str
    aim: str
    width: float
    height: float
    plot: tuple[float, float, float, float]
    ticks: tuple[Tick, ...]
    # Path data of each arm's dots, each a line of no length, and of boots that gave none.
    dots: Mapping[Arm, str]
    missing: str
    description: str


def boot_dots(metric: Metric, trials: Sequence[Trial[BlockPlace]]) -> BootDots | None:
    """The chart of one metric, or None when no boot gave it."""
    values: list[tuple[Trial[BlockPlace], float | None]] = []
    for trial in trials:
        value = boot_value(trial, metric.name) if trial.outcome is Outcome.OK else None
        values.append((trial, value if value is not None and math.isfinite(value) else None))
    given = [value for _, value in values if value is not None]
    if not given:
        return None
    factor, unit = scale_for(metric.unit, *given)
    left, top, right, bottom = _LEFT, 8.0, _DOTS_WIDTH - 8.0, _DOTS_HEIGHT - 8.0
    axis = linear_axis([value / factor for value in given], start=bottom, end=top)
    places = {block: place for place, block in enumerate(sorted({trial.place.block for trial in trials}))}
    step = (right - left) / len(places)
    dots: dict[Arm, list[str]] = {arm: [] for arm in Arm}
    told: dict[Arm, list[str]] = {arm: [] for arm in Arm}
    missing = []
    for trial, value in values:
        side = -0.2 if trial.place.arm is Arm.BASELINE else 0.2
        x = left + (places[trial.place.block] + 0.5) * step + side * min(step, 40.0) + 3.0 * trial.place.attempt
        if value is None:
            missing.append(f"M{x - 3:.1f} {bottom - 5:.1f}l6 6m0-6l-6 6")
            continue
        dots[trial.place.arm].append(f"M{x:.1f} {axis.at(value / factor):.1f}h0")
        told[trial.place.arm].append(number(value / factor))
    words = "; ".join(
        f"{arm} {', '.join(some[:_NAMED])}{' and more' if len(some) > _NAMED else ''} {unit}".rstrip()
        for arm, some in told.items()
        if some
    )
    return BootDots(
        name=metric.name,
        unit=unit,
        aim="witness" if metric.witness else f"{metric.direction} is better",
        width=_DOTS_WIDTH,
        height=_DOTS_HEIGHT,
        plot=(left, top, right, bottom),
        ticks=axis.ticks(4),
        dots={arm: "".join(some) for arm, some in dots.items()},
        missing="".join(missing),
        description=words,
    )


def kind_of_metric(one: MetricVerdict) -> str:
    """How to colour a metric of a cell."""
    return "moved" if one.waiver is not None and one.verdict is CellVerdict.SLOWER else KINDS[one.verdict]
