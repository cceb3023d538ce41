"""The short summary at the end of a run: plain text, made to be pasted into a mail."""

from collections.abc import Iterable, Mapping, Sequence

from harness.model.experiment import BlockPlace
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.report import wording
from harness.report.compare import sentences
from harness.report.decisions import choice_words, decision_reason
from harness.report.layout import columns, wrap
from harness.report.numbers import interval, level, number, ratio, scale_for
from harness.report.witness import explain

_HEADINGS = ("metric", "unit", "baseline", "candidate", "ratio", "interval", "verdict")
# Keys of a guest's environment that belong into a mail, behind what the workload says of its program.
_TELLING = ("mount", "clocksource", "queue.scheduler")


def summary(
    run: Run, decision: Decision | None, trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric]
) -> str:
    """The whole summary, lines of at most 96 characters (but for what must not be broken), without a last newline."""
    sections = (
        _verdict(run, decision, metrics),
        _table(decision, metrics),
        _section("What the witnesses say", _witnesses(decision, metrics)),
        _section("Boots that gave no figures", sentences.outcome_lines(trials)),
        _section("Seen in the kernel logs", sentences.finding_lines(trials)),
        _section("Mind", sentences.note_lines(decision, metrics)),
        _environment(run, trials),
        ["How to repeat", f"  {wording.repeat_command(run)}"],
    )
    # Kernels, guests and packages speak in it; wrapped lines have lost their line feeds by now.
    return printable("\n\n".join("\n".join(lines) for lines in sections if lines), lines=True)


def _verdict(run: Run, decision: Decision | None, metrics: Mapping[str, Metric]) -> list[str]:
    word = str(decision.verdict).upper() if decision else "OPEN"
    lines = [f"kab {run.verb} {run.id}: {word}", *wrap(f"{sentences.headline(run, decision, metrics)}.")]
    if decision is not None:
        lines += wrap(f"Why: {decision_reason(decision)}.")
        if decision.metric is not None:
            lines += wrap(f"Deciding metric: {decision.metric}, {choice_words(decision)}.")
    return lines


def _table(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[str]:
    comparisons = wording.shown(decision, metrics)
    if decision is None or not comparisons:
        return []
    rows = [_HEADINGS, *(_row(found, metrics.get(found.metric)) for found in comparisons)]
    lines = []
    for index, cells in enumerate(columns(rows, left={0, 1, 6})):
        mark = "*" if index and comparisons[index - 1].metric == decision.metric else " "
        lines.append(f"{mark} {cells}")
    return [*lines, *wrap(_levels(comparisons, decision.metric), indent="  ")]


def _row(found: Comparison, metric: Metric | None) -> tuple[str, ...]:
    factor, unit = scale_for(metric.unit if metric else "", found.baseline, found.candidate)
    return (
        found.metric,
        unit,
        number(None if found.baseline is None else found.baseline / factor),
        number(None if found.candidate is None else found.candidate / factor),
        ratio(found.ratio),
        interval(found.low, found.high),
        wording.verdict_word(found, metric),
    )


def _levels(comparisons: Sequence[Comparison], metric: str | None) -> str:
    by_level: dict[str, list[str]] = {}
    for found in comparisons:
        by_level.setdefault(level(found.error), []).append(found.metric)
    usual = max(by_level, key=lambda text: len(by_level[text]))
    parts = [f"{text} for {', '.join(names)}" for text, names in by_level.items() if text != usual]
    parts.append(f"{usual} for {'the others' if parts else 'each metric'}")
    starred = "* decides. " if metric else ""
    return f"{starred}Medians over boots; ratio = candidate / baseline; intervals of {'; '.join(parts)}."


def _witnesses(decision: Decision | None, metrics: Mapping[str, Metric]) -> Iterable[str]:
    for found in wording.shown(decision, metrics):
        metric = metrics.get(found.metric)
        if metric is not None and metric.witness:
            moved = f"{number(found.baseline)} -> {number(found.candidate)}"
            yield f"{metric.name} {moved} ({metric.title}): {explain(metric, found.baseline, found.candidate)}"


def _section(title: str, items: Iterable[str]) -> list[str]:
    lines = [line for item in items for line in wrap(item, indent="  ", hang="    ")]
    return [title, *lines] if lines else []


def _environment(run: Run, trials: Sequence[Trial[BlockPlace]]) -> list[str]:
    common = wording.common_environment(trials)
    telling = (run.experiment.workload.kind, *_TELLING)
    facts = {
        "baseline": sentences.kernel_line(run.baseline),
        "candidate": sentences.kernel_line(run.candidate),
        "host": "; ".join(f"{key} {value}" for key, value in run.conditions.items()),
        **wording.setting_lines(run.experiment),
        "in guests": "; ".join(f"{key} {common[key]}" for key in telling if key in common),
        "kab": f"{run.kab_version}, seed {run.seed}",
        "part of": f"{run.parent.run_id}, its {run.parent.role.words} {run.parent.place}" if run.parent else "",
    }
    width = max(map(len, facts))
    lines = ["Environment"]
    for name, fact in facts.items():
        if fact:
            lines += wrap(f"{name.ljust(width)}  {fact}", indent="  ", hang=" " * (width + 4))
    return lines
