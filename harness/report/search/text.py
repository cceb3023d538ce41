"""What a search over a ladder found: plain text, made to be pasted into a mail."""

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from harness.bisect.evidence import Evidence
from harness.bisect.view import Standing
from harness.model.bisection import Answer, BisectionOutcome, BisectionPlan, Edge, EdgeKind, FoundEdge, RungState
from harness.model.history import Suspect
from harness.model.run import Run
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.report import wording
from harness.report.layout import columns, wrap
from harness.report.numbers import NOTHING, number, scale_for
from harness.report.search import reasons, rungs, sentences, suspects
from harness.report.search.reverttest import revert_test_sentence
from harness.report.witness import explain

# Longer strips are shortened where kernels were not booted, and broken over lines.
_STRIP_WIDTH = 80
# Commits that are named of a set that could not be told apart.
_SET_SHOWN = 20
_LONG_STRETCH = 6
_NOT_BOOTED = "fs."
_LEGEND = "F fast, S slow, ? neither yet, x skipped; f, s believed so without a boot; . unknown"
_STATES = {RungState.UNKNOWN: ""}
_KINDS = {EdgeKind.REMOVED: "worse from there on", EdgeKind.RESTORED: "better again from there on"}
_MOVED = frozenset({Verdict.FASTER, Verdict.SLOWER})


def bisection_summary(
    run: Run, evidence: Evidence, standing: Standing, outcome: BisectionOutcome | None, metrics: Mapping[str, Metric]
) -> str:
    """The whole summary; pure: the same stored search gives the same text. Without a last newline."""
    plan = evidence.plan
    edges: Sequence[Edge] = outcome.edges if outcome else ()
    sections: list[list[str]] = [
        _headline(run, plan, outcome, standing),
        _strip(plan, standing),
        *(_edge(run, edge, evidence, metrics) for edge in edges),
        _rungs(plan, standing, metrics),
        _ends(plan, evidence, standing, metrics),
        _listed("Skipped", _said_of_rungs(plan, sentences.skipped(plan, standing))),
        _listed("Not booted, for their code is that of another", _said_of_rungs(plan, sentences.identical(evidence))),
        _listed("Mind", sentences.doubts(standing)),
        _environment(run),
        ["How to repeat", f"  {wording.repeat_command(run)}"],
    ]
    # Kernels, guests and packages speak in it; wrapped lines have lost their line feeds by now.
    return printable("\n\n".join("\n".join(lines) for lines in sections if lines), lines=True)


def _name(plan: BisectionPlan, rung: int) -> str:
    return rungs.name(plan.rungs[rung])


def _place(plan: BisectionPlan, edge: Edge | FoundEdge) -> str:
    """``removed by 3a1b2c3d4e5f ("btrfs: some title")``, or between which kernels."""
    culprit = edge.culprit if isinstance(edge, Edge) else None
    if culprit is not None:
        return f"{edge.kind} by {rungs.tag(culprit)}"
    return f"{edge.kind} between {_name(plan, edge.before)} and {_name(plan, edge.after)}"


def _headline(run: Run, plan: BisectionPlan, outcome: BisectionOutcome | None, standing: Standing) -> list[str]:
    word = str(outcome.answer).upper() if outcome else "OPEN"
    lines = [f"kab bisect {run.id}: {word}"]
    edges = outcome.edges if outcome else standing.edges
    for edge in edges:
        lines += wrap(f"{_place(plan, edge)}.", indent="  ")
    if outcome is None:
        coming = standing.next
        reason = (
            f"next is {_name(plan, coming.rung)}: {reasons.next_reason(coming)}"
            if coming
            else reasons.blocked_reason(plan, standing.blocked)
            if standing.blocked
            else "the ends are not measured yet"
            if not standing.edges
            else "its edges are to be proven"
        )
        lines += wrap(f"Not finished: {reason}.")
    elif outcome.answer is Answer.NOTHING:
        lines += wrap(f"Nothing between the ends: {outcome.reason}.")
    else:
        lines += wrap(f"Why: {outcome.reason}.")
    if standing.metric is not None:
        lines += wrap(f"Metric: {standing.metric.name}, {standing.metric.how}.")
    if standing.result is not None:
        counts = ", ".join(
            f"{count}: {share:.3g}" for count, share in sorted(standing.result.counts.items()) if share >= 0.0005
        )
        lines += wrap(
            f"Believed before any proof with probability {standing.result.probability:.4g} "
            f"(by number of edges: {counts})."
        )
    return lines


