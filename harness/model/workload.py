"""Workloads and metrics: what runs in the guest, and what is read off it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.stored import LATER

Parameter = str | int | float | bool

# The kind of a workload that names none: the only one that there was at first.
FIRST_KIND = "fio"


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
    # False: shown only, no verdict may come of it (what was measured outside the measured iterations).
    decides: bool = True

    @property
    def role(self) -> str:
        """What it is for: "deciding", "witness", "witness, never deciding" or "shown only"."""
        if self.witness:
            return "witness" if self.decides else "witness, never deciding"
        return "deciding" if self.decides else "shown only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs in a guest, as its file says: of a kind, with warm-up, iterations and metrics that decide."""

    name: str
    title: str
    # The real application it stands for, in a sentence.
    stands_for: str
    # What the kind makes its job of: a name in configs/workloads/, or a path; "" where it needs none.
    template: str = ""
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
    # Its kind, see harness.workloads.registry.
    kind: str = field(default=FIRST_KIND, metadata={LATER: True})
    # What the kind's own keys say: key -> texts.
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict, metadata={LATER: True})
    # The user's file that it came of, "" for one that ships with kab; for "how to repeat", and no part of what it is.
    file: str = field(default="", metadata={LATER: True})
