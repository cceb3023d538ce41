"""What is said of a search in every form: of its rungs, its edges, their proofs, and what to doubt."""

from collections.abc import Iterable

from harness.bisect.evidence import Evidence
from harness.bisect.view import RungStanding, Standing
from harness.model.bisection import BisectionPlan, Doubt, RungState
from harness.report.search import rungs
from harness.report.search.reasons import skip_reason

_DOUBTS = {Doubt.TWO_GROUPS: "boots of one state fall into two groups: the probabilities above are too sure"}


def rung_note(plan: BisectionPlan, there: RungStanding) -> str:
    """Why a rung is skipped, counts without a value, or was not booted for it is another one; empty otherwise."""
    if there.skip is not None:
        return f"counts as slow: {skip_reason(there.skip)}" if there.counts else skip_reason(there.skip)
    return f"the same kernel as {plan.rungs[there.same_as].release}" if there.same_as is not None else ""


def skipped(plan: BisectionPlan, standing: Standing) -> Iterable[tuple[int, str]]:
    """Rungs that could not be tested, or whose failure counts, and why."""
    for index, there in enumerate(standing.rungs):
        if there.skip is not None and (there.state is RungState.SKIP or there.same_as is None):
            yield index, rung_note(plan, there)


def identical(evidence: Evidence) -> Iterable[tuple[int, str]]:
    """Rungs that were not booted, for they are, bit by bit, another one."""
    for found in evidence.identical_builds:
        yield found.rung, f"the same kernel as {rungs.name(evidence.plan.rungs[found.of])}"


def doubts(standing: Standing) -> list[str]:
    """What to doubt of the result."""
    return [_DOUBTS[doubt] for doubt in standing.doubts]
