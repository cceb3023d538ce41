"""The JSON report: everything that is stored of a run, artifacts left out. Fields: schema/ab-1.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.experiment import BlockPlace
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Decision
from harness.model.workload import Metric
from harness.parse.plainjson import to_plain
from harness.report.compare.sentences import finding_lines, headline, note_lines
from harness.report.decisions import choice_words, decision_reason
from harness.report.jsonparts import comparison_json, finite, load_schema, metrics_json, trial_json
from harness.report.wording import ordered, repeat_command
from harness.stats.blocks import complete_blocks

# Raised when a field goes away or changes its meaning; new fields need no new version.
SCHEMA_NAME = "kab/ab-1"


def to_json(
    run: Run, decision: Decision | None, trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """The report as plain JSON values, valid under `json_schema`; numbers that are not finite become null."""
    counted = {trial.spec for arms in complete_blocks(trials).values() for trial in arms.values()}
    used = {name for trial in trials for name in trial.samples} | set(decision.comparisons if decision else ())
    document = {
        "schema": SCHEMA_NAME,
        "kab_version": run.kab_version,
        "run": {
            "id": run.id,
            "verb": run.verb,
            "digest": run.digest,
            "state": run.state,
            "created": run.created,
            "finished": run.finished,
            "seed": run.seed,
            "command": run.command,
            "repeat": repeat_command(run),
            "parent": run.parent,
        },
        "experiment": run.experiment,
        "kernels": {"baseline": run.baseline, "candidate": run.candidate},
        "conditions": run.conditions,
        "host": run.host,
        "verdict": decision.verdict if decision else None,
        "exit_code": int(decision.verdict.exit_code) if decision else None,
        "headline": headline(run, decision, metrics),
        "decision": _decision(decision),
        "comparisons": [comparison_json(found, metrics.get(found.metric)) for found in ordered(decision, metrics)],
        "metrics": metrics_json(metrics, used),
        "trials": [{**trial_json(trial), "counted": trial.spec in counted} for trial in trials],
        "findings": finding_lines(trials),
        "notes": note_lines(decision, metrics),
    }
    plain: dict[str, Any] = finite(to_plain(document))
    return plain


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `to_json`."""
    return load_schema("ab-1")


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "metric": decision.metric,
        "how": choice_words(decision),
        "reason": decision_reason(decision),
        "final": decision.final,
        "blocks_left": decision.blocks_left,
    }
