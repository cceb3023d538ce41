"""What goes with a cell into every format: facts of run and cell, boots that failed, and the kernel's log of those."""

from collections.abc import Iterator

from harness.model.matrix import CellView, MatrixView
from harness.model.run import KernelRecord
from harness.model.trial import Finding, written
from harness.parse.foreign import printable
from harness.report.compare.sentences import finding_lines, kernel_line, outcome_lines
from harness.report.matrix.words import count_words, metric_words, waiver_words
from harness.report.wording import repeat_command, setting_lines

# Of the kernel's log, of one cell: the first findings, each with its trace.
_MOST_FINDINGS = 5
_LONGEST_EXCERPT = 4096
# Of a matrix that is not finished: the test that fails until it is, and why.
FINISHED = "finished"
OPEN = "the run is not finished: more boots may come"


def run_facts(view: MatrixView) -> dict[str, str]:
    """What the whole run is: names to texts."""
    return {
        "run": view.run.id,
        "verb": view.run.verb,
        "title": view.plan.title,
        "state": "open" if view.open else "finished",
        "exit_code": str(int(view.exit_code)),
        "cells": count_words(view.outcome.cells),
        "boots": str(view.outcome.boots),
        "kab_version": view.run.kab_version,
        "repeat": repeat_command(view.run),
        **{f"host.{name}": value for name, value in view.run.conditions.items()},
    }


def cell_facts(cell: CellView) -> dict[str, str]:
    """What a cell is: its axes, its setting, its kernels and how to repeat it."""
    result = cell.result
    facts = {f"axis.{axis}": label for axis, label in cell.cell.axes.items()}
    facts |= {"verdict": str(result.verdict), "reason": result.reason, "boots": str(result.boots)}
    facts |= setting_lines(cell.cell.experiment)
    for arm, kernel in (("baseline", result.baseline), ("candidate", result.candidate)):
        if kernel is not None:
            facts[arm] = kernel_line(kernel)
    if result.fails:
        facts["fails"] = " ".join(result.fails)
    if result.waiver is not None:
        facts["waiver"] = waiver_words(result.waiver)
    if cell.run is not None:
        facts |= {"run": cell.run.id, "repeat": repeat_command(cell.run)}
    return facts


def cell_lines(cell: CellView) -> Iterator[str]:
    """What happened in a cell, for people: its metrics, the boots that failed, what the kernels logged, and traces."""
    yield from (f"{found.verdict}: {metric_words(found)}" for found in cell.result.metrics)
    if cell.run is not None:
        trials = [written(trial) for trial in cell.run.trials]
        yield from outcome_lines(trials)
        yield from finding_lines(trials)
    for finding in findings(cell):
        yield from excerpt(finding).splitlines()


def findings(cell: CellView) -> list[Finding]:
    """One of each kind of finding in the kernels' logs, in the order in which they came; the first few."""
    seen: dict[str, Finding] = {}
    for trial in cell.run.trials if cell.run else ():
        for finding in trial.findings:
            seen.setdefault(finding.signature, finding)
    return list(seen.values())[:_MOST_FINDINGS]


def excerpt(finding: Finding) -> str:
    """The lines of a finding in the kernel's log, fit to be shown."""
    return printable(finding.excerpt, lines=True, limit=_LONGEST_EXCERPT)


def duration_s(cell: CellView) -> float:
    """Time that the boots of a cell took."""
    return sum(trial.duration_s for trial in cell.run.trials) if cell.run else 0.0


def kernels(view: MatrixView) -> dict[str, KernelRecord]:
    """The kernels of all cells by their content's digest."""
    found = {}
    for cell in view.cells:
        for kernel in (cell.result.baseline, cell.result.candidate):
            if kernel is not None:
                found[kernel.digest] = kernel
    return found
