"""What a page tells of one cell: its figures beside their margins, its boots, what failed, and how to repeat it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellVerdict, CellView, MetricVerdict
from harness.model.run import KernelRecord
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Comparison
from harness.model.workload import Metric
from harness.parse.headtail import HeadTail
from harness.parse.units import fraction_text
from harness.report import wording
from harness.report.compare import sentences
from harness.report.decisions import comparison_notes
from harness.report.matrix.charts import BootDots, EffectBar, boot_dots, effect_bars, kind_of_metric
from harness.report.matrix.claims import goodness, is_bad, leading, verdict_words, waiver_words, waivers_of
from harness.report.matrix.cost import cell_cost, cost_line
from harness.report.matrix.heatmap import Tile, tile_of
from harness.report.metricrows import MetricRow, WitnessRow, metric_row, witness_rows
from harness.report.numbers import NOTHING, percent
from harness.workloads.registry import metrics_of

CONSOLE = "console.log"
"""The artifact of failed boots whose end a card shows, where a trial carries it."""

# Of a cell: charts, kinds of findings and consoles that are shown, and characters of what a kernel or a person said.
_MOST_CHARTS, _MOST_FINDINGS, _MOST_CONSOLES = 4, 3, 2
_EXCERPT, _REASON = 2_000, 600
_CONSOLE_BYTES = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingRow:
    """One metric that counts, as a line of a table."""

    row: MetricRow
    change: str
    # Of the change: "-26 % to -22 %".
    interval: str
    margin: str
    word: str
    kind: str
    bar: EffectBar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFinding:
    """A kind of finding in the kernel logs of a cell, and what the first log says."""

    line: str
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """How the console of a boot that failed ends."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCard:
    """Everything that is told of one cell."""

    tile: Tile
    axes: Mapping[str, str]
    bad: bool
    # How much better the candidate is by the leading metric, as a factor; 1 where there is none.
    better: float
    reason: str
    # The leading effect with its interval, or "".
    effect: str
    cost: str
    waivers: tuple[str, ...]
    fails: tuple[str, ...]
    counting: tuple[CountingRow, ...]
    # Latencies by percentile that no row above has.
    percentiles: tuple[MetricRow, ...]
    witnesses: tuple[WitnessRow, ...]
    charts: tuple[BootDots, ...]
    outcomes: tuple[str, ...]
    findings: tuple[SeenFinding, ...]
    # Kinds of findings beyond those.
    more_findings: int
    consoles: tuple[Console, ...]
    notes: tuple[str, ...]
    boots: int
    settings: Mapping[str, str]
    kernels: tuple[tuple[Arm, KernelRecord], ...]
    run_id: str
    repeat: str


def cell_card(view: CellView, *, link: str, gates: bool) -> CellCard:
    """The card of a cell; `link` leads to it from the heat map."""
    result, run = view.result, view.run
    metrics = metrics_of(view.cell.experiment.workload)
    trials = run.block_trials if run else ()
    comparisons = _comparisons(view)
    counting = [one.metric for one in result.metrics]
    cost = cell_cost(view)
    lead = leading(result, metrics)
    return CellCard(
        tile=tile_of(result, metrics, link=link),
        axes=view.cell.axes,
        bad=is_bad(result),
        better=goodness(lead.comparison.ratio or 1.0, metrics.get(lead.metric)) if lead else 1.0,
        reason=_bounded(result.reason, _REASON),
        effect=_effect(lead) if result.verdict is not CellVerdict.UNMEASURED else "",
        cost=cost_line(cost) if cost else "",
        waivers=tuple(_bounded(waiver_words(waiver), _REASON) for waiver in waivers_of(result)),
        fails=tuple(str(kind) for kind in result.fails),
        counting=_counting(result.metrics, metrics, gates=gates),
        percentiles=tuple(
            metric_row(found, metrics.get(name), None)
            for name, found in comparisons.items()
            if ("_clat_p" in name or "latency_p" in name) and name not in counting and _told(found)
        ),
        witnesses=tuple(witness_rows([found for found in comparisons.values() if _told(found)], metrics)),
        charts=tuple(_charts(counting or list(view.cell.experiment.workload.deciding), metrics, trials)),
        outcomes=tuple(_bounded(line, _REASON) for line in sentences.outcome_lines(trials)),
        findings=_findings(trials)[:_MOST_FINDINGS],
        more_findings=max(len(_findings(trials)) - _MOST_FINDINGS, 0),
        consoles=_consoles(trials),
        notes=_notes(result.metrics, metrics),
        boots=result.boots,
        settings=wording.setting_lines(view.cell.experiment),
        kernels=tuple(
            (arm, kernel)
            for arm, kernel in ((Arm.BASELINE, result.baseline), (Arm.CANDIDATE, result.candidate))
            if kernel is not None
        ),
        run_id=result.run_id or "",
        repeat=wording.repeat_command(run) if run else "",
    )


