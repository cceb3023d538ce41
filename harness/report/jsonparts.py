"""What the JSON reports share: metrics, comparisons and boots as plain values, and where their schemas are."""

import json
import math
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from harness.model.experiment import Place
from harness.model.trial import Trial
from harness.model.verdict import Comparison
from harness.model.workload import Metric
from harness.parse.plainjson import to_plain
from harness.report.witness import explain


def load_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that ships under `name`: ``ab-1``."""
    text = files("harness.report").joinpath(f"schema/{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


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


def comparison_json(found: Comparison, metric: Metric | None) -> dict[str, Any]:
    """A comparison, with what its values mean where it is of a witness."""
    reading = explain(metric, found.baseline, found.candidate) if metric is not None and metric.witness else ""
    return {**to_plain(found), "cautions": to_plain(found.cautions), "reading": reading}


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
