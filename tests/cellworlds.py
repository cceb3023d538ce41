"""A matrix of invented cells, a world that boots them, and the loop over it."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from factories import CENTRES, experiment, failed, workload

from harness.errors import KabError
from harness.interfaces import NullProgress
from harness.model.experiment import Arm, Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, GatePolicy, GateView, MatrixPlan
from harness.model.trial import Finding, Outcome, Trial
from harness.run.ab import AbLoop
from harness.run.boots import Runner
from harness.run.cells import CellRequest, MatrixRequest
from harness.run.matrix import MatrixLoop
from harness.store import SqlStore
from harness.workloads.registry import METRICS

# Metrics that no boot of these cells gives.
_LEFT_OUT = frozenset({"queue_depth", "dirtied_per_page", "cpu_per_io"})


def kernel(series: str) -> Kernel:
    return Kernel(
        spec=f"debian:{series}",
        release=f"{series}.1-cloud-amd64",
        version=f"{series}.1-1",
        source="debian",
        digest=f"{series}-digest",
        directory=Path("/nonexistent"),
        vmlinuz=Path("/nonexistent/vmlinuz"),
    )


BASELINE, CANDIDATE = kernel("6.12"), kernel("7.2")


def cell(name: str, **changes: object) -> Cell:
    """A cell that is known to its world by the name of its workload."""
    of_cell = replace(workload(), name=name, deciding=("write_iops",))
    asked = experiment(**{"workload": of_cell, "max_boots": 20, "error": 0.05, **changes})
    return Cell(name=name, axes={"workload": name}, experiment=asked)


def plan(*names: str, policy: GatePolicy | None = None, **changes: object) -> MatrixPlan:
    cells = tuple(cell(name) for name in names)
    return MatrixPlan(**{"title": "invented", "cells": cells, "policy": policy, **changes})  # type: ignore[arg-type]


def request(
    asked: MatrixPlan,
    *,
    results: Mapping[str, CellResult] | None = None,
    conditions: Mapping[str, str] | None = None,
    **changes: object,
) -> MatrixRequest:
    gone = results or {}
    cells = {
        one.name: CellRequest(
            cell=one,
            baseline=BASELINE,
            candidate=CANDIDATE,
            conditions=conditions or {"accelerator": "kvm"},
            command=("kab", "ab", one.name),
        )
        for one in asked.cells
        if one.name not in gone
    }
    values = {
        "verb": "gate" if asked.policy else "run",
        "plan": asked,
        "cells": cells,
        "results": gone,
        "conditions": conditions or {"accelerator": "kvm"},
        "host": {},
        "command": ("kab", "run", "invented.yaml"),
        "seed": 7,
    }
    return MatrixRequest(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class World:
    """What each cell's candidate is, and what else may happen to a boot."""

    # Cell -> speed of its candidate beside the baseline's.
    speeds: Mapping[str, float] = field(default_factory=dict)
    # Standard deviation of a boot's log speed.
    noise: float = 0.02
    # Cells that have another one.
    noises: Mapping[str, float] = field(default_factory=dict)
    # (cell, arm) -> how its boots fail; cell -> findings of its candidate's log.
    broken: Mapping[tuple[str, Arm], Outcome] = field(default_factory=dict)
    warnings: Mapping[str, Finding] = field(default_factory=dict)
    # Cell -> what is raised instead of a boot.
    raising: dict[str, KabError] = field(default_factory=dict)
    # Seconds of a boot.
    boot_s: float = 20.0
    # Boots after which the process is killed.
    kill_after: int | None = None
    made: list[tuple[str, TrialSpec]] = field(default_factory=list)

    def __call__(self, asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        name = asked.workload.name
        if self.kill_after is not None and len(self.made) >= self.kill_after:
            raise KeyboardInterrupt
        if name in self.raising:
            raise self.raising[name]
        self.made.append((name, spec))
        arm = spec.place.arm
        if (name, arm) in self.broken:
            made = failed(spec, self.broken[name, arm], "it broke")
            return replace(made, kernel_digest=booted.digest, duration_s=self.boot_s)
        place = spec.place
        rng = random.Random(f"{name} {place.block} {place.order} {place.attempt}")
        boot = math.exp(rng.gauss(0, self.noises.get(name, self.noise))) * (
            self.speeds.get(name, 1.0) if arm is Arm.CANDIDATE else 1.0
        )
        samples = {
            metric: (centre[0] * (1 / boot if "clat" in metric else boot),) * 3
            for metric, centre in CENTRES.items()
            if metric not in _LEFT_OUT
        }
        finding = self.warnings.get(name) if arm is Arm.CANDIDATE else None
        return Trial(
            spec=spec,
            kernel_digest=booted.digest,
            outcome=Outcome.OK,
            samples=samples,
            findings=(finding,) if finding else (),
            duration_s=self.boot_s,
        )

    @property
    def order(self) -> list[str]:
        """The cells of the boots, in the order they were made."""
        return [name for name, _ in self.made]

    @property
    def made_places(self) -> list[tuple[str, object]]:
        """Cell and place of each boot."""
        return [(name, spec.place) for name, spec in self.made]


class Watching(NullProgress):
    """Keeps what is told of cells."""

    def __init__(self) -> None:
        self.finished: list[CellResult] = []
        self.views: list[GateView] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def cell_finished(self, result: CellResult) -> None:
        self.finished.append(result)

    def gated(self, standing: GateView) -> None:
        self.views.append(standing)


def loop(store: SqlStore, world: World, progress: NullProgress | None = None) -> MatrixLoop:
    """The loop over a matrix in this world; its store may be wrapped by ``replace``."""
    have = len(store.runs(1000))
    ids: Iterator[str] = iter(f"run-{number}" for number in range(have, 100_000))
    runner = Runner(
        store=store,
        make_trial=world,
        progress=progress or NullProgress(),
        accelerator=Accelerator.KVM,
        new_run_id=lambda: next(ids),
        exclusive=lambda _digest: nullcontext(),
    )
    make: Callable[[CellRequest], AbLoop] = lambda _: AbLoop(runner=runner, metrics=METRICS)  # noqa: E731
    return MatrixLoop(runner=runner, matrices=store.matrices, ab_of=make)
