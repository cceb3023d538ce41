"""A matrix as a mail: what fails first, what is waived and by whom, what could not be told, and how to repeat it."""

from collections.abc import Iterator, Sequence

from harness.errors import ExitCode
from harness.model.matrix import CellResult, CellVerdict, CellView, Ending, MatrixView
from harness.model.trial import written
from harness.parse.foreign import printable
from harness.report.compare.sentences import finding_lines, kernel_line, outcome_lines
from harness.report.layout import wrap
from harness.report.matrix.cost import cell_cost, cost_line
from harness.report.matrix.words import count_words, kernels_words, metric_words, reason_words, waiver_words
from harness.report.numbers import seconds
from harness.report.wording import counted, repeat_command

WIDTH = 76
_LONGEST_SUBJECT = 120
_LONGEST_ITEM = 600
_WORDS = {
    ExitCode.GOOD: "passed",
    ExitCode.BAD: "FAILED",
    ExitCode.CANNOT_TELL: "cannot tell",
    ExitCode.HOST: "not measured in full",
    ExitCode.USAGE: "not measured in full",
}
_ENDINGS = {
    Ending.BOOTS: "The budget of boots is spent: what is inconclusive stays so.",
    Ending.TIME: "The budget of time is spent: what is inconclusive stays so.",
}
_BAD = frozenset({CellVerdict.SLOWER, CellVerdict.FAULTY})


def matrix_mail(view: MatrixView) -> str:
    """The whole mail, from its subject on, in lines of at most 76 characters but for what must not be broken."""
    sections = (
        [f"Subject: {_subject(view)}"],
        _opening(view),
        *_groups(view),
        _kernels(view.outcome.cells),
        ["Host", *wrap("; ".join(f"{k} {v}" for k, v in view.run.conditions.items()), indent="  ", width=WIDTH)],
        ["How to repeat", f"  {repeat_command(view.run)}", f"  kab report {view.run.id}"],
    )
    # Kernels, guests and users speak in it.
    return printable("\n\n".join("\n".join(lines) for lines in sections if lines), lines=True) + "\n"


def _subject(view: MatrixView) -> str:
    word = "open" if view.open else _WORDS.get(view.outcome.exit_code, "cannot tell")
    bad = [result for result in view.outcome.cells if result.exit_code is ExitCode.BAD]
    which = f" ({len(bad)} of {counted(len(view.outcome.cells), 'cell')})" if bad else ""
    said = f"[kab] {view.run.verb} {view.plan.title}: {word}{which}, {kernels_words(view)}"
    return printable(" ".join(said.split()), limit=_LONGEST_SUBJECT)


def _opening(view: MatrixView) -> list[str]:
    outcome = view.outcome
    lines = wrap(f"{count_words(outcome.cells)}.", width=WIDTH)
    lines += wrap(f"Candidate against baseline: {kernels_words(view)}.", width=WIDTH)
    lines += wrap(f"{counted(outcome.boots, 'boot')} in {seconds(outcome.duration_s)}; run {view.run.id}.", width=WIDTH)
    if view.open:
        lines += wrap("It is open: more boots may come.", width=WIDTH)
    elif outcome.ending in _ENDINGS:
        lines += wrap(_ENDINGS[outcome.ending], width=WIDTH)
    return lines


def _groups(view: MatrixView) -> Iterator[list[str]]:
    groups: dict[str, list[CellView]] = {
        title: [] for title in ("Fails", "Waived", "Not measured", "Cannot tell", "Good")
    }
    for cell in view.cells:
        groups[_group(cell.result)].append(cell)
    for title, cells in groups.items():
        told = [line for cell in cells for line in _cell(cell, short=title == "Good")]
        yield [f"{title} ({len(cells)})", *told] if cells else []


def _group(result: CellResult) -> str:
    if result.waiver is not None:
        return "Waived"
    if result.verdict in _BAD:
        return "Fails"
    if result.verdict is CellVerdict.UNMEASURED:
        return "Not measured"
    return "Cannot tell" if result.verdict is CellVerdict.INCONCLUSIVE else "Good"


def _cell(cell: CellView, *, short: bool) -> Iterator[str]:
    result = cell.result
    yield from _item(f"{result.cell}: {result.verdict}", indent=2)
    metrics = [f"{found.verdict}: {metric_words(found)}" for found in result.metrics]
    if short:
        yield from (line for said in metrics[:1] for line in _item(said, indent=4))
        return
    said = [reason_words(result), *metrics]
    cost = cell_cost(cell)
    if cost is not None and cost.machines is not None:
        said.append(cost_line(cost))
    if result.waiver is not None:
        said.append(waiver_words(result.waiver))
    if cell.run is not None:
        trials = [written(trial) for trial in cell.run.trials]
        said += [*outcome_lines(trials), *finding_lines(trials), f"kab report {cell.run.id}"]
    for one in said:
        yield from _item(one, indent=4)


def _item(text: str, *, indent: int) -> list[str]:
    text = printable(" ".join(text.split()), limit=_LONGEST_ITEM)
    return wrap(text, indent=" " * indent, hang=" " * (indent + 2), width=WIDTH)


def _kernels(results: Sequence[CellResult]) -> list[str]:
    arms: dict[str, None] = {}
    for result in results:
        for arm, kernel in (("baseline ", result.baseline), ("candidate", result.candidate)):
            if kernel is not None:
                arms[f"{arm}  {kernel_line(kernel)}"] = None
    lines = [line for said in arms for line in wrap(said, indent="  ", hang=" " * 13, width=WIDTH)]
    return ["Kernels", *lines] if lines else []
