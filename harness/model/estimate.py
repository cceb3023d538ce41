"""What a matrix will take, as far as that can be told before anything boots."""

from dataclasses import dataclass

from harness.model.guest import Accelerator
from harness.model.matrix import Cell, MatrixPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTime:
    """How long a boot takes, and how that is known."""

    accelerator: Accelerator
    # Seconds of a trial besides warm-up and measured iterations: a median of stored trials, or an assumption.
    besides_s: float
    # Stored trials that it is the median of; 0: it is assumed.
    trials: int
    # Who says which accelerator it is, in words.
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From the fewest to the most boots, and the seconds that they take."""

    boots_least: int
    boots_most: int
    time_least_s: float
    time_most_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEstimate:
    """One cell as an A/B comparison of its own."""

    cell: Cell
    range: Range
    # Of one boot.
    boot_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What is needed at once, as one guest runs at a time; bytes."""

    # Files in the state folder, behind disks with backend=file.
    disk_files: int
    # Memory of the host: the guest's own, and disks with backend=nbd.
    memory: int
    # Results, at most: artifacts as they are before they are packed. None: no stored run tells.
    results: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixEstimate:
    """A matrix, or some cells of it, with what it will take."""

    # With the chosen cells; kernels that nobody names yet are "".
    plan: MatrixPlan
    # Of the file.
    all_cells: int
    # Kernel specs that `kab nightly` measures the newest of.
    series: tuple[str, ...]
    cells: tuple[CellEstimate, ...]
    # Every cell as a comparison of its own (`kab run`).
    run: Range
    # With the policy of the file (`kab gate`); of one series, for `kab nightly`.
    gate: Range
    boot_time: BootTime
    space: Space