def _comparisons(view: CellView) -> dict[str, Comparison]:
    """All that is known of each metric: as it counts, else as the cell's own decision has it."""
    own = {found.metric: found for found in wording.ordered(view.decision, metrics_of(view.cell.experiment.workload))}
    return {**own, **{one.metric: one.comparison for one in view.result.metrics}}


def _told(found: Comparison) -> bool:
    return found.baseline is not None or found.candidate is not None


def _effect(lead: MetricVerdict | None) -> str:
    return wording.effect(lead.comparison) if lead is not None else ""


def _counting(found: Sequence[MetricVerdict], metrics: Mapping[str, Metric], *, gates: bool) -> tuple[CountingRow, ...]:
    bars = effect_bars(found, metrics, gates=gates)
    return tuple(
        CountingRow(
            row=metric_row(one.comparison, metrics.get(one.metric), None),
            change=percent(one.comparison.ratio) if one.comparison.ratio is not None else NOTHING,
            interval=_percents(one.comparison),
            margin=fraction_text(one.margin),
            word=f"{verdict_words(one.verdict)}{', waived' if one.waiver else ''}",
            kind=kind_of_metric(one),
            bar=bar,
        )
        for one, bar in zip(found, bars, strict=True)
    )


def _percents(found: Comparison) -> str:
    if found.low is None or found.high is None or not math.isfinite(found.low + found.high):
        return NOTHING
    return f"{percent(found.low)} to {percent(found.high)}"


def _charts(
    names: Iterable[str], metrics: Mapping[str, Metric], trials: Sequence[Trial[BlockPlace]]
) -> Iterable[BootDots]:
    made = (boot_dots(metrics[name], trials) for name in names if name in metrics)
    return [chart for chart in made if chart is not None][:_MOST_CHARTS]


def _findings(trials: Sequence[Trial[BlockPlace]]) -> tuple[SeenFinding, ...]:
    """One for each kind and wording, with the arms that showed it, those of the candidate first."""
    excerpts: dict[str, str] = {}
    for trial in sorted(trials, key=lambda trial: trial.place.arm is Arm.BASELINE):
        for found in trial.findings:
            excerpts.setdefault(found.signature, found.excerpt)
    lines = sentences.finding_lines(sorted(trials, key=lambda trial: trial.place.arm is Arm.BASELINE))
    return tuple(
        SeenFinding(line=_bounded(line, _REASON), excerpt=_bounded(excerpt, _EXCERPT))
        for line, excerpt in zip(lines, excerpts.values(), strict=True)
    )


def _consoles(trials: Sequence[Trial[BlockPlace]]) -> tuple[Console, ...]:
    """Of boots that the kernel failed, one for each arm and way."""
    shown: dict[tuple[Arm, Outcome], Console] = {}
    for number, trial in enumerate(trials, 1):
        content = trial.artifacts.get(CONSOLE)
        if content and trial.outcome not in {Outcome.OK, Outcome.LOST}:
            title = f"boot {number}, {trial.place.arm}, {trial.outcome}"
            kept = HeadTail(0, _CONSOLE_BYTES)
            kept.feed(content)
            shown.setdefault((trial.place.arm, trial.outcome), Console(title=title, text=kept.text().lstrip("\n")))
    return tuple(shown.values())[:_MOST_CONSOLES]


def _notes(found: Sequence[MetricVerdict], metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    notes: dict[str, list[str]] = {}
    for one in found:
        for note in comparison_notes(one.comparison, metrics.get(one.metric)):
            notes.setdefault(note, []).append(one.metric)
    return tuple(f"{', '.join(names)}: {note}" for note, names in notes.items())


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... (cut)"
