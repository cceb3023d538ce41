"""The HTML report: one file, no network, nothing executed; drawn from stored results."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace
from harness.model.run import KernelRecord, Run
from harness.model.trial import Finding, Outcome, Stage, Trial
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.render import render
from harness.report import wording
from harness.report.attachments import Attachment, attachments
from harness.report.compare import charts, sentences
from harness.report.decisions import choice_words, decision_reason
from harness.report.metricrows import Effect, MetricRow, WitnessRow, effect_of, figure, metric_row, witness_rows
from harness.report.numbers import seconds
from harness.stats.blocks import complete_blocks

_SIGNS = {Verdict.FASTER: "▲", Verdict.SLOWER: "▼", Verdict.SAME: "=", Verdict.INCONCLUSIVE: "?"}


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
    why: str
    # How the deciding metric was chosen.
    how: str
    effect: Effect | None
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
    files = attachments(run.experiment.workload, trials)
    name = decision.metric if decision else None
    return Page(
        run=run,
        decision=decision,
        word=str(decision.verdict) if decision else "no verdict yet",
        sign=_SIGNS[decision.verdict] if decision else "…",
        kind=str(decision.verdict) if decision else "open",
        claim=sentences.claim(run, decision),
        why=decision_reason(decision) if decision else "",
        how=choice_words(decision) if decision else "",
        effect=effect_of(leading),
        second=wording.effect(second) if second else "",
        counts=_counts(trials),
        kernels=(_kernel_card(Arm.BASELINE, run.baseline, trials), _kernel_card(Arm.CANDIDATE, run.candidate, trials)),
        metrics=tuple(metric_row(found, metrics.get(found.metric), name) for found in comparisons),
        witnesses=tuple(witness_rows(comparisons, metrics)),
        plots=_plots(trials, metrics, comparisons),
        forest=charts.forest(comparisons, metrics, margin=run.experiment.margin, deciding=name),
        latencies=charts.latencies(decision.comparisons if decision else {}, metrics),
        outcomes=tuple(sentences.outcome_lines(trials)),
        findings=tuple((index, found) for index, trial in enumerate(trials, 1) for found in trial.findings),
        notes=tuple(sentences.note_lines(decision, metrics)),
        boots=_boots(trials, metrics.get(name or ""), files),
        stages=_stage_medians(trials),
        stage_places={stage: place for place, stage in enumerate(Stage)},
        attachments=files,
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
            figure=figure(trial, metric),
            duration=seconds(trial.duration_s),
            segments=charts.stage_bar(trial, longest_s=longest_s),
            attachments=tuple(found for found in attachments if index in found.boots),
        )
        for index, trial in enumerate(trials, 1)
    )


def _stage_medians(trials: Sequence[Trial[BlockPlace]]) -> tuple[tuple[Stage, str], ...]:
    rows = []
    for stage in Stage:
        taken = [trial.stage_s[stage] for trial in trials if stage in trial.stage_s and trial.outcome is Outcome.OK]
        if taken:
            rows.append((stage, seconds(statistics.median(taken))))
    return tuple(rows)
