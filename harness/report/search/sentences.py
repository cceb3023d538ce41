"""What is said of a search in every form: of its rungs, its edges, their proofs, and what to doubt."""

from collections.abc import Iterable, Mapping

from harness.bisect.evidence import Evidence
from harness.bisect.view import RungStanding, Standing
from harness.model.bisection import (
    Answer,
    BisectionOutcome,
    BisectionPlan,
    Doubt,
    Edge,
    EdgeKind,
    FoundEdge,
    RungState,
)
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.report import wording
from harness.report.decisions import decision_reason
from harness.report.numbers import number, scale_for
from harness.report.search import rungs
from harness.report.search.reasons import blocked_reason, next_reason, skip_reason
from harness.report.search.reverttest import revert_test_sentence
from harness.report.witness import explain

# Metrics that are named of those that agree with a proof, or speak against it.
_NAMED = 4
# Probability of a number of edges from which it is told.
_WORTH_A_WORD = 0.0005
_KINDS = {EdgeKind.REMOVED: "worse from there on", EdgeKind.RESTORED: "better again from there on"}
_MOVED = frozenset({Verdict.FASTER, Verdict.SLOWER})
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


def place(plan: BisectionPlan, edge: Edge | FoundEdge) -> str:
    """``removed by 3a1b2c3d4e5f ("btrfs: some title")``, or between which kernels."""
    culprit = edge.culprit if isinstance(edge, Edge) else None
    if culprit is not None:
        return f"{edge.kind} by {rungs.tag(culprit)}"
    before, after = (rungs.name(plan.rungs[rung]) for rung in (edge.before, edge.after))
    return f"{edge.kind} between {before} and {after}"


def why(plan: BisectionPlan, outcome: BisectionOutcome | None, standing: Standing) -> str:
    """Why the search ended, or what is still to do."""
    if outcome is not None:
        begin = "Nothing between the ends" if outcome.answer is Answer.NOTHING else "Why"
        return f"{begin}: {outcome.reason}"
    if standing.next is not None:
        coming = rungs.name(plan.rungs[standing.next.rung])
        return f"Not finished: next is {coming}: {next_reason(standing.next)}"
    if standing.blocked is not None:
        return f"Not finished: {blocked_reason(plan, standing.blocked)}"
    todo = "its edges are to be proven" if standing.edges else "the ends are not measured yet"
    return f"Not finished: {todo}"


def believed(standing: Standing) -> str:
    """What the search believed before any proof; empty before the ends are known."""
    if standing.result is None:
        return ""
    counts = ", ".join(
        f"{count}: {share:.3g}" for count, share in sorted(standing.result.counts.items()) if share >= _WORTH_A_WORD
    )
    return (
        f"Believed before any proof with probability {standing.result.probability:.4g} (by number of edges: {counts})"
    )


def edge_title(plan: BisectionPlan, edge: Edge) -> str:
    """The culprit or both neighbours, and what that means."""
    kind = str(edge.kind).capitalize()
    if edge.culprit is not None:
        return f"{kind} by {rungs.tag(edge.culprit)}; {meaning(edge)}"
    before, after = plan.rungs[edge.before], plan.rungs[edge.after]
    return (
        f"{kind}: last {rungs.full_name(before)} (rung {edge.before}), "
        f"first {rungs.full_name(after)} (rung {edge.after}); {meaning(edge)}"
    )


def meaning(edge: Edge) -> str:
    """What an edge means for the kernels behind it."""
    return _KINDS[edge.kind]


def apart(edge: Edge) -> str:
    """That its neighbours are not next to each other; empty where they are."""
    count = edge.after - edge.before - 1
    return f"{wording.counted(count, 'kernel')} between them could not be tested: a set" if count else ""


def proof(edge: Edge, decision: Decision | None, metrics: Mapping[str, Metric]) -> str:
    """What A/B of an edge's neighbours found."""
    if decision is None:
        return "Proof: none was made"
    leading = wording.deciding(decision)
    word = "proven" if edge.proven else f"NOT proven, A/B says {edge.verdict}"
    effect = f"{medians(leading, metrics)}; {wording.figures(leading)}" if leading else decision_reason(decision)
    return f"Proof: {word}: {effect.removeprefix('; ')}; A/B run {edge.proof_run}"


def medians(found: Comparison, metrics: Mapping[str, Metric]) -> str:
    """``0.025 -> 1.02 pages/page``: a ratio to next to nothing says little. Empty where an arm lacks the metric."""
    if found.baseline is None or found.candidate is None:
        return ""
    unit = metrics[found.metric].unit if found.metric in metrics else ""
    divisor, shown = scale_for(unit, found.baseline, found.candidate)
    return f"{number(found.baseline / divisor)} -> {number(found.candidate / divisor)} {shown}".rstrip()


def reading(decision: Decision | None, metrics: Mapping[str, Metric]) -> str:
    """What the deciding metric says of the mechanism, where it is a witness."""
    leading = wording.deciding(decision)
    metric = metrics.get(leading.metric) if leading else None
    if leading is None or metric is None or not metric.witness:
        return ""
    return f"{leading.metric}: {explain(metric, leading.baseline, leading.candidate, ('before', 'after'))}"


def other_metrics(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[str]:
    """``Agree: ...`` and ``The other way: ...``: other metrics that moved, the first of them."""
    agree, against = [], []
    for found in moved(decision, metrics):
        metric = metrics.get(found.metric)
        if decision is None or metric is None or found.metric == decision.metric:
            continue
        if found.verdict is decision.verdict:
            agree.append(wording.effect(found))
        elif not metric.witness:
            against.append(wording.effect(found))
    told = (("Agree", agree), ("The other way", against))
    return [f"{begin}: {'; '.join(effects[:_NAMED])}" for begin, effects in told if effects]


def moved(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[Comparison]:
    """Comparisons that say faster or slower."""
    return [found for found in wording.shown(decision, metrics) if found.verdict in _MOVED and found.ratio is not None]


def revert_test(plan: BisectionPlan, edge: Edge, decision: Decision | None) -> str:
    """What undoing the culprit showed, with its figures; empty where none was tried."""
    if edge.revert_test is None:
        return ""
    leading = wording.deciding(decision)
    return revert_test_sentence(plan, edge.revert_test, wording.figures(leading) if leading else "")


def ends(evidence: Evidence) -> str:
    """What A/B says of the ends; empty while it is not finished."""
    plan, decision = evidence.plan, evidence.ends_decision
    if decision is None:
        return ""
    leading = wording.deciding(decision)
    figures = wording.figures(leading) if leading else decision_reason(decision)
    return f"{rungs.name(plan.rungs[-1])} against {rungs.name(plan.rungs[0])}: {decision.verdict}: {figures}"


def another_story(evidence: Evidence, standing: Standing, metrics: Mapping[str, Metric]) -> str:
    """That the ends differ by metrics that the search did not follow, and not by the one that it did; or empty."""
    decision = evidence.ends_decision
    followed = standing.metric.name if standing.metric else None
    # Of all metrics some always differ; another story is told by one that may decide.
    telling = evidence.experiment.workload.deciding
    other = [found for found in moved(decision, metrics) if found.metric != followed and found.metric in telling]
    mine = decision.comparisons.get(followed or "") if decision else None
    if not other or (mine is not None and mine.verdict in _MOVED):
        return ""
    told = "; ".join(wording.effect(found) for found in other[:_NAMED])
    return (
        f"They differ by other metrics than {followed}: {told}. That is another story, of its own edges: "
        f"--metric {other[0].metric} searches for those."
    )