def _strip(plan: BisectionPlan, standing: Standing) -> list[str]:
    first, last = rungs.axis_name(plan.rungs[0]), rungs.axis_name(plan.rungs[-1])
    if not plan.built:
        first, last = plan.rungs[0].version, plan.rungs[-1].version
    legend, strip = _LEGEND, standing.strip
    if len(strip) > _STRIP_WIDTH:
        strip, legend = _shortened(strip), f"{legend}; f*9: 9 of them"
    lines = textwrap.wrap(strip, _STRIP_WIDTH, initial_indent="", break_on_hyphens=False)
    title = wrap(f"The ladder ({len(plan.rungs)} kernels; {legend})")
    if len(lines) == 1:
        return [*title, f"  {first} {strip} {last}"]
    return [*title, f"  {first}", *(f"    {line}" for line in lines), f"  {last}"]


def _shortened(strip: str) -> str:
    """Letters with long stretches of kernels that were not booted told by their number, between spaces."""
    pieces = []
    for letter, run in itertools.groupby(strip):
        count = len(list(run))
        short = count >= _LONG_STRETCH and letter in _NOT_BOOTED
        pieces.append(f" {letter}*{count} " if short else letter * count)
    return "".join(pieces).strip()


def _rungs(plan: BisectionPlan, standing: Standing, metrics: Mapping[str, Metric]) -> list[str]:
    """Every kernel that was booted."""
    name = standing.metric.name if standing.metric else "metric"
    unit = metrics[name].unit if name in metrics else ""
    titled = any(map(rungs.title, plan.rungs))
    rows = [("rung", "kernel", "boots", f"{name} {unit}".strip(), "state", "P(slow)", *(("title",) * titled))]
    for index, (rung, there) in enumerate(zip(plan.rungs, standing.rungs, strict=True)):
        if there.boots or there.state is RungState.SKIP:
            slow = NOTHING if there.slow is None else f"{there.slow:.3f}"
            state = _STATES.get(there.state, str(there.state))
            cells = (str(index), rungs.name(rung), str(there.boots), number(there.median), state, slow)
            rows.append((*cells, *((rungs.short_title(rung),) * titled)))
    if len(rows) == 1:
        return []
    return ["Kernels booted", *(f"  {line}" for line in columns(rows, left={1, 4, 6}))]


def _edge(run: Run, edge: Edge, evidence: Evidence, metrics: Mapping[str, Metric]) -> list[str]:
    """One edge: its neighbours, proof, other metrics, suspects."""
    plan = evidence.plan
    if edge.culprit is not None:
        lines = wrap(f"{str(edge.kind).capitalize()} by {rungs.tag(edge.culprit)}; {_KINDS[edge.kind]}")
        lines += wrap(
            f"By {edge.culprit.author} <{edge.culprit.email}>, {edge.culprit.date[:10]}; rung {edge.after}.",
            indent="  ",
        )
    else:
        lines = wrap(
            f"{str(edge.kind).capitalize()}: last {rungs.full_name(plan.rungs[edge.before])} (rung {edge.before}), "
            f"first {rungs.full_name(plan.rungs[edge.after])} (rung {edge.after}); {_KINDS[edge.kind]}"
        )
    apart = edge.after - edge.before - 1
    if apart:
        lines += wrap(f"{wording.counted(apart, 'kernel')} between them could not be tested: a set.", indent="  ")
        between = plan.rungs[edge.before + 1 : edge.after + 1]
        if rungs.has_commits(plan):
            lines += [f"    {rungs.full_name(rung)}" for rung in between[:_SET_SHOWN]]
            lines += [f"    and {len(between) - _SET_SHOWN} more"] if len(between) > _SET_SHOWN else []
    decisions = {subrun.run_id: decision for subrun, _, decision in evidence.proofs}
    lines += _proof(edge, decisions.get(edge.proof_run or ""), metrics)
    if edge.revert_test is not None:
        leading = wording.deciding(decisions.get(edge.revert_test.run or ""))
        figures = wording.figures(leading) if leading else ""
        said = revert_test_sentence(plan, edge.revert_test, figures)
        lines += wrap(f"Revert test: {said}", indent="  ", hang="    ")
    if not plan.built:
        lines += _suspects(edge, run)
    return lines


def _proof(edge: Edge, decision: Decision | None, metrics: Mapping[str, Metric]) -> list[str]:
    if decision is None:
        return ["  Proof: none was made."]
    leading = wording.deciding(decision)
    word = "proven" if edge.proven else f"NOT proven, A/B says {edge.verdict}"
    effect = f"{_medians(leading, metrics)}{wording.figures(leading)}" if leading else decision.reason
    lines = wrap(f"Proof: {word}: {effect}; A/B run {edge.proof_run}.", indent="  ", hang="    ")
    if leading is not None and leading.metric in metrics and metrics[leading.metric].witness:
        reading = explain(metrics[leading.metric], leading.baseline, leading.candidate, ("before", "after"))
        lines += wrap(f"{leading.metric}: {reading}.", indent="    ")
    agree, against = [], []
    for found in wording.shown(decision, metrics):
        metric = metrics.get(found.metric)
        if metric is None or found.metric == decision.metric or found.verdict not in _MOVED or found.ratio is None:
            continue
        if found.verdict is decision.verdict:
            agree.append(wording.effect(found))
        elif not metric.witness:
            against.append(wording.effect(found))
    if agree:
        lines += wrap(f"Agree: {'; '.join(agree[:4])}.", indent="  ", hang="    ")
    if against:
        lines += wrap(f"The other way: {'; '.join(against[:4])}.", indent="  ", hang="    ")
    return lines


