"""Charts as geometry: where each dot, line and label goes. The template draws them; nothing here knows of SVG."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from harness.model.experiment import Arm, BlockPlace, Place, TrialSpec
from harness.model.trial import Outcome, Stage, Trial
from harness.model.verdict import Comparison
from harness.model.workload import Metric
from harness.report.metricrows import kind_of
from harness.report.numbers import interval, number, percent, ratio, scale_for, seconds
from harness.report.scales import Axis, Tick, linear_axis, log_axis
from harness.report.wording import verdict_word
from harness.stats.blocks import boot_value, complete_blocks

# Baseline to the left of a block's middle, candidate to the right, as a part of the block's width.
_SIDE = {Arm.BASELINE: -0.18, Arm.CANDIDATE: 0.18}
# Names of metrics that are latencies: "write_clat_p99", "sync_latency_mean".
_LATENCY = re.compile(r"_clat_|latency")
_LABEL_HEIGHT = 14.0
# Room for names to the left and for figures to the right of rows.
_NAMES_WIDTH, _FIGURES_WIDTH, _LATENCY_WIDTH = 160.0, 348.0, 180.0
# So many blocks still get a label each.
_LABELLED_BLOCKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One value of an arm; ``title`` says it in words."""

    x: float
    y: float
    arm: Arm
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line; of an arm, or between arms."""

    x1: float
    y1: float
    x2: float
    y2: float
    arm: Arm | None = None
    label: str = ""
    label_y: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DotPlot:
    """One metric: a dot for each boot, small ones for its iterations, a line for each arm's median."""

    metric: Metric
    unit: str
    width: float
    height: float
    plot: tuple[float, float, float, float]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    iterations: tuple[Dot, ...]
    boots: tuple[Dot, ...]
    pairs: tuple[Line, ...]
    medians: tuple[Line, ...]
    # Boots without the metric.
    missing: tuple[Dot, ...]
    # The chart in a sentence, for those who cannot see it.
    description: str


