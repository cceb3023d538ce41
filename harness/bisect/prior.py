"""What is believed of a ladder before its first boot: how many edges, and where."""

import itertools
import math
import re
from collections.abc import Sequence

from harness.bisect.posterior import EdgePrior
from harness.model.bisection import BisectionPlan, EdgeWish, PlannedRung
from harness.model.verdict import Verdict

# Commits of a mainline release and of a stable point release, roughly.
_RELEASE_COMMITS = 14_000
_POINT_COMMITS = 150
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
# Linus begins a new major number after minor 19.
_MINORS = 20
# What another kernel costs before its first boot, in boots: a download of some 40 MiB, unpacked; a commit, of which
# some files are compiled anew beside a boot with its measurement; an option, which may reach hundreds of files.
_FETCH_COST = 0.5
_COMMIT_COST = 1.0
_OPTION_COST = 5.0


def edge_weights(rungs: Sequence[PlannedRung]) -> tuple[float, ...]:
    """One weight per edge: the rung's own, or the square root of how many commits came between both kernels, roughly.

    Not the number itself: stable kernels take those few commits that matter, and a search must not be led past them.
    """
    return tuple(
        math.sqrt(_commits(older.version, newer.version)) if newer.weight is None else newer.weight
        for older, newer in itertools.pairwise(rungs)
    )


def _commits(older: str, newer: str) -> int:
    old, new = _VERSION.match(older), _VERSION.match(newer)
    if old is None or new is None:
        return _RELEASE_COMMITS
    releases = (int(new[1]) - int(old[1])) * _MINORS + int(new[2]) - int(old[2])
    points = int(new[3] or 0) - (int(old[3] or 0) if releases == 0 else 0)
    return max(releases * _RELEASE_COMMITS + points * _POINT_COMMITS, _POINT_COMMITS)


def cost_of(plan: BisectionPlan) -> float:
    """What a kernel of the plan costs before its first boot, in boots."""
    if plan.of_options:
        return _OPTION_COST
    return _COMMIT_COST if plan.built else _FETCH_COST


def edge_counts(plan: BisectionPlan, ends: Verdict | None, *, far_apart: bool) -> dict[int, float]:
    """Probability of each number of edges, from what A/B said of the ends (None: they cannot be compared).

    Ends that differ may still both be fast, one a little more so, with a slow stretch between them that differs far
    more: two edges stay possible unless the ends are `far_apart`. Who names two commits that differ mostly has one
    regression between them; a ladder of packages is long enough for more. The order of options means nothing: one that
    makes the difference is all that is looked for.
    """
    moved = ends in {Verdict.FASTER, Verdict.SLOWER}
    if plan.edges is EdgeWish.BOTH:
        return {0: 0.1, 2: 0.9}
    if moved and plan.of_options:
        return {1: 1.0}
    if moved and far_apart:
        if plan.edges is not EdgeWish.AUTO:
            return {1: 1.0}
        return {1: 0.9, 3: 0.1} if plan.built else {1: 0.75, 3: 0.25}
    if moved:
        return {1: 0.4, 2: 0.4, 3: 0.2}
    if ends is Verdict.SAME:
        return {0: 0.5, 2: 0.5}
    return {0: 0.3, 1: 0.2, 2: 0.4, 3: 0.1}


def ladder_prior(rungs: Sequence[PlannedRung], counts: dict[int, float]) -> EdgePrior:
    """The prior over edge sets of a ladder. Wide stretches and great leaps are likelier."""
    places = len(rungs) - 1
    fitting = {edges: share for edges, share in counts.items() if edges <= places}
    return EdgePrior(edge_weights(rungs), fitting or {1: 1.0})