def _medians(found: Comparison, metrics: Mapping[str, Metric]) -> str:
    """``0.025 -> 1.02 pages/page; ``: a ratio to next to nothing says little."""
    if found.baseline is None or found.candidate is None:
        return ""
    unit = metrics[found.metric].unit if found.metric in metrics else ""
    divisor, shown = scale_for(unit, found.baseline, found.candidate)
    return f"{number(found.baseline / divisor)} -> {number(found.candidate / divisor)} {shown}".rstrip() + "; "


def _suspects(edge: Edge, run: Run) -> list[str]:
    """The suspects, and what nothing lists: the culprit may be among that. Then how to have more, or to go on."""
    tree = edge.tree
    lines = [line for note in suspects.notes(edge) for line in wrap(f"Mind: {note}", indent="  ", hang="    ")]
    found = suspects.suspects_of(edge)
    lines += wrap(f"{suspects.heading(edge)}{':' if found else '.'}", indent="  ", hang="    ")
    for suspect in found:
        lines += wrap(_suspect(suspect), indent="    ", hang="        ")
    # Commands stand on lines of their own, to be copied.
    if suspects.asks_for_tree(edge):
        lines += ["  `--tree` lists what is missing, from a clone of Linux:", f"    {suspects.tree_command(run.id)}"]
    if tree is not None and tree.commits:
        lines += ["  To go on, commit by commit:", f"    {suspects.search_command(tree, run.id)}"]
    return lines


def _suspect(suspect: Suspect) -> str:
    change = suspect.change
    revert = "revert of " if suspect.revert else ""
    matched = ", ".join(suspect.matched) or "its words"
    return f"{suspect.score:>2}  {revert}{change.subject} ({suspects.source_of(change)}; {matched})"


def _ends(plan: BisectionPlan, evidence: Evidence, standing: Standing, metrics: Mapping[str, Metric]) -> list[str]:
    """What A/B says of the ends, and metrics that tell another story than the one followed."""
    decision = evidence.ends_decision
    if decision is None:
        return []
    leading = wording.deciding(decision)
    figures = f": {wording.figures(leading)}" if leading else f": {decision.reason}"
    lines = ["The ends"]
    lines += wrap(
        f"{_name(plan, plan.last)} against {_name(plan, 0)}: {decision.verdict}{figures}.", indent="  ", hang="    "
    )
    followed = standing.metric.name if standing.metric else None
    # Of all metrics some always differ; another story is told by one that may decide.
    telling = evidence.experiment.workload.deciding
    other = [found for found in _moved(decision, metrics) if found.metric != followed and found.metric in telling]
    mine = decision.comparisons.get(followed or "")
    if other and (mine is None or mine.verdict not in _MOVED):
        told = "; ".join(wording.effect(found) for found in other[:4])
        lines += wrap(
            f"They differ by other metrics than {followed}: {told}. That is another story, of its own edges: "
            f"--metric {other[0].metric} searches for those.",
            indent="  ",
            hang="    ",
        )
    return lines


def _moved(decision: Decision, metrics: Mapping[str, Metric]) -> list[Comparison]:
    return [found for found in wording.shown(decision, metrics) if found.verdict in _MOVED and found.ratio is not None]


def _said_of_rungs(plan: BisectionPlan, said: Iterable[tuple[int, str]]) -> Iterable[str]:
    return (f"{rungs.full_name(plan.rungs[rung])}: {note}" for rung, note in said)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    lines = [line for item in items for line in wrap(item, indent="  ", hang="    ")]
    return [title, *lines] if lines else []


def _environment(run: Run) -> list[str]:
    facts = {
        "host": "; ".join(f"{key} {value}" for key, value in run.conditions.items()),
        **wording.setting_lines(run.experiment),
        "kab": f"{run.kab_version}, seed {run.seed}",
    }
    width = max(map(len, facts))
    lines = ["Environment"]
    for name, fact in facts.items():
        if fact:
            lines += wrap(f"{name.ljust(width)}  {fact}", indent="  ", hang=" " * (width + 4))
    return lines
