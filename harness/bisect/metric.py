"""Which metric a search follows: named, or the one whose kernels lie furthest apart for its noise."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.workload import Metric

# Separation from which a metric is settled on.
CLEAR = 8.0
# Without a floor in the catalogue, values that are not positive are raised to this part of the largest one.
_RELATIVE_FLOOR = 0.01

# Rung -> the per-boot medians of one metric, in metric units.
Boots = Mapping[int, Sequence[float]]


class FollowedWhy(StrEnum):
    """Why a search follows a metric."""

    NAMED = "named"
    # It is the only one that may decide.
    ONLY = "only"
    # It separates kernels best.
    SEPARATES = "separates"
    # No metric separates kernels clearly: this one told the ends apart, or spreads least.
    LEADER = "leader"
    CALMEST = "calmest"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChoice:
    """A metric, and why it was taken."""

    name: str
    why: FollowedWhy
    # Distance of the kernels furthest apart, in spreads.
    separation: float
    settled: bool
    # That of the other candidates; and how many boots besides those of the ends there were.
    others: Mapping[str, float] = field(default_factory=dict)
    boots: int = 0


def logs(metric: Metric, boots: Boots) -> dict[int, list[float]]:
    """Logs of the values, small ones raised to the metric's floor as harness.stats.compare does."""
    values = [value for one in boots.values() for value in one]
    floor = metric.floor
    if values and min(values) <= 0 and floor <= 0:
        floor = _RELATIVE_FLOOR * max(values) if max(values) > 0 else 1.0
    return {rung: [math.log(max(value, floor) if floor else value) for value in one] for rung, one in boots.items()}


def spread_of(values: Boots, margin: float) -> float:
    """Pooled standard deviation of logs between boots of one kernel, not below half the margin.

    Differences that nobody minds separate nothing.
    """
    repeated = [one for one in values.values() if len(one) > 1]
    freedom = sum(len(one) - 1 for one in repeated)
    squares = sum(sum((value - statistics.fmean(one)) ** 2 for value in one) for one in repeated)
    return max(math.sqrt(squares / freedom) if freedom else 0.0, math.log1p(margin) / 2)


def separation(metric: Metric, boots: Boots, margin: float) -> float:
    """Distance between the kernels furthest apart, in spreads between boots of one kernel."""
    found = {rung: values for rung, values in logs(metric, boots).items() if values}
    if len(found) < 2:
        return 0.0
    middles = [statistics.median(values) for values in found.values()]
    return (max(middles) - min(middles)) / spread_of(found, margin)


def choose(
    candidates: Sequence[str],
    metrics: Mapping[str, Metric],
    series: Sequence[Mapping[str, Boots]],
    *,
    margin: float,
    leader: str | None = None,
) -> MetricChoice | None:
    """The metric to follow: of `candidates`, by `series`: the boots of each metric after 0, 1, 2... boots of a search.

    The first look that separates kernels clearly settles it, so that it does not change with every boot. Until then it
    is `leader`, the metric by which A/B told the ends apart, or else the one that spreads least. None where no boot
    gave any of the candidates.
    """
    best: MetricChoice | None = None
    for boots, by_metric in enumerate(series):
        scores = {
            name: separation(metrics[name], by_metric[name], margin)
            for name in candidates
            if any(by_metric.get(name, {}).values())
        }
        if not scores:
            continue
        name = max(scores, key=lambda name: scores[name])
        if scores[name] >= CLEAR:
            why = FollowedWhy.ONLY if len(scores) == 1 else FollowedWhy.SEPARATES
            others = {other: score for other, score in scores.items() if other != name}
            return MetricChoice(name=name, why=why, separation=scores[name], settled=True, others=others, boots=boots)
        if leader in scores:
            name, why = leader, FollowedWhy.LEADER
        else:
            name, why = _calmest(scores, metrics, by_metric), FollowedWhy.CALMEST
        best = MetricChoice(name=name, why=why, separation=scores[name], settled=False)
    return best


def _calmest(names: Iterable[str], metrics: Mapping[str, Metric], by_metric: Mapping[str, Boots]) -> str:
    """The metric with the least spread, of those that are above their floor at all."""
    above = [
        name
        for name in names
        if any(value > metrics[name].floor for values in by_metric[name].values() for value in values)
    ]
    return min(above or names, key=lambda name: spread_of(logs(metrics[name], by_metric[name]), 0.0))
