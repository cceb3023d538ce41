"""A ladder of invented kernels, a world that boots them, and the search loop over it."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from factories import experiment, failed, named

from harness.interfaces import NullProgress
from harness.model.bisection import BisectionOutcome, BisectionPlan, EdgeKind, PlannedRung, SearchView
from harness.model.experiment import Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.history import Change, Origin, Step
from harness.model.kernel import Kernel
from harness.model.trial import Outcome, Trial
from harness.run.ab import AbLoop
from harness.run.bisect import BisectLoop, BisectRequest
from harness.run.boots import Runner
from harness.store import SqlStore
from harness.workloads.registry import METRICS

VERSIONS = (
    "6.1.192-2", "6.12.43-1", "6.12.57-1", "6.12.69-1", "6.12.74-2", "6.12.86-1", "6.12.90-2", "6.12.95-1",
    "6.12.101-1", "6.12.107-1", "6.12.113-1", "6.12.117-1", "6.16.3-1", "6.17.8-1", "6.18.5-1", "6.18.15-1",
    "7.2.6-1", "7.2.12-1", "7.3~rc7-1", "7.3.4-1",
)  # fmt: skip
LAST = len(VERSIONS) - 1
# Figures of a fast and of a serialised kernel; a little different from kernel to kernel, as real ones are.
FAST = {"write_iops": 620.0, "write_clat_mean": 6400.0, "queue_depth": 3.2, "dirtied_per_page": 0.02}
SLOW = {"write_iops": 290.0, "write_clat_mean": 13500.0, "queue_depth": 0.95, "dirtied_per_page": 0.02}
NOISE = {"write_iops": 0.15, "write_clat_mean": 0.15, "queue_depth": 0.015, "dirtied_per_page": 0.1}


def kernel(spec: str) -> Kernel:
    version = spec.removeprefix("debian:")
    return Kernel(
        spec=spec,
        release=f"{version}-cloud-amd64",
        version=version,
        source="debian",
        digest=f"{version}-digest",
        directory=Path("/nonexistent"),
        vmlinuz=Path("/nonexistent/vmlinuz"),
    )


def plan(**changes: object) -> BisectionPlan:
    rungs = tuple(
        PlannedRung(spec=f"debian:{version}", release=f"{version}-cloud-amd64", version=version) for version in VERSIONS
    )
    return BisectionPlan(**{"rungs": rungs, **changes})


def request(**changes: object) -> BisectRequest:
    asked = experiment(seed=7, metric=changes.pop("metric", "auto"))
    asked = replace(
        asked,
        workload=replace(
            asked.workload,
            deciding=("write_iops", "write_clat_mean", "queue_depth", "dirtied_per_page"),
            subsystems=("fs/btrfs",),
        ),
    )
    values = {
        "experiment": asked,
        "plan": plan(),
        "first": kernel(f"debian:{VERSIONS[0]}"),
        "last": kernel(f"debian:{VERSIONS[-1]}"),
        "conditions": {"accelerator": "tcg"},
        "host": {},
        "repeat": lambda asked: ("kab", "ab", asked.baseline, asked.candidate),
        "command": ("kab", "bisect", "debian:6.1", "debian:7.3", "--fs", "btrfs"),
        "max_boots": 60,
    }
    return BisectRequest(**{**values, **changes})


@dataclass
class World:
    """Kernels that are slow from one edge to the next, and what else may happen to a boot."""

    edges: tuple[int, ...] = (1, 16)
    dead: Mapping[int, Outcome] = field(default_factory=dict)
    # Factor of all values per rung, log scale.
    jitter: float = 0.02
    # Factor of the last kernels' speed.
    newest: float = 0.88
    made: list[tuple[str, int]] = field(default_factory=list)
    # Boots after which the process is killed.
    kill_after: int | None = None

    def __call__(self, asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        if self.kill_after is not None and len(self.made) >= self.kill_after:
            raise KeyboardInterrupt
        rung = VERSIONS.index(booted.version)
        self.made.append((f"{asked.baseline} {asked.candidate} {named(spec)}", rung))
        if rung in self.dead:
            return replace(failed(spec, self.dead[rung], "it broke"), kernel_digest=booted.digest)
        slow = sum(edge <= rung for edge in self.edges) % 2
        kernel_rng = random.Random(f"kernel {rung}")
        level = {name: kernel_rng.gauss(0, self.jitter) for name in FAST}
        rng = random.Random(f"{named(spec)} {asked.baseline} {asked.candidate} {asked.metric}")
        boot = rng.gauss(0, 1)
        samples = {}
        for name, values in (SLOW if slow else FAST).items():
            sign = -1 if "clat" in name else 1
            speed = math.log(self.newest) if rung >= self.edges[-1] and not slow and name != "dirtied_per_page" else 0
            centre = math.log(values) + level[name] + sign * speed
            value = math.exp(centre + sign * NOISE[name] * boot)
            samples[name] = (value, value * 1.01, value * 0.99)
        return Trial(
            spec=spec,
            kernel_digest=booted.digest,
            outcome=Outcome.OK,
            samples=samples,
            artifacts={"domain.xml": b"<domain/>", "fio-0.json": b"{}"},
            duration_s=20.0,
        )


class Watching(NullProgress):
    """Keeps the views."""

    def __init__(self) -> None:
        self.views: list[SearchView] = []

    def searched(self, view: SearchView) -> None:
        self.views.append(view)


def changes(older: Kernel, newer: Kernel) -> Step:
    found = (
        Change(subject="wifi: something", origin=Origin.UPSTREAM, version=newer.version),
        Change(subject="btrfs: don't force DIO writes to be serialized", origin=Origin.UPSTREAM, version=newer.version),
    )
    return Step(older=older.version, newer=newer.version, changes=found)


def loop(
    store: SqlStore, make_trial: Callable[[Experiment, TrialSpec, Kernel], Trial], resolve: object = kernel
) -> BisectLoop:
    have = len(store.runs(1000))
    ids: Iterator[str] = iter(f"run-{number}" for number in range(have, 1000))
    ab = AbLoop(
        runner=Runner(
            store=store,
            make_trial=make_trial,
            progress=Watching(),
            accelerator=Accelerator.TCG,
            new_run_id=lambda: next(ids),
            exclusive=lambda _digest: nullcontext(),
        ),
        metrics=METRICS,
    )
    return BisectLoop(ab=ab, bisections=store.bisections, resolve=resolve, changes=changes)


def on(search: BisectLoop, **changes: object) -> BisectLoop:
    """The loop with another part of its runner: its display, its store..."""
    return replace(search, ab=replace(search.ab, runner=replace(search.ab.runner, **changes)))


def edges(outcome: BisectionOutcome) -> list[tuple[int, int, EdgeKind]]:
    return [(edge.before, edge.after, edge.kind) for edge in outcome.edges]


BOTH = [(0, 1, EdgeKind.REMOVED), (15, 16, EdgeKind.RESTORED)]
