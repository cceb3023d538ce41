"""A laboratory whose mirror offers more kernels every night: for `kab nightly`, without libvirt."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from factories import failed, named
from labs import InventedKernels, InventedLab

from harness.errors import HostError, NoKernelError
from harness.interfaces import Progress
from harness.kernels.library import KernelSeries
from harness.lab.lab import Lab
from harness.model.experiment import Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.history import Ladder, Rung
from harness.model.kernel import AvailableKernel, Kernel
from harness.model.trial import Outcome, Trial

_ENDING = "-cloud-amd64"


def version_of(spec: str) -> str:
    """Of a spec that names one kernel: "debian:6.12.3-cloud-amd64" is 6.12.3."""
    return spec.removeprefix("debian:").removesuffix(_ENDING)


def invented(version: str, spec: str) -> Kernel:
    return Kernel(
        spec=spec,
        release=f"{version}{_ENDING}",
        version=version,
        source="debian",
        digest=f"{version}-digest",
        directory=Path("/nonexistent"),
        vmlinuz=Path("/nonexistent/vmlinuz"),
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@dataclass
class Mirror(InventedKernels):
    """Offers `versions`; "debian:6.12" is the newest of those that begin with it, "tree:" what `tree` says."""

    versions: list[str]
    # Versions that are gone, but stand in the cache.
    cached: set[str] = field(default_factory=set)
    # Versions that are listed and cannot be fetched.
    dropped: set[str] = field(default_factory=set)
    # What a folder holds by now.
    tree: str = ""
    # The mirror does not answer.
    away: bool = False

    def parse(self, spec: str) -> str:
        return spec

    def series(self, spec: str) -> KernelSeries | None:
        if spec.startswith("tree:"):
            return None
        if self.away:
            raise HostError("the mirror does not answer")
        found = [version for version in self.versions if version.startswith(f"{version_of(spec)}.")]
        if not found:
            raise NoKernelError(f"no kernel matches {spec}")
        rungs = tuple(
            Rung(
                spec=f"debian:{version}{_ENDING}",
                kernel=AvailableKernel(release=f"{version}{_ENDING}", version=version),
            )
            for version in sorted(found, key=_order)
        )
        return KernelSeries(rungs=rungs, is_newer=lambda version, other: _order(version) > _order(other))

    def ladder(self, ends: Sequence[str], **_: object) -> Ladder:
        first, last = (_order(version_of(end)) for end in ends)
        return Ladder(
            flavour="cloud-amd64",
            rungs=tuple(
                Rung(
                    spec=f"debian:{version}{_ENDING}",
                    kernel=AvailableKernel(release=f"{version}{_ENDING}", version=version),
                )
                for version in sorted(self.versions, key=_order)
                if first <= _order(version) <= last
            ),
        )

    def show(self, spec: str) -> str:
        if version_of(spec) not in {*self.versions, *self.cached}:
            raise NoKernelError(f"no kernel matches {spec}")
        return spec

    def resolve(self, spec: str) -> Kernel:
        if spec.startswith("tree:"):
            return replace(invented(self.tree, spec), source="tree")
        if version_of(spec) in self.dropped:
            raise NoKernelError(f"no kernel matches {spec}")
        return invented(version_of(self.show(spec)), spec)


@dataclass
class Speeds:
    """What the boots of a kernel are like: `factors` of its version's speed, 2 % noise, and outcomes that are bad."""

    factors: Mapping[str, float] = field(default_factory=dict)
    bad: Mapping[str, Outcome] = field(default_factory=dict)
    # Every boot, as "6.12.3 candidate".
    made: list[str] = field(default_factory=list)
    # Boots after which the process is killed.
    kill_after: int | None = None

    def __call__(self, asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        if self.kill_after is not None and len(self.made) >= self.kill_after:
            raise KeyboardInterrupt
        self.made.append(f"{booted.version} {spec.place.written.arm}")
        if booted.version in self.bad:
            return replace(failed(spec, self.bad[booted.version], "it broke"), kernel_digest=booted.digest)
        rng = random.Random(f"{named(spec)} {asked.baseline} {asked.candidate} {asked.filesystem.type}")
        value = 1000.0 * self.factors.get(booted.version, 1.0) * math.exp(rng.gauss(0, 0.02))
        samples = {"write_iops": (value,), "write_clat_mean": (4e6 / value,), "queue_depth": (3.0,)}
        return Trial(spec=spec, kernel_digest=booted.digest, outcome=Outcome.OK, samples=samples, duration_s=20.0)


class NightlyLab(InventedLab):
    """An InventedLab with a Mirror."""

    def __init__(self, progress: Progress | None, *, mirror: Mirror, **options: object) -> None:
        super().__init__(progress, **options)
        self.__dict__["kernels"] = mirror


def nightly_lab(world: Speeds, mirror: Mirror) -> Callable[[Progress | None], Lab]:
    """What makes one for a command."""
    return partial(NightlyLab, world=world, mirror=mirror, accelerator=Accelerator.KVM, benches=[], lister=None)
