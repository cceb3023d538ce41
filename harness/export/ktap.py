"""A matrix as KTAP, version 1, as the kernel's own tests write it: a test for each cell, its metrics nested in it.

See Documentation/dev-tools/ktap.rst of Linux. What could not be told or measured has the directive ERROR, what is
waived SKIP.
"""

import re
from collections.abc import Iterator

from harness.export.evidence import FINISHED, OPEN, cell_lines, run_facts
from harness.export.statuses import Status, cell_message, cell_status, metric_status
from harness.model.matrix import CellView, MatrixView
from harness.parse.foreign import printable
from harness.parse.names import NameForm, name_of
from harness.report.matrix.words import metric_words, waiver_words

_INDENT = "  "
_LONGEST_LINE = 400
# Where these stand, the kernel's own reader believes that the log is over.
_ENDS = re.compile("(List of all partitions|Kernel panic - not syncing: VFS|reboot): ?")


def to_ktap(view: MatrixView) -> str:
    """The matrix as lines of KTAP."""
    count = len(view.cells)
    lines = ["KTAP version 1", f"1..{count + view.open}"]
    lines += [_diagnostic(f"{name}: {value}") for name, value in run_facts(view).items()]
    for number, cell in enumerate(view.cells, start=1):
        lines += _cell(cell, number)
    if view.open:
        lines.append(_result(count + 1, FINISHED, Status.UNDECIDED, OPEN))
    return "\n".join(lines) + "\n"


def _cell(cell: CellView, number: int) -> Iterator[str]:
    name, status = name_of(NameForm.LINE, cell.cell.name), cell_status(cell)
    if cell.result.metrics:
        head = ["KTAP version 1", f"# Subtest: {name}", f"1..{len(cell.result.metrics)}"]
        yield from (f"{_INDENT}{line}" for line in head)
        for place, found in enumerate(cell.result.metrics, start=1):
            said = metric_words(found)
            message = f"{found.verdict}: {said}; {waiver_words(found.waiver)}" if found.waiver else said
            metric = name_of(NameForm.LINE, found.metric)
            yield f"{_INDENT}{_result(place, metric, metric_status(found, status), message)}"
    if not status.is_good:
        yield from map(_diagnostic, cell_lines(cell))
    yield _result(number, name, status, cell_message(cell.result))


def _result(number: int, name: str, status: Status, message: str) -> str:
    result = "ok" if status.is_good else "not ok"
    directives = {Status.PASSED: "", Status.FAILED: "", Status.WAIVED: "SKIP ", Status.NOTED: "SKIP "}
    return f"{result} {number} {name} # {directives.get(status, 'ERROR ')}{_line(message.replace('#', ' '))}"


def _diagnostic(text: str) -> str:
    # What begins otherwise could be read as the head of a test.
    return f"# kab: {_line(text)}"


def _line(text: str) -> str:
    return _ENDS.sub(r"\1 : ", printable(" ".join(text.split()), limit=_LONGEST_LINE))
