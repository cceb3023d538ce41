"""What a matrix will take: its cells and kernels, boots, time and room. Nothing is booted, and nothing fetched."""

import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from harness.config import Request, find_experiment, load_workloads
from harness.config.matrix import load_matrix, select
from harness.config.waivers import check_expiry
from harness.lab.workspace import Workspace
from harness.model.estimate import BootTime, CellEstimate, MatrixEstimate, Range, Space
from harness.model.experiment import Experiment
from harness.model.guest import MIB, Accelerator, DiskBackend
from harness.model.matrix import Cell, GatePolicy
from harness.model.run import Run
from harness.model.trial import Outcome
from harness.model.workload import Workload
from harness.stats.decide import AUTO
from harness.stats.sequential import MIN_BLOCKS, first_look

# Seconds of a boot besides the workload's own, where no stored run tells: boots of the demo under emulation took 19 s
# with 10 s of workload (benchmarks/results/figures.md).
_ASSUMED_S = 10.0
# Of the newest runs: as many as are read.
_RUNS = 20
_RUNS_WITH_TRIALS = 5
_TRIALS_WITH_ARTIFACTS = 4


def estimate_matrix(
    workspace: Workspace, name: str, request: Request, *, only: Sequence[str], shard: str | None
) -> MatrixEstimate:
    """As Lab.plan_matrix."""
    file = load_matrix(find_experiment(name), over=request)
    whole = file.plan(catalogue=load_workloads(), kernels_later=True)
    check_expiry(file.waivers, today=datetime.now().astimezone().date())
    chosen = select(whole.cells, only, shard)
    runs = _newest_runs(workspace)
    boot_time = _boot_time(file.accelerator, runs)
    estimator = _Estimator(boot_time.besides_s)
    cells = tuple(estimator.of(cell) for cell in chosen)
    return MatrixEstimate(
        plan=replace(whole, cells=chosen, policy=file.policy, waivers=file.waivers),
        all_cells=len(whole.cells),
        series=file.series,
        cells=cells,
        run=_sum(one.range for one in cells),
        gate=_gate(cells, file.policy),
        boot_time=boot_time,
        space=_space(workspace, chosen, runs, boots=sum(one.range.boots_most for one in cells)),
    )


class _Estimator:
    """What cells take; those that are alike share what is found."""

    def __init__(self, besides_s: float) -> None:
        self._besides_s = besides_s
        # (identity of the workload, metric, error, cap) -> its boots and time, and seconds of one boot.
        self._known: dict[tuple[int, str, float, int], tuple[Range, float]] = {}

    def of(self, cell: Cell) -> CellEstimate:
        """A cell by itself."""
        experiment = cell.experiment
        key = (id(experiment.workload), experiment.metric, experiment.error, experiment.max_boots)
        if key not in self._known:
            boot_s = self._besides_s + workload_s(experiment.workload)
            most = experiment.max_boots // 2 * 2
            least = min(2 * first_look(experiment.error / _candidates(experiment)), most)
            found = Range(boots_least=least, boots_most=most, time_least_s=least * boot_s, time_most_s=most * boot_s)
            self._known[key] = found, boot_s
        found, boot_s = self._known[key]
        return CellEstimate(cell=cell, range=found, boot_s=boot_s)


def workload_s(workload: Workload) -> float:
    """Seconds of a boot that are the workload's own: warm-up and iterations."""
    return workload.warmup_s + workload.iterations * workload.runtime_s


def _candidates(experiment: Experiment) -> int:
    """Metrics that the error is split among, see harness.stats.decide."""
    return max(len(set(experiment.workload.deciding)), 1) if experiment.metric == AUTO else 1


def _sum(ranges: Iterable[Range]) -> Range:
    found = list(ranges)
    return Range(
        boots_least=sum(one.boots_least for one in found),
        boots_most=sum(one.boots_most for one in found),
        time_least_s=sum(one.time_least_s for one in found),
        time_most_s=sum(one.time_most_s for one in found),
    )


def _gate(cells: Sequence[CellEstimate], policy: GatePolicy) -> Range:
    """All cells at one error: each is looked at after MIN_BLOCKS blocks, and the budget is one for all."""
    least = [min(2 * MIN_BLOCKS, one.range.boots_most) for one in cells]
    whole = _sum(one.range for one in cells)
    least_s = sum(boots * one.boot_s for boots, one in zip(least, cells, strict=True))
    boots, time_s = whole.boots_most, whole.time_most_s
    if policy.max_boots is not None and policy.max_boots < boots:
        time_s *= policy.max_boots / boots
        boots = policy.max_boots
    if policy.max_time_s is not None and policy.max_time_s < time_s:
        boots = int(boots * policy.max_time_s / time_s)
        time_s = policy.max_time_s
    return Range(
        boots_least=min(sum(least), boots), boots_most=boots, time_least_s=min(least_s, time_s), time_most_s=time_s
    )


def _newest_runs(workspace: Workspace) -> list[Run]:
    """A few of the newest runs that have an accelerator, with their trials; those that cannot be read are passed by."""
    from harness.store.damage import DamagedError

    found: list[Run] = []
    for run in workspace.store.runs(_RUNS):
        if run.conditions.get("accelerator") in set(Accelerator) and len(found) < _RUNS_WITH_TRIALS:
            with suppress(DamagedError):
                stored = workspace.store.run(run.id)
                if stored.trials:
                    found.append(stored)
    return found


def _boot_time(asked: str | None, runs: Sequence[Run]) -> BootTime:
    if asked not in {None, "auto"}:
        accelerator, because = Accelerator(str(asked)), "as asked for"
    elif runs:
        accelerator, because = Accelerator(runs[0].conditions["accelerator"]), "as in the newest stored run"
    else:
        accelerator, because = Accelerator.KVM, "assumed: no run is stored, and nothing is booted to find out"
    besides = [
        max(trial.duration_s - workload_s(run.experiment.workload), 0.0)
        for run in runs
        if run.conditions["accelerator"] == accelerator
        for trial in run.trials
        if trial.outcome is Outcome.OK
    ]
    return BootTime(
        accelerator=accelerator,
        besides_s=statistics.median(besides) if besides else _ASSUMED_S,
        trials=len(besides),
        because=because,
    )


def _space(workspace: Workspace, cells: Sequence[Cell], runs: Sequence[Run], *, boots: int) -> Space:
    experiments = [cell.experiment for cell in cells]
    files = max((one.disk.size_bytes for one in experiments if one.disk.backend is DiskBackend.FILE), default=0)
    memory = max(
        (
            one.guest.memory_mib * MIB + (one.disk.size_bytes if one.disk.backend is DiskBackend.NBD else 0)
            for one in experiments
        ),
        default=0,
    )
    return Space(disk_files=files, memory=memory, results=_results(workspace, runs, boots))


def _results(workspace: Workspace, runs: Sequence[Run], boots: int) -> int | None:
    """Of as many boots as in the newest run; artifacts as they are before they are packed. None: nothing is stored."""
    from harness.store.damage import DamagedError

    sizes = []
    for run in runs[:1]:
        for trial in run.trials[:_TRIALS_WITH_ARTIFACTS]:
            with suppress(DamagedError):
                sizes.append(sum(map(len, workspace.store.artifacts(run.id, trial.spec).values())))
    return round(boots * statistics.mean(sizes)) if sizes else None
