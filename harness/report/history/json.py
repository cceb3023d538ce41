"""Nightly series as JSON. Fields: schema/history-1.json."""

from collections.abc import Sequence
from typing import Any

from harness import __version__
from harness.model.alarm import Alarm
from harness.parse.plainjson import to_plain
from harness.report.history.trend import Trend
from harness.report.jsonparts import finite, load_schema

# Raised when a field goes away or changes its meaning; new fields need no new version.
SCHEMA_NAME = "kab/history-1"


def history_json(trends: Sequence[Trend]) -> dict[str, Any]:
    """Every series with all of its nights, valid under `history_json_schema`; what is not finite becomes null."""
    document = {"schema": SCHEMA_NAME, "kab_version": __version__, "series": [_series(trend) for trend in trends]}
    plain: dict[str, Any] = finite(to_plain(document))
    return plain


def history_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `history_json`."""
    return load_schema("history-1")


def _series(trend: Trend) -> dict[str, Any]:
    return {
        **to_plain(trend.name),
        "unit": trend.unit,
        "direction": trend.metric.direction if trend.metric is not None else None,
        "nights": [_night(trend, index) for index in range(len(trend.nights))],
        "alarms": [_alarm(alarm) for alarm in trend.alarms],
    }


def _night(trend: Trend, index: int) -> dict[str, Any]:
    night = trend.nights[index]
    return {
        "run": night.run_id,
        "created": night.created,
        "kernel": {
            "spec": night.kernel.spec,
            "release": night.kernel.release,
            "version": night.kernel.version,
            "digest": night.kernel.digest,
        },
        "conditions": dict(night.conditions),
        "values": night.values,
        "median": trend.medians[index],
        "change": trend.effect(index),
        "marks": [{"kind": mark.kind, "words": mark.words} for mark in trend.marks[index]],
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "id": alarm.id,
        "metric": alarm.name.metric,
        "before": alarm.before.release,
        "after": alarm.after.release,
        "ratio": alarm.comparison.ratio,
        "low": alarm.comparison.low,
        "high": alarm.comparison.high,
        "error": alarm.comparison.error,
        "worse": alarm.worse,
        "others": [other.metric for other in alarm.others],
        "confirmed_by": alarm.confirmed_by,
        "state": alarm.state,
        "events": [to_plain(event) for event in alarm.events],
    }
