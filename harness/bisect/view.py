"""Where a bisection stands, as the search, displays and reports are told it."""

from dataclasses import dataclass

from harness.bisect.metric import MetricChoice
from harness.bisect.search import Result
from harness.model.bisection import BisectionPlan, Blocked, Doubt, FoundEdge, NextBoot, RungState, SearchView, Skip

_SURE = 0.98
# Probability from which a kernel that was booted is shown as fast or slow.
_LIKELY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class RungStanding:
    """One kernel of the ladder."""

    # Boots that were not lost.
    boots: int
    # Median over its boots of the metric, in metric units; None where it has none.
    median: float | None
    state: RungState
    # Posterior probability that it is slow; None before the ends are known.
    slow: float | None
    # Why it is skipped; or, where `counts` is set, why it is taken to be slow without a value.
    skip: Skip | None = None
    counts: bool = False
    # The rung that it is identical to.
    same_as: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known, what is believed, and what comes next."""

    rungs: tuple[RungStanding, ...]
    metric: MetricChoice | None = None
    # Boots of ends and search that counted.
    boots: int = 0
    result: Result | None = None
    # Probability, at most, that a search would have come to this had there been more edges than `result` names.
    missed: float = 0.0
    # Smallest difference, as a fraction, that was looked for while all was alike; 0 where something differs.
    looked_for: float = 0.0
    edges: tuple[FoundEdge, ...] = ()
    # Edges found that change the metric by less than the margin, and are not reported.
    small: int = 0
    next: NextBoot | None = None
    # Rungs likely to be booted after that one, the likeliest first; empty where that was not asked for.
    ahead: tuple[int, ...] = ()
    # Boots expected until the edges are named, proofs not counted; None if unknown.
    boots_left: int | None = None
    # Why the search cannot go on; None where it can, or is over.
    blocked: Blocked | None = None
    doubts: tuple[Doubt, ...] = ()

    @property
    def strip(self) -> str:
        """One letter per rung: F fast, S slow, ? neither yet, x skipped; f, s believed so without a boot; . unknown."""
        return "".join(_letter(rung) for rung in self.rungs)


def view_of(plan: BisectionPlan, standing: Standing) -> SearchView:
    """The standing as displays want it."""
    return SearchView(
        plan=plan,
        strip=standing.strip,
        slow=tuple(rung.slow for rung in standing.rungs),
        metric=standing.metric.name if standing.metric else None,
        boots=standing.boots,
        boots_left=standing.boots_left,
        edges=standing.edges,
        probability=standing.result.probability if standing.result else 0.0,
        next=standing.next,
        blocked=standing.blocked,
    )


def _letter(rung: RungStanding) -> str:
    if rung.state is RungState.SKIP:
        return "x"
    if rung.state is RungState.UNKNOWN:
        if rung.slow is None or 1 - _SURE < rung.slow < _SURE:
            return "."
        return "s" if rung.slow >= _SURE else "f"
    if rung.slow is not None and 1 - _LIKELY < rung.slow < _LIKELY:
        return "?"
    return "S" if rung.state is RungState.SLOW else "F"
