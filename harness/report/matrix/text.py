"""A matrix as plain text for a terminal and a mail: the verdict, the cells that somebody must look at, then counts."""

from collections.abc import Iterator, Sequence

from harness.errors import ExitCode
from harness.model.matrix import CellResult, CellVerdict, CellView, Ending, MatrixView
from harness.parse.foreign import printable
from harness.report.compare.sentences import kernel_line
from harness.report.layout import columns, wrap
from harness.report.matrix.claims import claim, leading, shared_kernels, waivers_of, word
from harness.report.matrix.cost import cell_cost, cost_line
from harness.report.matrix.words import count_words, metric_words, reason_words, waiver_words
from harness.report.numbers import interval, percent, seconds
from harness.report.wording import counted, repeat_command
from harness.workloads.registry import METRICS

_ENDINGS = {
    Ending.BOOTS: "The budget of boots is spent: what is inconclusive stays so.",
    Ending.TIME: "The budget of time is spent: what is inconclusive stays so.",
}
_BAD = frozenset({CellVerdict.SLOWER, CellVerdict.FAULTY})
_TITLES = ("Fails", "Waived", "Not measured", "Cannot tell")
# Cells of one kind that are told one by one; a report of all cells has every one.
_MOST_TOLD = 40


def matrix_summary(view: MatrixView, *, all_cells: bool = False) -> str:
    """The whole summary, lines of at most 96 characters (but for what must not be broken), without a last newline.

    Cells that are good are told as a number; `all_cells`: a table of all of them, too.
    """
    sections = (
        _verdict(view),
        *_groups(view),
        _table(view) if all_cells else [],
        _counts(view, all_cells=all_cells),
        _setting(view),
        ["How to repeat", f"  {repeat_command(view.run)}"],
    )
    # Kernels, guests and users speak in it.
    return printable("\n\n".join("\n".join(lines) for lines in sections if lines), lines=True)


def _verdict(view: MatrixView) -> list[str]:
    said = word(view)[0].upper()
    return [f"kab {view.run.verb} {view.run.id}: {said}", *wrap(f"{claim(view)}.")]


def _groups(view: MatrixView) -> Iterator[list[str]]:
    """A section for each kind of cell that somebody must look at."""
    groups: dict[str, list[CellView]] = {title: [] for title in _TITLES}
    waiting = 0
    for cell in view.cells:
        title = _title(cell.result)
        if view.open and title == "Cannot tell" and cell.run is None:
            waiting += 1
        elif title:
            groups[title].append(cell)
    for title, cells in groups.items():
        if not cells:
            continue
        lines = [f"{'Open' if view.open and title == 'Cannot tell' else title} ({len(cells)})"]
        for cell in cells[:_MOST_TOLD]:
            lines += _cell(cell)
        if len(cells) > _MOST_TOLD:
            lines.append(f"  and {counted(len(cells) - _MOST_TOLD, 'more cell')}: kab report {view.run.id} --all")
        yield lines
    if waiting:
        yield [f"{counted(waiting, 'cell')} not begun."]


def _title(result: CellResult) -> str:
    """The section of a cell; "" for a good one."""
    if result.waiver is not None:
        return "Waived"
    if result.verdict in _BAD:
        return "Fails"
    if result.verdict is CellVerdict.UNMEASURED:
        return "Not measured"
    return "Cannot tell" if result.verdict is CellVerdict.INCONCLUSIVE else ""


def _cell(cell: CellView) -> list[str]:
    """Name, verdict and reason; of the metrics those that say what the cell says, with their intervals; its cost."""
    result = cell.result
    lines = wrap(f"{result.cell}: {result.verdict}", indent="  ", hang="      ")
    told = [found for found in result.metrics if found.verdict is result.verdict] or list(result.metrics)
    if result.verdict is CellVerdict.FAULTY:
        told = []
    said = [metric_words(found) for found in told]
    if result.verdict is not CellVerdict.SLOWER or not said:
        said.insert(0, reason_words(result))
    cost = cell_cost(cell)
    if cost is not None and cost.machines is not None:
        said.append(cost_line(cost))
    said += [waiver_words(waiver) for waiver in waivers_of(result)]
    if result.run_id is not None:
        said.append(f"kab report {result.run_id}")
    return lines + [line for one in said for line in wrap(one, indent="    ", hang="      ")]


def _table(view: MatrixView) -> list[str]:
    rows = [("cell", "verdict", "boots", "metric", "effect", "interval")]
    for cell in view.cells:
        result = cell.result
        found = leading(result, METRICS)
        rows.append(
            (
                result.cell,
                f"{result.verdict}, waived" if result.waiver is not None else str(result.verdict),
                str(result.boots or "-"),
                found.metric if found else "-",
                percent(found.comparison.ratio) if found and found.comparison.ratio is not None else "-",
                interval(found.comparison.low, found.comparison.high) if found else "-",
            )
        )
    return ["All cells", *(f"  {line}" for line in columns(rows, left={0, 1, 3}))]


def _counts(view: MatrixView, *, all_cells: bool) -> list[str]:
    outcome = view.outcome
    good = sum(result.exit_code is ExitCode.GOOD and result.waiver is None for result in outcome.cells)
    lines = wrap(f"{count_words(outcome.cells)}.")
    if good and not all_cells:
        lines += wrap(f"Good ones are not listed: kab report {view.run.id} --all does.")
    lines.append(f"{counted(outcome.boots, 'boot')} in {seconds(outcome.duration_s)}.")
    if view.open:
        lines.append("More boots may come: the same command continues.")
    elif outcome.ending in _ENDINGS:
        lines += wrap(_ENDINGS[outcome.ending])
    return lines


def _setting(view: MatrixView) -> list[str]:
    kernels: dict[str, str] = {}
    shared = shared_kernels(view)
    if shared is not None:
        kernels = dict(zip(("baseline", "candidate"), map(kernel_line, shared), strict=True))
    facts = {
        "matrix": view.plan.title,
        **kernels,
        "host": "; ".join(f"{key} {value}" for key, value in view.run.conditions.items()),
        "kab": f"{view.run.kab_version}, seed {view.run.seed}",
    }
    return ["Environment", *_facts(facts)]


def _facts(facts: dict[str, str]) -> Sequence[str]:
    width = max(map(len, facts))
    return [
        line
        for name, fact in facts.items()
        for line in wrap(f"{name.ljust(width)}  {fact}", indent="  ", hang=" " * (width + 4))
    ]
