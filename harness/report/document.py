"""The JSON report: everything that is stored of a run, artifacts left out. Fields: schema/ab-1.json."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

from harness.model.experiment import BlockPlace, Place
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision
from harness.model.workload import Metric
from harness.parse.plainjson import to_plain
from harness.report import wording
from harness.report.witness import explain
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
            "repeat": wording.repeat_command(run),
        },
        "experiment": run.experiment,
        "kernels": {"baseline": run.baseline, "candidate": run.candidate},
        "conditions": run.conditions,
        "host": run.host,
        "verdict": decision.verdict if decision else None,
        "exit_code": int(decision.verdict.exit_code) if decision else None,
        "headline": wording.headline(run, decision, metrics),
        "decision": _decision(decision),
        "comparisons": [
            comparison_json(found, metrics.get(found.metric)) for found in wording.ordered(decision, metrics)
        ],
        "metrics": metrics_json(metrics, used),
        "trials": [{**trial_json(trial), "counted": trial.spec in counted} for trial in trials],
        "findings": wording.finding_lines(trials),
        "notes": wording.note_lines(decision, metrics),
    }
    plain: dict[str, Any] = finite(to_plain(document))
    return plain


def metrics_json(metrics: Mapping[str, Metric], used: Collection[str]) -> dict[str, Any]:
    """What each metric in `used` is."""
    return {
        name: {
            "title": metric.title,
            "unit": metric.unit,
            "direction": metric.direction,
            "witness": metric.witness,
            "meaning": metric.meaning,
        }
        for name, metric in metrics.items()
        if name in used
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `to_json`."""
    text = files("harness.report").joinpath("schema/ab-1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "metric": decision.metric,
        "how": decision.how,
        "reason": decision.reason,
        "final": decision.final,
        "blocks_left": decision.blocks_left,
    }


def comparison_json(found: Comparison, metric: Metric | None) -> dict[str, Any]:
    """A comparison, with what its values mean where it is of a witness."""
    reading = explain(metric, found.baseline, found.candidate) if metric is not None and metric.witness else ""
    return {**to_plain(found), "reading": reading}


def trial_json(trial: Trial[Place]) -> dict[str, Any]:
    """A boot, artifacts left out."""
    return {
        **to_plain(trial.place.written),
        "seed": trial.spec.seed,
        "kernel_digest": trial.kernel_digest,
        "outcome": trial.outcome,
        "message": trial.message,
        "started": trial.started,
        "duration_s": trial.duration_s,
        "stage_s": trial.stage_s,
        "samples": trial.samples,
        "findings": [{**to_plain(found), "signature": found.signature} for found in trial.findings],
        "environment": trial.environment,
    }


def finite(value: Any) -> Any:
    """`value` without the NaN and infinity that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value
