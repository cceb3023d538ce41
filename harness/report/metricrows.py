"""Comparisons as rows of a page's tables: metrics with ratio and interval, witnesses with what they say."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Place
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Verdict
from harness.model.workload import Metric
from harness.report import wording
from harness.report.decisions import comparison_notes
from harness.report.numbers import NOTHING, interval, level, number, percent, ratio, scale_for
from harness.report.witness import explain


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect that a page begins with."""

    metric: str
    # "+238 %", "x3.38", "99 % interval 3.01 to 3.79".
    change: str
    ratio: str
    interval: str


def effect_of(found: Comparison | None) -> Effect | None:
    """The effect of a comparison that has a ratio."""
    if found is None or found.ratio is None:
        return None
    inside = f"{level(found.error)} interval {interval(found.low, found.high)}"
    return Effect(metric=found.metric, change=percent(found.ratio), ratio=ratio(found.ratio), interval=inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One line of the table of metrics."""

    name: str
    title: str
    unit: str
    baseline: str
    candidate: str
    ratio: str
    interval: str
    level: str
    word: str
    kind: str
    deciding: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessRow:
    """A witness, its values and what they say."""

    metric: Metric
    baseline: str
    candidate: str
    words: str


def metric_row(found: Comparison, metric: Metric | None, deciding: str | None) -> MetricRow:
    factor, unit = scale_for(metric.unit if metric else "", found.baseline, found.candidate)
    return MetricRow(
        name=found.metric,
        title=metric.title if metric else "",
        unit=unit,
        baseline=_scaled(found.baseline, factor),
        candidate=_scaled(found.candidate, factor),
        ratio=ratio(found.ratio),
        interval=interval(found.low, found.high),
        level=level(found.error),
        word=wording.verdict_word(found, metric),
        kind=kind_of(found, metric),
        deciding=found.metric == deciding,
        notes=comparison_notes(found, metric),
    )


def _scaled(value: float | None, factor: float) -> str:
    return NOTHING if value is None else number(value / factor)


def witness_rows(comparisons: Sequence[Comparison], metrics: Mapping[str, Metric]) -> list[WitnessRow]:
    rows = []
    for found in comparisons:
        metric = metrics.get(found.metric)
        if metric is not None and metric.witness:
            words = explain(metric, found.baseline, found.candidate)
            rows.append(
                WitnessRow(
                    metric=metric, baseline=number(found.baseline), candidate=number(found.candidate), words=words
                )
            )
    return rows


def kind_of(found: Comparison, metric: Metric | None) -> str:
    """How to colour a comparison."""
    if metric is not None and metric.witness and found.verdict in {Verdict.FASTER, Verdict.SLOWER}:
        return "moved"
    return {Verdict.FASTER: "better", Verdict.SLOWER: "worse", Verdict.SAME: "same"}.get(found.verdict, "unclear")


def figure(trial: Trial[Place], metric: Metric | None) -> str:
    values = trial.samples.get(metric.name, ()) if metric else ()
    if metric is None or not values:
        return ""
    factor, unit = scale_for(metric.unit, *values)
    return f"{number(statistics.median(values) / factor)} {unit}".strip()
