"""Workloads and metrics: what runs in the guest, and what is read off it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Parameter = str | int | float | bool


class Direction(StrEnum):
    """Which way a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number with unit and direction."""

    # Key in the store and on the command line, e.g. "write_iops", "clat_p99", "queue_depth".
    name: str
    # Shown behind the number: "1/s", "MiB/s", "us", "pages/page", "".
    unit: str
    direction: Direction
    # What it is, in half a sentence.
    title: str
    # A witness shows the mechanism, not the speed.
    witness: bool = False
    # What a high or low value of a witness means, for the report; empty for speeds.
    meaning: str = ""
    # Smallest value worth telling from zero, in the metric's unit: comparisons take smaller ones as equal to it.
    floor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A fio job rendered from a template, with set-up, warm-up, iterations and metrics."""

    name: str
    title: str
    # The real application it stands for, in a sentence.
    stands_for: str
    # File name of the fio template under configs/workloads/.
    template: str
    # What the template is rendered with; `--set KEY=VALUE` overrides. Sizes in bytes, times in seconds.
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    warmup_s: float = 1.0
    # Measured seconds of each iteration.
    runtime_s: float = 4.0
    # Iterations inside one boot; their median is the boot's value.
    iterations: int = 3
    # Metrics that may decide when the user names none, most telling first.
    deciding: tuple[str, ...] = ("write_iops",)
    # Where the kernel's code behind this workload lives, and words of its commits (to rank suspects).
    subsystems: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    # Kernel modules wanted in the guest besides those of disk and filesystem.
    modules: tuple[str, ...] = ()
    # Space its files need on the test disk.
    disk_bytes: int = 0
