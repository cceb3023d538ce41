"""What displays say of the cells of a matrix, in a few words."""

from harness.model.matrix import CellResult, CellVerdict, GateView, MatrixPlan, MetricVerdict
from harness.parse.foreign import printable
from harness.report.numbers import interval, percent

# Of a reason, in a line.
_LONGEST = 160
# Which of its metrics a cell is shown by: the one that says most.
_URGENCY = (CellVerdict.SLOWER, CellVerdict.INCONCLUSIVE, CellVerdict.FASTER)


def told_by(result: CellResult) -> MetricVerdict | None:
    """The metric that a cell is shown by; None where there is none with a ratio."""
    found = [metric for metric in result.metrics if metric.comparison.ratio is not None]
    return min(found, key=lambda metric: (*_URGENCY, metric.verdict).index(metric.verdict), default=None)


def effect_words(result: CellResult) -> str:
    """``write_iops -12 % (0.86 to 0.90)``; empty where nothing is measured."""
    metric = told_by(result)
    if metric is None or metric.comparison.ratio is None:
        return ""
    found = metric.comparison
    known = f" ({interval(found.low, found.high)})" if found.low is not None and found.high is not None else ""
    return f"{metric.metric} {percent(metric.comparison.ratio)}{known}"


def state_words(result: CellResult, *, undecided: bool) -> str:
    """``slower``, ``slower, waived``; of a cell that may still get boots, ``open`` or ``waiting``."""
    if undecided:
        return "open" if result.boots else "waiting"
    return f"{result.verdict}, waived" if result.waiver is not None else str(result.verdict)


def reason_line(result: CellResult) -> str:
    """Why, in a line."""
    return printable(" ".join(result.reason.split()), limit=_LONGEST)


def gate_line(view: GateView, plan: MatrixPlan | None) -> str:
    """``14 boots, 3 of 8 cells undecided, about 12 boots left``."""
    cells = len(plan.cells) if plan is not None else len(view.cells)
    left = "" if view.boots_left is None else f", about {view.boots_left} boots left"
    return f"{view.boots} boots, {len(view.undecided)} of {cells} cells undecided{left}"
