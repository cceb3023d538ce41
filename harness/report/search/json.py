"""The JSON report of a search: plan, boots, what is believed of each rung, edges, proofs.

Fields: schema/bisect-1.json.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.bisect.evidence import Evidence, ends_of, rung_of
from harness.bisect.view import Standing
from harness.model.bisection import BisectionOutcome, BisectionPlan, Edge, RevertTest, Subrun
from harness.model.experiment import Place
from harness.model.history import TreeListing
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision
from harness.model.workload import Metric
from harness.parse.plainjson import to_plain
from harness.report import wording
from harness.report.decisions import choice_words, decision_reason
from harness.report.jsonparts import comparison_json, finite, load_schema, metrics_json, trial_json
from harness.report.search.gaps import gap_sentence
from harness.report.search.gitbisectlog import git_bisect_log
from harness.report.search.reasons import blocked_reason, followed_words
from harness.report.search.sentences import doubts, rung_note
from harness.report.search.suspects import missing, suspects_of

# Raised when a field goes away or changes its meaning; new fields need no new version.
SEARCH_SCHEMA_NAME = "kab/bisect-1"


def search_to_json(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """The report as plain JSON values, valid under `search_json_schema`; numbers that are not finite become null."""
    edges = outcome.edges if outcome else ()
    document = {
        "schema": SEARCH_SCHEMA_NAME,
        "kab_version": run.kab_version,
        "run": {
            "id": run.id,
            "digest": run.digest,
            "state": run.state,
            "created": run.created,
            "finished": run.finished,
            "seed": run.seed,
            "command": run.command,
            "repeat": wording.repeat_command(run),
        },
        "experiment": run.experiment,
        "plan": _plan(evidence.plan),
        "conditions": run.conditions,
        "host": run.host,
        "answer": outcome.answer if outcome else None,
        "exit_code": int(outcome.answer.exit_code) if outcome else None,
        "reason": outcome.reason if outcome else _blocked(evidence.plan, standing),
        "belief": _belief(standing),
        "rungs": _rungs(evidence.plan, standing),
        "edges": [_edge(evidence, standing, edge, edges, metrics) for edge in edges],
        "ends": _decision(evidence.ends_decision, metrics),
        "boots": [*_boots(evidence)],
        "marks": evidence.marks,
        "twins": evidence.identical_builds,
        "metrics": metrics_json(metrics, _used(evidence)),
    }
    plain: dict[str, Any] = finite(to_plain(document))
    return plain


def search_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `search_to_json`."""
    return load_schema("bisect-1")


def _blocked(plan: BisectionPlan, standing: Standing) -> str:
    return blocked_reason(plan, standing.blocked) if standing.blocked else ""


def _plan(plan: BisectionPlan) -> dict[str, Any]:
    return {"edges": plan.edges, "confidence": plan.confidence, "crash_is_slow": plan.crash_is_slow}


def _belief(standing: Standing) -> dict[str, Any]:
    result, metric = standing.result, standing.metric
    return {
        "metric": metric.name if metric else None,
        "how": followed_words(metric) if metric else "",
        "probability": result.probability if result else None,
        "missed": standing.missed if result else None,
        "counts": {str(count): share for count, share in result.counts.items()} if result else {},
        "boots": standing.boots,
        "boots_left": standing.boots_left,
        "next_rung": standing.next.rung if standing.next else None,
        "strip": standing.strip,
        "warnings": doubts(standing),
    }


def _rungs(plan: BisectionPlan, standing: Standing) -> list[dict[str, Any]]:
    return [
        {
            "spec": rung.spec,
            "release": rung.release,
            "version": rung.version,
            "suites": rung.suites,
            "title": rung.title or (rung.commit.title if rung.commit else ""),
            "commit": rung.commit,
            "weight": rung.weight,
            "boots": there.boots,
            "median": there.median,
            "state": there.state,
            "slow": there.slow,
            "note": rung_note(plan, there),
        }
        for rung, there in zip(plan.rungs, standing.rungs, strict=True)
    ]


def _edge(
    evidence: Evidence,
    standing: Standing,
    edge: Edge,
    edges: Sequence[Edge],
    metrics: Mapping[str, Metric],
) -> dict[str, Any]:
    return {
        "kind": edge.kind,
        "before": edge.before,
        "after": edge.after,
        "culprit": edge.culprit,
        "proven": edge.proven,
        "proof": {
            "run": edge.proof_run,
            "verdict": edge.verdict,
            "reason": edge.reason,
            "decision": _decision(evidence.decision_of(edge.proof_run), metrics),
        },
        "counterproof": _revert_test(edge.revert_test, evidence, metrics),
        "suspects": suspects_of(edge),
        "changes": edge.changes,
        "gaps": [gap_sentence(gap) for gap in missing(edge)],
        "tree": _tree(edge.tree),
        "git_bisect_log": git_bisect_log(evidence, standing, edge, edges),
    }


def _tree(listing: TreeListing | None) -> dict[str, Any] | None:
    """Its suspects are among the edge's."""
    return {name: value for name, value in to_plain(listing).items() if name != "suspects"} if listing else None


def _revert_test(
    counter: RevertTest | None, evidence: Evidence, metrics: Mapping[str, Metric]
) -> dict[str, Any] | None:
    if counter is None:
        return None
    return {
        **to_plain(counter),
        "obstacle": counter.obstacle,
        "holds": counter.holds,
        "decision": _decision(evidence.decision_of(counter.run), metrics),
    }


def _decision(decision: Decision | None, metrics: Mapping[str, Metric]) -> dict[str, Any] | None:
    if decision is None:
        return None
    found: Sequence[Comparison] = wording.ordered(decision, metrics)
    return {
        "verdict": decision.verdict,
        "metric": decision.metric,
        "how": choice_words(decision),
        "reason": decision_reason(decision),
        "comparisons": [comparison_json(one, metrics.get(one.metric)) for one in found],
    }


def _boots(evidence: Evidence) -> list[dict[str, Any]]:
    """Every boot with its subrun and its rung: ends, the search itself, proofs and revert tests."""
    boots = [_boot("ends", None, rung, trial) for rung, trial in ends_of(evidence.plan, evidence.ends)]
    boots += [_boot("search", None, trial.place.rung, trial) for trial in evidence.trials]
    for subrun, trials, _ in evidence.proofs:
        boots += [
            _boot(str(subrun.role), subrun, rung_of(evidence.plan, subrun, trial.place.arm), trial) for trial in trials
        ]
    return boots


def _boot(role: str, subrun: Subrun | None, rung: int | None, trial: Trial[Place]) -> dict[str, Any]:
    return {"part": role, "run": subrun.run_id if subrun else None, "rung": rung, **trial_json(trial)}


def _used(evidence: Evidence) -> frozenset[str]:
    """Metrics that any boot gave."""
    trials: list[Trial[Place]] = [
        *evidence.ends,
        *evidence.trials,
        *(trial for _, made, _ in evidence.proofs for trial in made),
    ]
    return frozenset(name for trial in trials for name in trial.samples)
