"""What other tools are told of a cell or a metric: whether it is good, bad, or nothing is known and why.

One reading for all formats. Good and waived ones alone are told as good, so that a file is good if and only if the
exit status is 0.
"""

from enum import StrEnum

from harness.errors import ExitCode
from harness.model.matrix import CellResult, CellVerdict, CellView, MetricVerdict
from harness.model.trial import Outcome
from harness.report.matrix.words import reason_words, waiver_words

_GOOD = frozenset({CellVerdict.FASTER, CellVerdict.SAME, CellVerdict.NOT_WORSE})
_BAD = frozenset({CellVerdict.SLOWER, CellVerdict.FAULTY})


class Status(StrEnum):
    """How a cell or a metric came out."""

    PASSED = "passed"
    FAILED = "failed"
    # Bad, and somebody has it.
    WAIVED = "waived"
    # Not good by itself, and its cell is good all the same: it decides nothing.
    NOTED = "noted"
    # Measured, and not decided.
    UNDECIDED = "undecided"
    # The workload failed in a healthy guest: nothing is known of the kernel.
    BROKEN = "broken"
    # The host failed; nothing is known of the kernel.
    LOST = "lost"
    # There is no such kernel (any more), or the user asked for what cannot be.
    ABSENT = "absent"

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to look."""
        return self in {Status.PASSED, Status.WAIVED, Status.NOTED}


def cell_status(view: CellView) -> Status:
    """The status of a whole cell."""
    result = view.result
    if result.waiver is not None:
        return Status.WAIVED
    if result.verdict in _GOOD:
        return Status.PASSED
    if result.verdict in _BAD:
        return Status.FAILED
    if result.verdict is CellVerdict.UNMEASURED:
        return Status.ABSENT if result.trouble is ExitCode.USAGE else Status.LOST
    return _why_undecided(view)


def _why_undecided(view: CellView) -> Status:
    outcomes = {trial.outcome for trial in view.run.trials} if view.run else set()
    if not outcomes or Outcome.OK in outcomes:
        return Status.UNDECIDED
    if outcomes & {Outcome.WORKLOAD_FAILED, Outcome.USERSPACE_DIED}:
        return Status.BROKEN
    return Status.LOST if outcomes == {Outcome.LOST} else Status.UNDECIDED


def metric_status(found: MetricVerdict, cell: Status) -> Status:
    """The status of a metric that counts, in a cell of this status; in a good cell none is told as bad."""
    if found.verdict in _GOOD:
        return Status.PASSED
    if found.verdict in _BAD:
        if found.waiver is not None or cell is Status.WAIVED:
            return Status.WAIVED
        return Status.NOTED if cell is Status.PASSED else Status.FAILED
    return Status.NOTED if cell.is_good else Status.UNDECIDED


def cell_message(result: CellResult) -> str:
    """The cell's verdict and why, in a line; of a waived one whose it is, too."""
    said = f"{result.verdict}: {reason_words(result)}"
    return f"{said}; {waiver_words(result.waiver)}" if result.waiver else said
