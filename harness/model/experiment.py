"""An experiment: kernels, guest, disk, filesystem and workload, and the error the user allows."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Self, TypeVar

from harness.model.guest import DiskSpec, FilesystemSpec, GuestSpec
from harness.model.workload import Workload

# A disk slow enough to show on any machine whether its requests run one after another or at once.
DEFAULT_DISK = DiskSpec(latency_s=0.002)
# Without checksums Btrfs can write directly; with them kernels since 6.15 fall back to buffered writes.
DEFAULT_FILESYSTEM = FilesystemSpec(mount_options=("nodatacow",))


class Arm(StrEnum):
    """The two sides of a comparison."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What the user asked for. Its digest (see harness.plan) is its identity."""

    # Kernel specs as the user wrote them.
    baseline: str
    candidate: str
    workload: Workload
    disk: DiskSpec = DEFAULT_DISK
    filesystem: FilesystemSpec = DEFAULT_FILESYSTEM
    guest: GuestSpec = field(default_factory=GuestSpec)
    # Name of the deciding metric, or "auto": chosen among workload.deciding by separation, paid for in the error.
    metric: str = "auto"
    # Equivalence margin as a fraction: ratios within [1/(1+margin), 1+margin] are "same".
    margin: float = 0.05
    # Allowed probability of a wrong verdict.
    error: float = 0.01
    # Cap on boots of both arms together that count (lost ones are replaced, see harness.plan).
    max_boots: int = 40
    # None: drawn anew for each run, and stored.
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlace:
    """Where a boot stands in an A/B comparison: (block, order), and which try at it."""

    block: int
    # 0 or 1: which of the block's two boots this is.
    order: int
    arm: Arm
    # 0 for the first try; replacements of lost trials and confirmations of crashes count up.
    attempt: int = 0

    @property
    def written(self) -> "BlockPlace":
        """As rows of the store, logs and JSON write it: as it is."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RungPlace:
    """Where a boot stands on a ladder: the rung, and which boot of that rung. A classification's kernel is rung 0."""

    rung: int
    # 0 for the first boot of the rung.
    boot: int

    @property
    def written(self) -> BlockPlace:
        """As rows of the store, logs and JSON write it, which have an A/B comparison's fields for either place."""
        return BlockPlace(block=self.rung, order=0, arm=Arm.CANDIDATE, attempt=self.boot)

    @classmethod
    def read(cls, written: BlockPlace) -> Self:
        """The inverse of `written`. Raises ValueError for what no boot of a rung is written as."""
        if written.order != 0 or written.arm is not Arm.CANDIDATE:
            raise ValueError(f"boot {written.order} of the {written.arm} in block {written.block} is none of a rung")
        return cls(rung=written.block, boot=written.attempt)


Place = BlockPlace | RungPlace
# What a boot's place is: consumers of one kind of boot say so in their types, as in `Trial[RungPlace]`.
PlaceT = TypeVar("PlaceT", bound=Place)
PlaceT_co = TypeVar("PlaceT_co", bound=Place, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSpec(Generic[PlaceT_co]):
    """One boot to be made."""

    place: PlaceT_co
    # Seed for the workload's random offsets, the same for both arms of a block.
    seed: int = 0
