"""What a search came to: its edges with proofs, culprits and suspects, and the answer in a sentence."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.bisect.view import Standing
from harness.history.suspects import likeliest, rank
from harness.model.arch import of_release
from harness.model.bisection import (
    Answer,
    BisectionOutcome,
    BisectionPlan,
    Edge,
    EdgeKind,
    EdgeWish,
    FoundEdge,
    RevertTest,
    Subrun,
)
from harness.model.experiment import Arm, Experiment
from harness.model.history import Change, Step, TreeListing
from harness.model.kconfig import OptionEffect
from harness.model.run import Run
from harness.model.verdict import Decision, Verdict
from harness.report.search import reasons
from harness.stats.faults import faulty_arms

# Posterior probability below which the edges named are not worth a proof.
WORTH_A_PROOF = 0.5
# The neighbour that is slow.
_SLOW_ARM = {EdgeKind.REMOVED: Arm.CANDIDATE, EdgeKind.RESTORED: Arm.BASELINE}
# What workloads declare for the filesystem that is tested by default.
_FILESYSTEMS = frozenset({"fs/btrfs", "fs/ext4", "fs/xfs"})

# (older version, newer version, paths) -> what the user's git tree lists between them: what is told of it, without
# suspects yet, and the commits.
TreeLister = Callable[[str, str, Sequence[str]], tuple[TreeListing, Sequence[Change]]]


def outcome_of(standing: Standing, edges: Sequence[Edge], *, stopped: str, plan: BisectionPlan) -> BisectionOutcome:
    """The outcome; `stopped` says why the search ended early, empty where it did not."""
    answer, reason = _answer(plan, standing, edges, stopped)
    return BisectionOutcome(
        answer=answer,
        reason=reason,
        metric=standing.metric.name if standing.metric else None,
        probability=standing.result.probability if standing.result else 0.0,
        missed=standing.missed,
        edges=tuple(edges),
    )


def edge_of(
    plan: BisectionPlan,
    found: FoundEdge,
    *,
    experiment: Experiment,
    changes: Callable[[], Step | None],
    effect: Callable[[], OptionEffect | None],
    proof: tuple[Subrun, Run, Decision] | None,
    revert_test: RevertTest | None,
    confirm: bool,
    tree: TreeLister | None,
) -> Edge:
    """An edge with its culprit or its suspects, its proof and its revert test, as far as there are any.

    ``changes`` says what came between its neighbours, asked only where they are packages, as ``tree`` is; ``effect``
    what a step from one configuration to another did.
    """
    edge = Edge(before=found.before, after=found.after, kind=found.kind, revert_test=revert_test)
    commit = plan.rungs[found.after].commit
    if commit is not None:
        edge = replace(edge, culprit=commit if found.after == found.before + 1 else None)
    elif plan.built and found.after == found.before + 1:
        edge = replace(edge, options=effect())
    elif not plan.built:
        if (step := changes()) is not None:
            architecture = of_release(plan.rungs[found.after].release)
            suspects = likeliest(step.changes, _subsystems(experiment), experiment.workload.words, architecture)
            edge = replace(edge, suspects=suspects, changes=len(step.changes), gaps=step.gaps)
        if tree is not None:
            edge = with_tree(edge, plan, experiment, tree)
    if proof is None:
        return edge
    _, run, decision = proof
    verdict = decision.verdict
    failing = {
        arm for arm, fault in faulty_arms(run.block_trials, confirm=confirm).items() if fault.outcome.is_kernel_fault
    }
    if plan.crash_is_slow and failing == {_SLOW_ARM[found.kind]}:
        # The neighbours differ just as the user said that the symptom shows.
        verdict = Verdict.SLOWER if found.kind is EdgeKind.REMOVED else Verdict.FASTER
    return replace(edge, proof_run=run.id, verdict=verdict, reason=decision.reason)


def with_tree(edge: Edge, plan: BisectionPlan, experiment: Experiment, tree: TreeLister) -> Edge:
    """An edge between two packages with what a git tree lists between their versions."""
    older, newer = (plan.rungs[rung].version for rung in (edge.before, edge.after))
    subsystems, words = _subsystems(experiment), experiment.workload.words
    listing, commits = tree(older, newer, subsystems)
    architecture = of_release(plan.rungs[edge.after].release)
    likely = likeliest(commits, subsystems, words, architecture)
    # Of the changelog's suspects the hash is wanted, also where many others have as many points.
    known = {suspect.change.subject for suspect in edge.suspects} - {suspect.change.subject for suspect in likely}
    named = rank([commit for commit in commits if commit.subject in known], subsystems, words, architecture)
    return replace(edge, tree=replace(listing, suspects=(*likely, *named)))


def _subsystems(experiment: Experiment) -> tuple[str, ...]:
    """Where the kernel's code behind the workload lives, on the filesystem that was tested."""
    declared = experiment.workload.subsystems
    return tuple(
        dict.fromkeys(f"fs/{experiment.filesystem.type}" if name in _FILESYSTEMS else name for name in declared)
    )


def _answer(plan: BisectionPlan, standing: Standing, edges: Sequence[Edge], stopped: str) -> tuple[Answer, str]:
    """How the search ended, and why in a sentence."""
    result = standing.result
    if standing.blocked is not None:
        return Answer.UNCERTAIN, reasons.blocked_reason(plan, standing.blocked)
    if result is None:
        return Answer.UNCERTAIN, ""
    if stopped and not (edges and all(edge.proven for edge in edges)):
        return Answer.UNCERTAIN, f"{stopped}; a higher --max-boots goes on"
    wish = plan.edges
    if not edges and (not result.edges or standing.small):
        if wish is EdgeWish.BOTH or result.probability < WORTH_A_PROOF:
            return Answer.UNCERTAIN, "no stretch that differs was found"
        return Answer.NOTHING, reasons.nothing_found(standing.looked_for, standing.missed)
    if not edges:
        return Answer.UNCERTAIN, reasons.none_wished(wish)
    if result.probability < WORTH_A_PROOF and not stopped:
        return Answer.UNCERTAIN, reasons.nothing_left(result.probability)
    if not all(edge.proven for edge in edges):
        return Answer.UNPROVEN, reasons.not_proven(edges)
    return Answer.FOUND, reasons.all_proven(edges, standing.missed, stopped)
