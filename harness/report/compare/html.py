"""The HTML report: one file, no network, nothing executed; drawn from stored results."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace, Place
from harness.model.run import KernelRecord, Run
from harness.model.trial import Finding, Outcome, Stage, Trial
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.parse.headtail import shortened
from harness.render import render
from harness.report import wording
from harness.report.compare import charts, sentences
from harness.report.numbers import NOTHING, interval, level, number, percent, ratio, scale_for, seconds
from harness.report.witness import explain
from harness.stats.blocks import complete_blocks
from harness.workloads.registry import KINDS, artifacts_of

# Artifacts that say how a boot was made, and those that say why it failed.
_HOW = ("domain.xml", *(name for kind in KINDS.values() for name in kind.artifacts))
_WHY = ("console.log", "dmesg.log", "trial.log", "prepare.txt", "check.txt", "collect.txt")
ATTACHMENTS = (*_HOW, *_WHY)
"""Names of all artifacts that the page can show: what to load before making it."""

# Longer texts (a console that scrolls for ever) are cut in the middle: how they begin and end tells most.
_MOST_BYTES = 60_000
_SIGNS = {Verdict.FASTER: "▲", Verdict.SLOWER: "▼", Verdict.SAME: "=", Verdict.INCONCLUSIVE: "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An artifact to be read in the report; equal ones of several boots are shown once."""

    anchor: str
    name: str
    text: str
    # Numbers of the boots it belongs to.
    boots: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRow:
    """One line of the table of boots."""

    # Counts from 1 in the order they were made.
    number: int
    trial: Trial[BlockPlace]
    counted: bool
    figure: str
    duration: str
    segments: tuple[charts.Segment, ...]
    attachments: tuple[Attachment, ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCard:
    """A kernel, where it comes from, and what only its guests told."""

    arm: Arm
    kernel: KernelRecord
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that the template shows."""

    run: Run
    decision: Decision | None
    word: str
    sign: str
    kind: str
    claim: str
    effect: str
    effect_ratio: str
    effect_interval: str
    # Where a witness decides: the speed that goes with it.
    second: str
    counts: tuple[tuple[str, str], ...]
    kernels: tuple[KernelCard, ...]
    metrics: tuple[MetricRow, ...]
    witnesses: tuple[WitnessRow, ...]
    plots: tuple[charts.DotPlot, ...]
    forest: charts.Forest | None
    latencies: charts.Latencies | None
    outcomes: tuple[str, ...]
    findings: tuple[tuple[int, Finding], ...]
    notes: tuple[str, ...]
    boots: tuple[BootRow, ...]
    stages: tuple[tuple[Stage, str], ...]
    # Stage -> number of its colour.
    stage_places: Mapping[Stage, int]
    attachments: tuple[Attachment, ...]
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    repeat: str


def to_html(
    run: Run, decision: Decision | None, trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric]
) -> str:
    """The whole page. Artifacts that `trials` carry can be read in it; without any, it just has no such section."""
    return render("report/compare/page.html.j2", page=_page(run, decision, trials, metrics))


def _page(
    run: Run, decision: Decision | None, trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric]
) -> Page:
    comparisons = wording.shown(decision, metrics)
    second = wording.speed(run, decision, metrics)
    leading = wording.deciding(decision)
    attachments = _attachments(run, trials)
    name = decision.metric if decision else None
    return Page(
        run=run,
        decision=decision,
        word=str(decision.verdict) if decision else "no verdict yet",
        sign=_SIGNS[decision.verdict] if decision else "…",
        kind=str(decision.verdict) if decision else "open",
        claim=sentences.claim(run, decision),
        effect=percent(leading.ratio) if leading and leading.ratio is not None else "",
        effect_ratio=ratio(leading.ratio) if leading else "",
        effect_interval=f"{level(leading.error)} interval {interval(leading.low, leading.high)}" if leading else "",
        second=wording.effect(second) if second else "",
        counts=_counts(trials),
        kernels=(_kernel_card(Arm.BASELINE, run.baseline, trials), _kernel_card(Arm.CANDIDATE, run.candidate, trials)),
        metrics=tuple(_metric_row(found, metrics.get(found.metric), name) for found in comparisons),
        witnesses=tuple(_witness_rows(comparisons, metrics)),
        plots=_plots(trials, metrics, comparisons),
        forest=charts.forest(comparisons, metrics, margin=run.experiment.margin, deciding=name),
        latencies=charts.latencies(decision.comparisons if decision else {}, metrics),
        outcomes=tuple(sentences.outcome_lines(trials)),
        findings=tuple((index, found) for index, trial in enumerate(trials, 1) for found in trial.findings),
        notes=tuple(sentences.note_lines(decision, metrics)),
        boots=_boots(trials, metrics.get(name or ""), attachments),
        stages=_stage_medians(trials),
        stage_places={stage: place for place, stage in enumerate(Stage)},
        attachments=attachments,
        settings=wording.setting_lines(run.experiment),
        environment=wording.common_environment(trials),
        repeat=wording.repeat_command(run),
    )


def _kernel_card(arm: Arm, kernel: KernelRecord, trials: Sequence[Trial[BlockPlace]]) -> KernelCard:
    own = wording.common_environment([trial for trial in trials if trial.place.arm is arm])
    shared = wording.common_environment(trials)
    return KernelCard(
        arm=arm, kernel=kernel, environment={name: value for name, value in own.items() if name not in shared}
    )


def _counts(trials: Sequence[Trial[BlockPlace]]) -> tuple[tuple[str, str], ...]:
    bad = sum(trial.outcome is not Outcome.OK for trial in trials)
    spent_s = sum(trial.duration_s for trial in trials)
    return (
        ("complete blocks", str(len(complete_blocks(trials)))),
        ("boots", str(len(trials))),
        ("failed or lost", str(bad)),
        ("time in boots", seconds(spent_s)),
    )


def _plots(
    trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric], comparisons: Sequence[Comparison]
) -> tuple[charts.DotPlot, ...]:
    """One chart for each metric that a boot gave, the deciding one first."""
    names = dict.fromkeys([found.metric for found in comparisons] + list(metrics))
    made = [charts.dot_plot(metrics[name], trials) for name in names if name in metrics]
    return tuple(plot for plot in made if plot is not None)


def _metric_row(found: Comparison, metric: Metric | None, deciding: str | None) -> MetricRow:
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
        kind=charts.kind_of(found, metric),
        deciding=found.metric == deciding,
        notes=found.notes,
    )


def _scaled(value: float | None, factor: float) -> str:
    return NOTHING if value is None else number(value / factor)


def _witness_rows(comparisons: Sequence[Comparison], metrics: Mapping[str, Metric]) -> list[WitnessRow]:
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


def _boots(
    trials: Sequence[Trial[BlockPlace]], metric: Metric | None, attachments: Sequence[Attachment]
) -> tuple[BootRow, ...]:
    counted = {trial.spec for arms in complete_blocks(trials).values() for trial in arms.values()}
    longest_s = max((sum(trial.stage_s.values()) for trial in trials), default=0.0)
    return tuple(
        BootRow(
            number=index,
            trial=trial,
            counted=trial.spec in counted,
            figure=_figure(trial, metric),
            duration=seconds(trial.duration_s),
            segments=charts.stage_bar(trial, longest_s=longest_s),
            attachments=tuple(found for found in attachments if index in found.boots),
        )
        for index, trial in enumerate(trials, 1)
    )


def _figure(trial: Trial[Place], metric: Metric | None) -> str:
    values = trial.samples.get(metric.name, ()) if metric else ()
    if metric is None or not values:
        return ""
    factor, unit = scale_for(metric.unit, *values)
    return f"{number(statistics.median(values) / factor)} {unit}".strip()


def _stage_medians(trials: Sequence[Trial[BlockPlace]]) -> tuple[tuple[Stage, str], ...]:
    rows = []
    for stage in Stage:
        taken = [trial.stage_s[stage] for trial in trials if stage in trial.stage_s and trial.outcome is Outcome.OK]
        if taken:
            rows.append((stage, seconds(statistics.median(taken))))
    return tuple(rows)


def _attachments(run: Run, trials: Sequence[Trial[BlockPlace]]) -> tuple[Attachment, ...]:
    """How each boot was made; of boots that failed the logs too."""
    how = ("domain.xml", *artifacts_of(run.experiment.workload))
    boots: dict[tuple[str, bytes], list[int]] = {}
    for index, trial in enumerate(trials, 1):
        wanted = how if trial.outcome is Outcome.OK else (*how, *_WHY)
        for name in wanted:
            if name in trial.artifacts:
                boots.setdefault((name, trial.artifacts[name]), []).append(index)
    return tuple(
        Attachment(anchor=f"file-{place}", name=name, text=_readable(content), boots=tuple(numbers))
        for place, ((name, content), numbers) in enumerate(boots.items(), 1)
    )


def _readable(content: bytes) -> str:
    # Controls (a console writes colours and NULs) are shown by the page, as they are everywhere in it.
    return shortened(content, _MOST_BYTES).decode(errors="replace")
