"""What a search over a ladder found: plain text, made to be pasted into a mail."""

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from harness.bisect.evidence import Evidence
from harness.bisect.view import Standing
from harness.model.bisection import BisectionOutcome, BisectionPlan, Edge, RungState
from harness.model.run import Run
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.report import wording
from harness.report.layout import columns, wrap
from harness.report.numbers import NOTHING, number
from harness.report.search import rungs, sentences, suspects
from harness.report.search.options import effect_sentence
from harness.report.search.reasons import followed_words

# Longer strips are shortened where kernels were not booted, and broken over lines.
_STRIP_WIDTH = 80
# Commits that are named of a set that could not be told apart.
_SET_SHOWN = 20
_LONG_STRETCH = 6
_NOT_BOOTED = "fs."
_LEGEND = "F fast, S slow, ? neither yet, x skipped; f, s believed so without a boot; . unknown"
_STATES = {RungState.UNKNOWN: ""}


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
        _ends(evidence, standing, metrics),
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


def _headline(run: Run, plan: BisectionPlan, outcome: BisectionOutcome | None, standing: Standing) -> list[str]:
    word = str(outcome.answer).upper() if outcome else "OPEN"
    lines = [f"kab bisect {run.id}: {word}"]
    for edge in outcome.edges if outcome else standing.edges:
        lines += wrap(f"{sentences.place(plan, edge)}.", indent="  ")
    lines += wrap(f"{sentences.why(plan, outcome, standing)}.")
    if standing.metric is not None:
        lines += wrap(f"Metric: {standing.metric.name}, {followed_words(standing.metric)}.")
    if standing.result is not None:
        lines += wrap(f"{sentences.believed(standing)}.")
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
    plan, culprit = evidence.plan, edge.culprit
    lines = wrap(sentences.edge_title(plan, edge))
    if culprit is not None:
        by = f"By {culprit.author} <{culprit.email}>, {culprit.date[:10]}; rung {edge.after}."
        lines += wrap(by, indent="  ")
    if edge.options is not None:
        lines += wrap(f"What the step did: {effect_sentence(edge.options)}.", indent="  ", hang="    ")
    if apart := sentences.apart(edge):
        lines += wrap(f"{apart}.", indent="  ")
        between = plan.rungs[edge.before + 1 : edge.after + 1]
        if rungs.has_commits(plan):
            lines += [f"    {rungs.full_name(rung)}" for rung in between[:_SET_SHOWN]]
            lines += [f"    and {len(between) - _SET_SHOWN} more"] if len(between) > _SET_SHOWN else []
    decision = evidence.decision_of(edge.proof_run)
    lines += wrap(f"{sentences.proof(edge, decision, metrics)}.", indent="  ", hang="    ")
    if reading := sentences.reading(decision, metrics):
        lines += wrap(f"{reading}.", indent="    ")
    for told in sentences.other_metrics(decision, metrics):
        lines += wrap(f"{told}.", indent="  ", hang="    ")
    if edge.revert_test is not None:
        said = sentences.revert_test(plan, edge, evidence.decision_of(edge.revert_test.run))
        lines += wrap(f"Revert test: {said}", indent="  ", hang="    ")
    if not plan.built:
        lines += _suspects(edge, run)
    return lines


def _suspects(edge: Edge, run: Run) -> list[str]:
    """The suspects, and what nothing lists: the culprit may be among that. Then how to have more, or to go on."""
    lines = [line for note in suspects.notes(edge) for line in wrap(f"Mind: {note}", indent="  ", hang="    ")]
    found = suspects.suspects_of(edge)
    lines += wrap(f"{suspects.heading(edge)}{':' if found else '.'}", indent="  ", hang="    ")
    for suspect in found:
        lines += wrap(suspects.suspect_line(suspect), indent="    ", hang="        ")
    for what, command in suspects.commands(edge, run.id):
        # Commands stand on lines of their own, to be copied.
        lines += [f"  {what}:", f"    {command}"]
    return lines


def _ends(evidence: Evidence, standing: Standing, metrics: Mapping[str, Metric]) -> list[str]:
    """What A/B says of the ends, and metrics that tell another story than the one followed."""
    said = sentences.ends(evidence)
    if not said:
        return []
    told = (f"{said}.", sentences.another_story(evidence, standing, metrics))
    return ["The ends", *(line for one in told for line in wrap(one, indent="  ", hang="    "))]


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
