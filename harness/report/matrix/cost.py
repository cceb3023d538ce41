"""What a cell's difference costs, in terms of a budget: hours for each TiB, and machines for the same work.

Pure arithmetic on a comparison: with a bandwidth B in MiB/s, 1 TiB takes 2^20 / B seconds; where the candidate does r
times the work of the baseline in the same time, the same work needs 1 / r times the machines.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.model.experiment import Experiment
from harness.model.guest import MIB, Accelerator
from harness.model.matrix import CellVerdict, CellView
from harness.model.run import Run
from harness.model.verdict import Comparison
from harness.model.workload import Workload
from harness.report.numbers import interval, level, number

_MIB_OF_A_TIB = 2**20
# Parameters of workloads that say how large each request is.
_BLOCK_SIZES = ("block_size", "block_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the same work takes on either kernel."""

    # What is done: "writing" or "reading".
    doing: str
    # The metric that it is computed from.
    metric: str
    # Hours for a TiB; None where they are unknown or, under emulation, mean nothing.
    baseline_h: float | None
    candidate_h: float | None
    # Machines that do on the candidate what one does on the baseline; None unless a difference is shown.
    machines: float | None = None
    # Their interval at the level 1 - error.
    low: float = math.nan
    high: float = math.nan
    error: float = math.nan
    emulated: bool = False


def cost_of(
    experiment: Experiment, comparisons: Mapping[str, Comparison], *, counting: Collection[str] = (), emulated: bool
) -> Cost | None:
    """The cost by the work that the cell is about; None where no boot gave a speed of reads or writes.

    That is what its first deciding read or write does. Of its speeds those that count (`counting`) go first, so that
    the sentence does not speak of another metric than the verdict, then the bandwidth.
    """
    for doing, prefix in _order(experiment.workload):
        factors = {f"{prefix}_bandwidth": 1.0, f"{prefix}_iops": _block_mib(experiment.workload)}
        for name in sorted(factors, key=lambda name: name not in counting):
            found = comparisons.get(name)
            if found is not None and (found.ratio or found.baseline or found.candidate):
                return _cost(doing, found, factors[name], emulated=emulated)
    return None


def cell_cost(view: CellView) -> Cost | None:
    """The cost of a cell whose speed is told; None of one that fails or was not measured."""
    if view.run is None or view.result.verdict in {CellVerdict.FAULTY, CellVerdict.UNMEASURED}:
        return None
    counting = {one.metric: one.comparison for one in view.result.metrics}
    known = {**(view.decision.comparisons if view.decision else {}), **counting}
    return cost_of(view.cell.experiment, known, counting=counting, emulated=is_emulated(view.run))


def is_emulated(run: Run | None) -> bool:
    """Whether the guests of a run were emulated: absolute figures mean little then."""
    return run is not None and run.conditions.get("accelerator") == Accelerator.TCG


def cost_line(cost: Cost) -> str:
    """One sentence for who pays for machines."""
    noun = {"writing": "writes", "reading": "reads"}[cost.doing]
    hours = ""
    if cost.baseline_h is not None and cost.candidate_h is not None:
        hours = (
            f"{cost.doing.capitalize()} 1 TiB takes {_time(cost.baseline_h)} on the baseline and "
            f"{_time(cost.candidate_h)} on the candidate"
        )
    if cost.machines is None:
        told = f"{hours}; no difference" if hours else f"No difference in what the same {noun} need"
        return f"{told} is shown.{_why_no_hours(cost)}"
    needs = (
        f"the same {noun} need {number(cost.machines)} machines instead of 1 "
        f"({level(cost.error)} interval {interval(cost.low, cost.high)})"
    )
    return f"{hours}: {needs}." if hours else f"{needs[0].upper()}{needs[1:]}.{_why_no_hours(cost)}"


def _why_no_hours(cost: Cost) -> str:
    return " Hours are not told: under emulation only ratios hold." if cost.emulated else ""


def _order(workload: Workload) -> list[tuple[str, str]]:
    """Writes first, unless what decides first is a read."""
    both = [("writing", "write"), ("reading", "read")]
    first = next((name for name in workload.deciding if name.startswith(("write_", "read_"))), "write_")
    return both if first.startswith("write_") else both[::-1]


def _block_mib(workload: Workload) -> float | None:
    """Size of a request in MiB, where the workload says it."""
    for name in _BLOCK_SIZES:
        size = workload.parameters.get(name)
        if isinstance(size, int) and not isinstance(size, bool) and size > 0:
            return size / MIB
    return None


def _cost(doing: str, found: Comparison, mib: float | None, *, emulated: bool) -> Cost:
    def hours(rate: float | None) -> float | None:
        if emulated or mib is None or rate is None or not math.isfinite(rate) or rate <= 0:
            return None
        return _MIB_OF_A_TIB / (rate * mib) / 3600.0

    machines, low, high = None, math.nan, math.nan
    if found.ratio and found.low and found.high and (found.low > 1.0 or found.high < 1.0):
        machines, low, high = 1.0 / found.ratio, 1.0 / found.high, 1.0 / found.low
    return Cost(
        doing=doing,
        metric=found.metric,
        baseline_h=hours(found.baseline),
        candidate_h=hours(found.candidate),
        machines=machines,
        low=low,
        high=high,
        error=found.error,
        emulated=emulated,
    )


def _time(hours: float) -> str:
    return f"{number(hours)} h" if hours >= 0.1 else f"{number(hours * 60)} min"
