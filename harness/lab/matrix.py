"""A matrix: from its plan to a stored run with what came of each cell."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from harness.config import Request, ab_command, load_workloads, request_of
from harness.errors import ConfigError, DoesNotApplyError, HostError, KabError, KernelError
from harness.lab.bench import (
    BenchChoice,
    OpenBench,
    check_job,
    require_one_architecture,
    runner,
)
from harness.lab.matrixfiles import check_end
from harness.lab.workspace import Workspace
from harness.model.experiment import Arm
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, MatrixOutcome, MatrixPlan
from harness.model.run import Run
from harness.model.workload import Workload
from harness.render.jobidentity import job_condition
from harness.run.ab import AbLoop
from harness.run.boots import record_of
from harness.run.cellresults import not_there, unmeasured
from harness.run.cells import CellRequest, MatrixRequest
from harness.run.gatejudge import checked_margins
from harness.run.matrix import MatrixLoop
from harness.workloads.registry import metrics_of


def measure_matrix(
    workspace: Workspace,
    plan: MatrixPlan,
    *,
    verb: str,
    place: Request,
    bench: BenchChoice,
    destroy_data: str,
    fresh: bool,
    seed: int | None,
    command: tuple[str, ...],
) -> tuple[Run, MatrixOutcome]:
    """As Lab.measure_matrix.

    What the plan alone makes impossible is told before any kernel is fetched, and what no cell can be measured for
    before any boot. What the world takes away (a mirror, a package, room) takes its cells with it.
    """
    checked_margins(plan)
    check_end(plan, {})
    jobs = _Jobs()
    for cell in plan.cells:
        with naming(cell):
            jobs.check(cell.experiment.workload)
    kernels = _resolved(workspace, plan.cells)
    check_end(plan, {spec: found.version for spec, found in kernels.items() if isinstance(found, Kernel)})
    cells, results = _found(plan.cells, kernels)
    with bench.open(place) as opened:
        cells, results = _with_room(opened, cells, results)
        request = MatrixRequest(
            verb=verb,
            plan=plan,
            cells=_requests(opened, cells, jobs, place=place, destroy_data=destroy_data),
            results=results,
            conditions=opened.conditions(next(iter(cells.values())).baseline),
            host=opened.host,
            command=command or ("kab", verb, plan.title),
            fresh=fresh,
            seed=seed,
        )
        return _loop(workspace, opened, request, jobs).execute(request)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A cell whose kernels are both in the cache."""

    cell: Cell
    baseline: Kernel
    candidate: Kernel


