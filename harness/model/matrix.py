"""A matrix: many experiments in one file, what a gate demands of them, and what came of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from harness.errors import ExitCode
from harness.model.experiment import Experiment
from harness.model.run import KernelRecord, Run
from harness.model.verdict import Comparison, Decision

# Verbs of runs that are a matrix: their trials are those of their cells, which are A/B runs inside them.
MATRIX_VERBS = frozenset({"run", "gate", "nightly"})
# Of a cell's name, in characters: the column that holds it is no larger.
LONGEST_CELL_NAME = 200
# The axis of cells that are measured on each of several series, whose label begins their names (`kab nightly`).
SERIES_AXIS = "series"


class FailKind(StrEnum):
    """What of a candidate fails a gate, whatever its speed."""

    # It does not boot, crashes, hangs, or the workload fails on it and not on the baseline.
    FAULT = "fault"
    # Its log shows a kind of warning that the baseline's does not.
    WARNING = "warning"
    # What was read back differs from what was written, or the filesystem's check failed.
    DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """What a candidate must not be, and with which errors that is told. Fractions throughout."""

    # Metric (or pattern of metrics) -> how much worse it may be. Empty: each speed that the cell's workload lets
    # decide, at the cell's own margin.
    margins: Mapping[str, float] = field(default_factory=dict)
    # Probability that any metric of any cell is called worse while none is worse than its margin (family-wise).
    error: float = 0.05
    # Probability, for each metric of a cell, that it is cleared while it is worse than its margin.
    miss: float = 0.05
    # The budget over all cells; None: what the cells allow, and no limit of time.
    max_boots: int | None = None
    max_time_s: float | None = None
    fails: tuple[FailKind, ...] = tuple(FailKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A bound that somebody owns until a day or a kernel version: up to there, a worse cell does not fail the gate."""

    # Shell patterns of cell names and of metrics.
    cells: str
    metrics: str
    # "Not worse than this": a fraction; None: however much worse it is, and whatever it fails.
    bound: float | None
    owner: str
    reason: str
    # It holds up to and with this day, or for candidates before this version; one of both is set.
    until: date | None = None
    until_version: str | None = None
    # FILE:LINE that says so.
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One experiment of a matrix."""

    # Unique in its matrix, and the same in each night's: "shared-dio/btrfs/nvme". Printable, at most
    # LONGEST_CELL_NAME characters.
    name: str
    # Axis -> label of the cell's entry on it, in the order of the file.
    axes: Mapping[str, str]
    experiment: Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixPlan:
    """What a run of a matrix measures; with the kernels and conditions, its identity."""

    # Name of the matrix: the file's own, or its stem.
    title: str
    cells: tuple[Cell, ...]
    # None: every cell is an A/B comparison with an error of its own.
    policy: GatePolicy | None = None
    waivers: tuple[Waiver, ...] = ()


class CellVerdict(StrEnum):
    """What came of a cell, or of a metric of it."""

    FASTER = "faster"
    SAME = "same"
    # In a gate: worse than its margin.
    SLOWER = "slower"
    # In a gate: not worse than its margin.
    NOT_WORSE = "not-worse"
    INCONCLUSIVE = "inconclusive"
    # The candidate fails, or has new warnings; the metrics do not matter.
    FAULTY = "faulty"
    # The host failed, or the kernel cannot be had (any more): nothing is said of a kernel.
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVerdict:
    """One metric that counts, in one cell."""

    metric: str
    # How much worse it may be, a fraction.
    margin: float
    verdict: CellVerdict
    comparison: Comparison
    # The waiver that covers a worse one.
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What came of one cell. While its matrix is open, what is known by now."""

    cell: str
    verdict: CellVerdict
    # Why, in a sentence for people.
    reason: str
    # Of an A/B comparison all deciding metrics; of a gate those that count.
    metrics: tuple[MetricVerdict, ...] = ()
    # Id of the cell's A/B run; None where there is none.
    run_id: str | None = None
    # The kernels as they were found; None where they were not.
    baseline: KernelRecord | None = None
    candidate: KernelRecord | None = None
    boots: int = 0
    # How a candidate fails, where it does.
    fails: tuple[FailKind, ...] = ()
    # The waiver that covers whatever fails here.
    waiver: Waiver | None = None
    # Of an unmeasured cell: what the user mends (USAGE) or the host's trouble (HOST).
    trouble: ExitCode | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The status of this cell alone, by a gate's rules; a waived one is good."""
        if self.waiver is not None:
            return ExitCode.GOOD
        if self.verdict in {CellVerdict.SLOWER, CellVerdict.FAULTY}:
            return ExitCode.BAD
        if self.verdict is CellVerdict.UNMEASURED:
            return self.trouble or ExitCode.HOST
        return ExitCode.CANNOT_TELL if self.verdict is CellVerdict.INCONCLUSIVE else ExitCode.GOOD


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The status that several make together: bad goes before trouble, and trouble before doubt."""
    found = set(codes)
    order = (ExitCode.BAD, ExitCode.HOST, ExitCode.USAGE, ExitCode.CANNOT_TELL)
    return next((code for code in order if code in found), ExitCode.GOOD)


class Ending(StrEnum):
    """Why a matrix makes no further boot."""

    # Every cell is decided, or has made its own boots.
    DONE = "done"
    # The budget of the whole matrix is spent.
    BOOTS = "boots"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOutcome:
    """What came of a matrix, cells in the plan's order."""

    cells: tuple[CellResult, ...]
    ending: Ending = Ending.DONE
    boots: int = 0
    duration_s: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """The status for scripts: 1 if any cell is bad, else that of trouble, else 125 if any is open, else 0."""
        return worst(result.exit_code for result in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """Where a gate stands, for displays."""

    # What is known of each cell by now, in the plan's order; and the cells that may still get boots.
    cells: tuple[CellResult, ...]
    undecided: frozenset[str]
    boots: int = 0
    spent_s: float = 0.0
    # Boots expected until all is decided or the budget ends; None where nobody can tell yet.
    boots_left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellView:
    """A cell with all that is stored of it, for those who tell of it."""

    cell: Cell
    result: CellResult
    # With its trials, without artifacts; None where nothing was measured.
    run: Run | None = None
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixView:
    """A stored matrix with its cells, for those who tell of it. An A/B run alone is told as one of a single cell."""

    run: Run
    plan: MatrixPlan
    outcome: MatrixOutcome
    cells: tuple[CellView, ...]
    # Whether more boots may come.
    open: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The outcome's status; nothing is good while more boots may come."""
        code = self.outcome.exit_code
        return ExitCode.CANNOT_TELL if self.open and code is ExitCode.GOOD else code
