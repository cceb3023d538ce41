"""A search as one HTML file: its edges with proofs, the ladder, what is believed, and every boot."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.bisect.evidence import Evidence
from harness.bisect.view import Standing
from harness.model.bisection import Answer, BisectionOutcome, BisectionPlan, Edge, EdgeKind, FoundEdge, RungState
from harness.model.experiment import Place
from harness.model.history import Suspect
from harness.model.run import KernelRecord, Run
from harness.model.trial import Finding, Outcome, Trial
from harness.model.verdict import Decision
from harness.model.workload import Metric
from harness.render import render
from harness.report import wording
from harness.report.attachments import Attachment, attachments
from harness.report.decisions import decision_reason
from harness.report.metricrows import Effect, MetricRow, effect_of, metric_row
from harness.report.numbers import NOTHING, number, scale_for, seconds
from harness.report.search import charts, rungs, sentences, suspects
from harness.report.search.boots import BootTable, anchor_of, boot_groups, boot_tables
from harness.report.search.gitbisectlog import git_bisect_log
from harness.report.search.options import effect_sentence
from harness.report.search.reasons import followed_words

_SIGNS = {Answer.FOUND: "✓", Answer.NOTHING: "=", Answer.UNPROVEN: "?", Answer.UNCERTAIN: "?"}
# Commits that are named of a set that could not be told apart; boots up to which all tables stand open.
_SET_SHOWN, _OPEN_BOOTS = 40, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectRow:
    """A change that may be to blame."""

    suspect: Suspect
    source: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCard:
    """One edge: what changed, by how much, and what proves it."""

    edge: Edge
    # "worse" or "better".
    kind: str
    title: str
    pill: str
    effect: Effect | None
    # "3.15 -> 0.95 requests" and what it is of.
    medians: str
    second: str
    before: str
    after: str
    # Between configurations: what the step did.
    step: str
    # Kernels that could not be told apart.
    apart: str
    between: tuple[str, ...]
    proof: str
    reading: str
    others: tuple[str, ...]
    metrics: tuple[MetricRow, ...]
    revert_test: str
    # Anchors of the tables of boots; empty where there are none.
    proof_boots: str
    revert_boots: str
    heading: str
    suspects: tuple[SuspectRow, ...]
    notes: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    git_log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RungRow:
    """A kernel of the ladder, or a stretch of kernels that were not booted."""

    numbers: str
    name: str
    title: str
    boots: str
    median: str
    letter: str
    state: str
    slow: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """Everything that the template shows."""

    run: Run
    word: str
    sign: str
    kind: str
    claim: str
    effect: Effect | None
    counts: tuple[tuple[str, str], ...]
    why: str
    metric: str
    believed: str
    doubts: tuple[str, ...]
    findings: tuple[tuple[int, Finding], ...]
    edges: tuple[EdgeCard, ...]
    strip: charts.Strip
    words: Mapping[str, str]
    chart: charts.LadderChart
    ladder: tuple[RungRow, ...]
    ends: Decision | None
    ends_effect: str
    ends_metrics: tuple[MetricRow, ...]
    another_story: str
    skipped: tuple[tuple[int, str, str], ...]
    identical: tuple[tuple[int, str, str], ...]
    tables: tuple[BootTable, ...]
    open_tables: bool
    kernels: tuple[tuple[str, KernelRecord], ...]
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    repeat: str
    attachments: tuple[Attachment, ...]


def bisection_html(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> str:
    """The page; pure, no network, nothing executed. Artifacts that the evidence's boots carry can be read in it."""
    return render("report/search/page.html.j2", page=_page(run, evidence, standing, outcome, metrics))