@contextmanager
def naming(cell: Cell) -> Iterator[None]:
    """Checks of a cell: what is wrong names it. Raises ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"cell {cell.name}: {error.message}", remedy=error.remedy) from error


@dataclass(slots=True)
class _Jobs:
    """The jobs of workloads, each rendered once: cells share them."""

    # id of a workload -> it, so that it lives as long as its id is used, and its condition.
    _known: dict[int, tuple[Workload, dict[str, str]]] = field(default_factory=dict)

    def check(self, workload: Workload) -> None:
        """Refuse a job that cannot work. Raises ConfigError."""
        if id(workload) not in self._known:
            check_job(workload)
            self._known[id(workload)] = workload, job_condition(workload)

    def condition(self, workload: Workload) -> dict[str, str]:
        """What it was when the matrix began."""
        return self._known[id(workload)][1]


def _resolved(workspace: Workspace, cells: Iterable[Cell]) -> dict[str, Kernel | KabError]:
    """Every kernel that a cell names, each fetched once, or why it cannot be had. Raises HostError where none can."""
    found: dict[str, Kernel | KabError] = {}
    for spec in dict.fromkeys(spec for cell in cells for spec in (cell.experiment.baseline, cell.experiment.candidate)):
        try:
            found[spec] = workspace.resolve(spec)
        except (ConfigError, HostError, KernelError, DoesNotApplyError) as error:
            found[spec] = error
            workspace.progress.note(f"{spec} cannot be had, and its cells cannot be measured: {error.message}")
    return found


def _found(
    cells: Iterable[Cell], kernels: Mapping[str, Kernel | KabError]
) -> tuple[dict[str, _Pair], dict[str, CellResult]]:
    """The cells that have both kernels; what came of the others. Raises KabError where none has."""
    pairs: dict[str, _Pair] = {}
    results: dict[str, CellResult] = {}
    first: KabError | None = None
    for cell in cells:
        both = {Arm.BASELINE: kernels[cell.experiment.baseline], Arm.CANDIDATE: kernels[cell.experiment.candidate]}
        baseline, candidate = both[Arm.BASELINE], both[Arm.CANDIDATE]
        if isinstance(baseline, Kernel) and isinstance(candidate, Kernel):
            with naming(cell):
                require_one_architecture(baseline, candidate)
            pairs[cell.name] = _Pair(cell, baseline, candidate)
            continue
        records = {arm: record_of(found) if isinstance(found, Kernel) else None for arm, found in both.items()}
        arm, error = next((arm, found) for arm, found in both.items() if isinstance(found, KabError))
        first = first or error
        results[cell.name] = not_there(
            cell, arm, error, baseline=records[Arm.BASELINE], candidate=records[Arm.CANDIDATE]
        )
    if not pairs and first is not None:
        raise first
    return pairs, results


def _with_room(
    opened: OpenBench, cells: dict[str, _Pair], results: dict[str, CellResult]
) -> tuple[dict[str, _Pair], dict[str, CellResult]]:
    """The cells for which there are memory, disk and device. Raises ConfigError, and HostError where there is none."""
    fitting: dict[str, _Pair] = {}
    first: HostError | None = None
    for name, pair in cells.items():
        try:
            with naming(pair.cell):
                opened.check(pair.cell.experiment)
        except HostError as error:
            first = first or error
            baseline, candidate = record_of(pair.baseline), record_of(pair.candidate)
            results = {**results, name: unmeasured(pair.cell, error, baseline=baseline, candidate=candidate)}
        else:
            fitting[name] = pair
    if not fitting and first is not None:
        raise first
    return fitting, results


def _requests(
    opened: OpenBench, cells: Mapping[str, _Pair], jobs: _Jobs, *, place: Request, destroy_data: str
) -> dict[str, CellRequest]:
    """The cells with what must not change inside their runs, and how each is made again."""
    catalogue = load_workloads()
    conditions = {}
    requests = {}
    for name, pair in cells.items():
        experiment, architecture = pair.cell.experiment, pair.baseline.architecture
        if architecture not in conditions:
            conditions[architecture] = opened.conditions(pair.baseline)
        alone = replace(request_of(experiment, catalogue), accelerator=place.accelerator, connect=place.connect)
        requests[name] = CellRequest(
            cell=pair.cell,
            baseline=pair.baseline,
            candidate=pair.candidate,
            conditions={**conditions[architecture], **jobs.condition(experiment.workload)},
            command=ab_command(alone, destroy_data=destroy_data),
        )
    return requests


def _loop(workspace: Workspace, opened: OpenBench, request: MatrixRequest, jobs: _Jobs) -> MatrixLoop:
    def ab_of(asked: CellRequest) -> AbLoop:
        workload = asked.cell.experiment.workload
        if job_condition(workload) != jobs.condition(workload):
            raise ConfigError(
                f"the templates of workload {workload.name} were changed since the matrix began",
                remedy="Give the command again: with another job it is a run of its own.",
            )
        return AbLoop(runner=runner(workspace, opened, asked.baseline), metrics=metrics_of(workload))

    return MatrixLoop(
        runner=runner(workspace, opened, request.first.baseline), matrices=workspace.store.matrices, ab_of=ab_of
    )
