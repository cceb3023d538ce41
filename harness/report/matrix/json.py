"""The JSON report of a matrix: its plan, every cell with its comparisons, and the outcome; see schema/matrix-1.json.

The boots of a cell are those of its own run, whose report (ab-1.json) has them.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.model.experiment import Arm
from harness.model.matrix import CellResult, CellVerdict, CellView, MatrixView, MetricVerdict
from harness.model.trial import Outcome, written
from harness.model.verdict import Decision
from harness.model.workload import Metric
from harness.parse.plainjson import to_plain
from harness.report.compare.sentences import finding_lines, note_lines, outcome_lines
from harness.report.jsonparts import comparison_json, finite, load_schema, metrics_json
from harness.report.matrix.words import count_words, kernels_words
from harness.report.wording import ordered, repeat_command
from harness.workloads.registry import metrics_of

# Raised when a field goes away or changes its meaning; new fields need no new version.
SCHEMA_NAME = "kab/matrix-1"


def matrix_to_json(view: MatrixView) -> dict[str, Any]:
    """The report as plain JSON values, valid under `matrix_json_schema`; numbers that are not finite become null."""
    run, outcome = view.run, view.outcome
    metrics: dict[str, Metric] = {}
    for cell in view.cells:
        known = metrics_of(cell.cell.experiment.workload)
        metrics |= {name: known[name] for name in _used(cell) if name in known}
    counts = Counter(result.verdict for result in outcome.cells)
    document = {
        "schema": SCHEMA_NAME,
        "kab_version": run.kab_version,
        "run": {
            "id": run.id,
            "verb": run.verb,
            "digest": run.digest,
            "state": "open" if view.open else "finished",
            "created": run.created,
            "finished": run.finished,
            "seed": run.seed,
            "command": run.command,
            "repeat": repeat_command(run),
        },
        "title": view.plan.title,
        "headline": f"{count_words(outcome.cells)}: {kernels_words(view)}",
        "exit_code": int(view.exit_code),
        "ending": outcome.ending,
        "boots": outcome.boots,
        "duration_s": outcome.duration_s,
        "counts": {verdict.value: counts[verdict] for verdict in CellVerdict},
        "conditions": run.conditions,
        "host": run.host,
        "policy": view.plan.policy,
        "waivers": view.plan.waivers,
        "metrics": metrics_json(metrics, metrics),
        "cells": [_cell(cell) for cell in view.cells],
    }
    plain: dict[str, Any] = finite(to_plain(document))
    return plain


def matrix_json_text(view: MatrixView) -> str:
    """The report as a file has it."""
    return json.dumps(matrix_to_json(view), indent=1) + "\n"


def matrix_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `matrix_to_json`."""
    return load_schema("matrix-1")


def _used(cell: CellView) -> set[str]:
    return {found.metric for found in cell.result.metrics} | set(cell.decision.comparisons if cell.decision else ())


def _cell(cell: CellView) -> dict[str, Any]:
    result, run = cell.result, cell.run
    metrics = metrics_of(cell.cell.experiment.workload)
    trials = [written(trial) for trial in run.trials] if run else []
    return {
        "name": cell.cell.name,
        "axes": cell.cell.axes,
        "experiment": cell.cell.experiment,
        "verdict": result.verdict,
        "reason": result.reason,
        "exit_code": int(result.exit_code),
        "trouble": None if result.trouble is None else int(result.trouble),
        "fails": result.fails,
        "waiver": result.waiver,
        "kernels": {"baseline": result.baseline, "candidate": result.candidate},
        "run_id": result.run_id,
        "repeat": repeat_command(run) if run else None,
        "boots": result.boots,
        "duration_s": sum(trial.duration_s for trial in trials),
        "outcomes": {
            arm.value: {
                outcome.value: count
                for outcome in Outcome
                if (count := sum(one.place.arm is arm and one.outcome is outcome for one in trials))
            }
            for arm in Arm
        },
        "metrics": [_metric(found, metrics) for found in result.metrics],
        "others": _others(result, cell.decision, metrics),
        "failures": outcome_lines(trials),
        "findings": finding_lines(trials),
        "notes": note_lines(cell.decision, metrics),
    }


def _metric(found: MetricVerdict, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {
        "metric": found.metric,
        "margin": found.margin,
        "verdict": found.verdict,
        "waiver": found.waiver,
        "comparison": comparison_json(found.comparison, metrics.get(found.metric)),
    }


def _others(result: CellResult, decision: Decision | None, metrics: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """Comparisons of metrics that do not count: witnesses, and speeds beside."""
    counting = {found.metric for found in result.metrics}
    return [
        comparison_json(found, metrics.get(found.metric))
        for found in ordered(decision, metrics)
        if found.metric not in counting
    ]