def _page(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> SearchPage:
    plan = evidence.plan
    edges: Sequence[Edge] = outcome.edges if outcome else ()
    marked: Sequence[Edge | FoundEdge] = edges or standing.edges
    groups = boot_groups(evidence)
    trials = [trial for part in groups for _, trial in part.boots]
    files = attachments(run.experiment.workload, trials)
    return SearchPage(
        run=run,
        word=str(outcome.answer) if outcome else "open",
        sign=_SIGNS[outcome.answer] if outcome else "…",
        kind=_kind(outcome),
        claim=_claim(plan, outcome, marked),
        # Of several edges each card has its own.
        effect=effect_of(wording.deciding(evidence.decision_of(edges[0].proof_run))) if len(edges) == 1 else None,
        counts=_counts(standing, trials),
        why=sentences.why(plan, outcome, standing),
        metric=f"{standing.metric.name}, {followed_words(standing.metric)}" if standing.metric else "",
        believed=sentences.believed(standing),
        doubts=tuple(sentences.doubts(standing)),
        findings=tuple((index, found) for index, trial in enumerate(trials, 1) for found in trial.findings),
        edges=tuple(_edge_card(run, evidence, standing, edge, edges, metrics) for edge in edges),
        strip=charts.strip(plan, standing, marked),
        words=charts.STRIP_WORDS,
        chart=charts.ladder_chart(evidence, standing, marked, metrics),
        ladder=tuple(_ladder(plan, standing, metrics)),
        ends=evidence.ends_decision,
        ends_effect=sentences.ends(evidence),
        ends_metrics=_metric_rows(evidence.ends_decision, metrics),
        another_story=sentences.another_story(evidence, standing, metrics),
        skipped=tuple(
            (rung, rungs.full_name(plan.rungs[rung]), said) for rung, said in sentences.skipped(plan, standing)
        ),
        identical=tuple(
            (rung, rungs.full_name(plan.rungs[rung]), said) for rung, said in sentences.identical(evidence)
        ),
        tables=tuple(boot_tables(groups, standing, metrics, files)),
        open_tables=len(trials) <= _OPEN_BOOTS,
        kernels=(("first", run.baseline), ("last", run.candidate)),
        settings=wording.setting_lines(run.experiment),
        environment=wording.common_environment(trials),
        repeat=wording.repeat_command(run),
        attachments=files,
    )


def _kind(outcome: BisectionOutcome | None) -> str:
    """The page's colour: of what is lost, won, alike or not known."""
    if outcome is None:
        return "open"
    if outcome.answer is Answer.FOUND:
        last = outcome.edges[-1].kind if outcome.edges else None
        return "slower" if last is EdgeKind.REMOVED else "faster"
    return "same" if outcome.answer is Answer.NOTHING else "inconclusive"


def _claim(plan: BisectionPlan, outcome: BisectionOutcome | None, edges: Sequence[Edge | FoundEdge]) -> str:
    """What was found, as a heading."""
    ends = f"{rungs.name(plan.rungs[0])} and {rungs.name(plan.rungs[-1])}"
    if edges:
        return "; ".join(sentences.place(plan, edge) for edge in edges)
    if outcome is None:
        return f"searching between {ends}"
    if outcome.answer is Answer.NOTHING:
        return f"nothing changes between {ends}"
    return f"cannot tell what changes between {ends}"


def _counts(standing: Standing, trials: Sequence[Trial[Place]]) -> tuple[tuple[str, str], ...]:
    return (
        ("kernels", str(len(standing.rungs))),
        ("of them booted", str(sum(rung.boots > 0 for rung in standing.rungs))),
        ("cannot be tested", str(sum(rung.state is RungState.SKIP for rung in standing.rungs))),
        ("boots", str(len(trials))),
        ("failed or lost", str(sum(trial.outcome is not Outcome.OK for trial in trials))),
        ("time in boots", seconds(sum(trial.duration_s for trial in trials))),
    )


def _named(plan: BisectionPlan, said: Iterable[tuple[int, str]]) -> tuple[tuple[int, str, str], ...]:
    return tuple((rung, rungs.full_name(plan.rungs[rung]), words) for rung, words in said)


def _edge_card(
    run: Run,
    evidence: Evidence,
    standing: Standing,
    edge: Edge,
    edges: Sequence[Edge],
    metrics: Mapping[str, Metric],
) -> EdgeCard:
    plan = evidence.plan
    decision = evidence.decision_of(edge.proof_run)
    leading, second = wording.deciding(decision), wording.speed(run, decision, metrics)
    between = plan.rungs[edge.before + 1 : edge.after + 1] if edge.after - edge.before > 1 else ()
    shown = [rungs.full_name(rung) for rung in between[:_SET_SHOWN]] if rungs.has_commits(plan) else []
    if shown and len(between) > _SET_SHOWN:
        shown.append(f"and {len(between) - _SET_SHOWN} more")
    undone = evidence.decision_of(edge.revert_test.run) if edge.revert_test else None
    packages = not plan.built
    found = suspects.suspects_of(edge) if packages else ()
    return EdgeCard(
        edge=edge,
        kind="worse" if edge.kind is EdgeKind.REMOVED else "better",
        title=f"{sentences.place(plan, edge)}; {sentences.meaning(edge)}",
        pill="proven" if edge.proven else "not proven" if decision else "no proof",
        effect=effect_of(leading),
        medians=sentences.medians(leading, metrics) if leading else "",
        second=wording.effect(second) if second and second not in sentences.moved(decision, metrics) else "",
        before=rungs.full_name(plan.rungs[edge.before]),
        after=rungs.full_name(plan.rungs[edge.after]),
        step=effect_sentence(edge.options) if edge.options else "",
        apart=sentences.apart(edge),
        between=tuple(shown),
        proof=_proof(edge, decision),
        reading=sentences.reading(decision, metrics),
        others=tuple(sentences.other_metrics(decision, metrics)),
        metrics=_metric_rows(decision, metrics),
        revert_test=sentences.revert_test(plan, edge, undone),
        proof_boots=anchor_of(edge.proof_run) if decision else "",
        revert_boots=anchor_of(edge.revert_test.run) if edge.revert_test and undone else "",
        heading=suspects.heading(edge) if packages else "",
        suspects=tuple(
            SuspectRow(suspect=one, source=suspects.source_of(one.change), why=suspects.why_suspected(one))
            for one in found
        ),
        notes=tuple(suspects.notes(edge)) if packages else (),
        commands=tuple(suspects.commands(edge, run.id)) if packages else (),
        git_log=git_bisect_log(evidence, standing, edge, edges),
    )


def _proof(edge: Edge, decision: Decision | None) -> str:
    """The verdict and what it rests on; the effect stands beside it."""
    if decision is None:
        return "none was made"
    leading = wording.deciding(decision)
    said = f"A/B says {edge.verdict}, run {edge.proof_run}"
    if leading is None:
        return f"{said}: {decision_reason(decision)}"
    blocks, boots = wording.counted(leading.blocks, "block"), wording.counted(2 * leading.blocks, "boot")
    return f"{said}, {blocks} ({boots})"


def _metric_rows(decision: Decision | None, metrics: Mapping[str, Metric]) -> tuple[MetricRow, ...]:
    deciding = decision.metric if decision else None
    return tuple(metric_row(found, metrics.get(found.metric), deciding) for found in wording.shown(decision, metrics))


def _ladder(plan: BisectionPlan, standing: Standing, metrics: Mapping[str, Metric]) -> list[RungRow]:
    """Every kernel; those in a row that were not booted and are believed to be alike in one line."""
    name = standing.metric.name if standing.metric else ""
    unit = metrics[name].unit if name in metrics else ""
    divisor, _ = scale_for(unit, *(there.median for there in standing.rungs))
    rows = []
    for letter, start, stop in charts.stretches(standing.strip):
        inside = standing.rungs[start:stop]
        chances = [there.slow for there in inside if there.slow is not None]
        low, high = (f"{limit(chances):.3f}" if chances else NOTHING for limit in (min, max))
        one = stop - start == 1
        first, last = plan.rungs[start], plan.rungs[stop - 1]
        median = inside[0].median
        rows.append(
            RungRow(
                numbers=str(start) if one else f"{start} to {stop - 1}",
                name=rungs.name(first) if one else f"{rungs.name(first)} to {rungs.name(last)}",
                title=rungs.title(first) if one else wording.counted(stop - start, "kernel"),
                boots=str(inside[0].boots) if one else "0",
                median=number(median / divisor) if one and median is not None else "",
                letter=letter,
                state=charts.STRIP_WORDS[letter],
                slow=low if low == high else f"{low} to {high}",
                note=sentences.rung_note(plan, inside[0]) if one else "",
            )
        )
    return rows