def dot_plot(
    metric: Metric, trials: Sequence[Trial[BlockPlace]], *, width: float = 500, height: float = 230
) -> DotPlot | None:
    """The chart of one metric over blocks, or None when no boot gave it."""
    values = {trial.spec: value for trial in trials if (value := _ok_value(trial, metric.name)) is not None}
    if not values:
        return None
    factor, unit = scale_for(metric.unit, *values.values())
    left, top, right, bottom = 52.0, 12.0, width - 62.0, height - 30.0
    given = [trial for trial in trials if trial.spec in values]
    iterations = [
        (trial, value / factor) for trial in given for value in trial.samples[metric.name] if math.isfinite(value)
    ]
    y_axis = linear_axis([value for _, value in iterations], start=bottom, end=top)
    columns = _Columns.of(trials, left=left, right=right)

    def dot(trial: Trial[BlockPlace], value: float) -> Dot:
        title = f"{trial.place.arm}, block {trial.place.block + 1}: {number(value)} {unit}".strip()
        return Dot(x=columns.at(trial), y=y_axis.at(value), arm=trial.place.arm, title=title)

    medians = _medians(metric, trials, y_axis, factor=factor, left=left, right=right)
    told = [f"{line.arm} median {line.label} {unit}".strip() for line in medians]
    return DotPlot(
        metric=metric,
        unit=unit,
        width=width,
        height=height,
        plot=(left, top, right, bottom),
        y_ticks=y_axis.ticks(5),
        x_ticks=columns.ticks(),
        iterations=tuple(dot(trial, value) for trial, value in iterations),
        boots=tuple(dot(trial, values[trial.spec] / factor) for trial in given),
        pairs=_pairs(trials, {trial.spec: dot(trial, values[trial.spec] / factor) for trial in given}),
        medians=medians,
        missing=tuple(
            Dot(x=columns.at(trial), y=bottom - 6, arm=trial.place.arm, title=f"{trial.place.arm}: {trial.outcome}")
            for trial in trials
            if trial.spec not in values
        ),
        description=f"{metric.title}: {', '.join(told)}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where the boots of each block stand."""

    middles: Mapping[int, float]
    width: float

    @classmethod
    def of(cls, trials: Sequence[Trial[BlockPlace]], *, left: float, right: float) -> Self:
        blocks = sorted({trial.place.block for trial in trials})
        width = (right - left) / len(blocks)
        return cls(middles={block: left + (place + 0.5) * width for place, block in enumerate(blocks)}, width=width)

    def at(self, trial: Trial[BlockPlace]) -> float:
        # A second boot in the same place (a replacement, a confirmation) stands beside the first.
        shift = _SIDE[trial.place.arm] * min(self.width, 60.0) + 4.0 * trial.place.attempt
        return round(self.middles[trial.place.block] + shift, 1)

    def ticks(self) -> tuple[Tick, ...]:
        every = max(1, math.ceil(len(self.middles) / _LABELLED_BLOCKS))
        return tuple(
            Tick(at=round(middle, 1), label=str(block + 1)) for block, middle in list(self.middles.items())[::every]
        )


def _ok_value(trial: Trial[Place], name: str) -> float | None:
    return boot_value(trial, name) if trial.outcome is Outcome.OK else None


def _pairs(trials: Sequence[Trial[BlockPlace]], dots: Mapping[TrialSpec[BlockPlace], Dot]) -> tuple[Line, ...]:
    lines = []
    for arms in complete_blocks(trials).values():
        one, other = (dots.get(arms[arm].spec) for arm in Arm)
        if one is not None and other is not None:
            lines.append(Line(x1=one.x, y1=one.y, x2=other.x, y2=other.y))
    return tuple(lines)


def _medians(
    metric: Metric, trials: Sequence[Trial[BlockPlace]], axis: Axis, *, factor: float, left: float, right: float
) -> tuple[Line, ...]:
    lines = []
    for arm in Arm:
        values = [
            value for trial in trials if trial.place.arm is arm if (value := _ok_value(trial, metric.name)) is not None
        ]
        if values:
            middle = statistics.median(values) / factor
            y = axis.at(middle)
            lines.append(Line(x1=left, y1=y, x2=right, y2=y, arm=arm, label=number(middle), label_y=y))
    return _apart(lines)


def _apart(lines: list[Line]) -> tuple[Line, ...]:
    """The medians with labels that do not cover each other."""
    if len(lines) == len(Arm) and abs(lines[0].y1 - lines[1].y1) < _LABEL_HEIGHT:
        middle = (lines[0].y1 + lines[1].y1) / 2
        first_is_lower = lines[0].y1 > lines[1].y1
        shift = _LABEL_HEIGHT / 2 if first_is_lower else -_LABEL_HEIGHT / 2
        return (replace(lines[0], label_y=middle + shift), replace(lines[1], label_y=middle - shift))
    return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One metric's ratio and interval."""

    label: str
    title: str
    deciding: bool
    y: float
    x: float
    x_low: float
    x_high: float
    # "better", "worse", "same", "unclear", or "moved" for a witness.
    kind: str
    change: str
    ratio: str
    interval: str
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Ratios with intervals on one logarithmic axis, the equivalence margin around 1."""

    width: float
    height: float
    plot: tuple[float, float, float, float]
    ticks: tuple[Tick, ...]
    one: float
    margin: tuple[float, float]
    rows: tuple[ForestRow, ...]


def forest(
    comparisons: Sequence[Comparison],
    metrics: Mapping[str, Metric],
    *,
    margin: float,
    deciding: str | None,
    width: float = 1040,
) -> Forest | None:
    """Ratios of `comparisons`, in their order; None when none has a ratio."""
    shown = [found for found in comparisons if found.ratio is not None and found.ratio > 0]
    if not shown:
        return None
    row_height, left, top, right = 30.0, _NAMES_WIDTH, 12.0, width - _FIGURES_WIDTH
    bottom = top + row_height * len(shown)
    ends = [end for found in shown for end in (found.ratio, _bounded(found, found.low), _bounded(found, found.high))]
    axis = log_axis([end for end in ends if end is not None] + [1 / (1 + margin), 1 + margin], start=left, end=right)
    rows = []
    for index, found in enumerate(shown):
        assert found.ratio is not None
        metric = metrics.get(found.metric)
        rows.append(
            ForestRow(
                label=found.metric,
                title=metric.title if metric else "",
                deciding=found.metric == deciding,
                y=top + row_height * (index + 0.5),
                x=axis.at(found.ratio),
                x_low=axis.at(axis.low if found.low is None else found.low),
                x_high=axis.at(axis.high if found.high is None else found.high),
                kind=kind_of(found, metric),
                change=percent(found.ratio),
                ratio=ratio(found.ratio),
                interval=interval(found.low, found.high),
                word=verdict_word(found, metric),
            )
        )
    return Forest(
        width=width,
        height=bottom + 30,
        plot=(left, top, right, bottom),
        ticks=axis.ticks(8),
        one=axis.at(1.0),
        margin=(axis.at(1 / (1 + margin)), axis.at(1 + margin)),
        rows=tuple(rows),
    )


def _bounded(found: Comparison, end: float | None) -> float | None:
    """An interval's end, unless it is so far out that it would squeeze all else together."""
    assert found.ratio is not None
    return end if end is not None and 0.1 <= end / found.ratio <= 10.0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """One percentile of both arms, where they are known."""

    label: str
    y: float
    dots: tuple[Dot, ...]
    figures: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Completion latencies by percentile on one logarithmic axis."""

    width: float
    height: float
    plot: tuple[float, float, float, float]
    ticks: tuple[Tick, ...]
    unit: str
    rows: tuple[LatencyRow, ...]


def latencies(
    comparisons: Mapping[str, Comparison], metrics: Mapping[str, Metric], *, width: float = 1040
) -> Latencies | None:
    """Every latency metric that both or one of the arms gave; None when there is none."""
    shown = [
        found
        for name, metric in metrics.items()
        if _LATENCY.search(name)
        and metric.unit == "us"
        and not metric.witness
        and (found := comparisons.get(name)) is not None
        and (found.baseline or found.candidate)
    ]
    if not shown:
        return None
    everything = [value for found in shown for value in (found.baseline, found.candidate) if value]
    factor, unit = scale_for("us", *everything)
    row_height, left, top, right = 34.0, _NAMES_WIDTH, 12.0, width - _LATENCY_WIDTH
    bottom = top + row_height * len(shown)
    axis = log_axis([value / factor for value in everything], start=left, end=right, least=3.0)
    rows = []
    for index, found in enumerate(shown):
        y = top + row_height * (index + 0.5)
        arms = ((Arm.BASELINE, found.baseline), (Arm.CANDIDATE, found.candidate))
        rows.append(
            LatencyRow(
                label=found.metric,
                y=y,
                dots=tuple(
                    Dot(x=axis.at(value / factor), y=y, arm=arm, title=f"{arm}: {number(value / factor)} {unit}")
                    for arm, value in arms
                    if value
                ),
                figures=" → ".join(number(value / factor) if value else "-" for _, value in arms) + f" {unit}",
            )
        )
    return Latencies(
        width=width,
        height=bottom + 30,
        plot=(left, top, right, bottom),
        ticks=axis.ticks(8),
        unit=unit,
        rows=tuple(rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stage in a trial's bar."""

    stage: Stage
    x: float
    width: float
    title: str


def stage_bar(trial: Trial[Place], *, longest_s: float, width: float = 260) -> tuple[Segment, ...]:
    """The stages of a trial, in order, on a scale on which `longest_s` is `width`."""
    segments: list[Segment] = []
    x = 0.0
    for stage in Stage:
        took_s = trial.stage_s.get(stage, 0.0)
        if took_s > 0 and longest_s > 0:
            part = took_s / longest_s * width
            title = f"{stage}: {seconds(took_s)}"
            segments.append(Segment(stage=stage, x=round(x, 2), width=round(part, 2), title=title))
            x += part
    return tuple(segments)
