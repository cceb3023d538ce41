"""A matrix that is measured: what was asked, its stored run, the A/B runs of its cells, and cells that the host took.

Which cell boots next is decided by harness.run.matrix (one after the other) and harness.run.gate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.errors import ConfigError, HostError, KabError
from harness.interfaces import Matrices, Progress, Store
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, MatrixPlan
from harness.model.run import Parent, Run, RunState, SubrunRole
from harness.model.verdict import Decision, Stop, StopKind
from harness.plan import cell_seed, experiment_digest, matrix_digest
from harness.run.ab import AbLoop, AbRequest, stopped_decision
from harness.run.boots import record_of
from harness.run.cellresults import unmeasured

# Cells in a row that the host may take before it is plainly the host that is gone.
MAX_LOST_CELLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """A cell with what it takes to boot it."""

    cell: Cell
    baseline: Kernel
    candidate: Kernel
    # What must not change inside its run, its job included.
    conditions: Mapping[str, str]
    # The `kab ab` that makes the cell again, alone.
    command: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What it measures, whatever it is part of."""
        return experiment_digest(
            self.cell.experiment,
            baseline_digest=self.baseline.digest,
            candidate_digest=self.candidate.digest,
            conditions=self.conditions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRequest:
    """What `kab run`, `kab gate` or `kab nightly` was asked, with everything resolved that can be."""

    verb: str
    plan: MatrixPlan
    # Cells that can be measured, by name: one at least; and what came of all others.
    cells: Mapping[str, CellRequest]
    results: Mapping[str, CellResult]
    # Of the bench, without any job.
    conditions: Mapping[str, str]
    host: Mapping[str, str]
    command: tuple[str, ...]
    # Start a new run even where an unfinished one could be continued.
    fresh: bool = False
    # Of the order of cells, and of the cells' own where their experiments have none; None: drawn.
    seed: int | None = None

    @property
    def first(self) -> CellRequest:
        """The first cell that can be measured, which stands for the matrix in lists of runs."""
        return next(self.cells[cell.name] for cell in self.plan.cells if cell.name in self.cells)

    @property
    def experiment(self) -> Experiment:
        """That of the first cell."""
        return self.first.cell.experiment

    @property
    def digest(self) -> str:
        """The run's identity, see harness.plan.matrix_digest."""
        digests = {name: cell.digest for name, cell in self.cells.items()}
        return matrix_digest(self.verb, self.plan, digests, seed=self.seed)


@dataclass(slots=True, kw_only=True)
class OpenMatrix:
    """A matrix that is being measured, with its run in the store."""

    request: MatrixRequest
    run: Run
    store: Store
    matrices: Matrices
    progress: Progress
    # Whether a crash counts only when it has happened twice, see Runner.confirm.
    confirm: bool
    # What makes the boots of a cell, the same for all of them. Raises ConfigError where its job has changed.
    ab_of: Callable[[CellRequest], AbLoop]
    # Cells that could not be measured in this process, with what was said.
    troubles: dict[str, KabError] = field(default_factory=dict)
    _lost_in_a_row: int = 0
    _loops: dict[str, AbLoop] = field(default_factory=dict)

    def loop(self, name: str) -> AbLoop:
        """What makes the boots of a cell. Raises ConfigError, HostError."""
        if name not in self._loops:
            self._loops[name] = self.ab_of(self.request.cells[name])
        return self._loops[name]

    def ab_request(self, name: str) -> AbRequest:
        """A cell as an A/B run inside this matrix."""
        asked = self.request.cells[name]
        return AbRequest(
            experiment=asked.cell.experiment,
            baseline=asked.baseline,
            candidate=asked.candidate,
            conditions=asked.conditions,
            host=self.request.host,
            command=asked.command,
            parent=Parent(run_id=self.run.id, role=SubrunRole.CELL, place=name),
            seed=cell_seed(self.run.seed, name),
        )

    def stored(self) -> dict[str, tuple[Run, Decision | None]]:
        """What is stored of the cells by now: runs, and decisions of those that are over."""
        return {name: self._stored(run_id) for name, run_id in self.matrices.cells(self.run.id).items()}

    def _stored(self, run_id: str) -> tuple[Run, Decision | None]:
        run = self.store.run(run_id)
        return run, self.store.decision(run_id) if run.state is RunState.FINISHED else None

    def measured(self) -> None:
        """The host works: a cell has got what was asked of it."""
        self._lost_in_a_row = 0

    def trouble(self, name: str, error: ConfigError | HostError) -> None:
        """Go on without a cell. Raises HostError where it is plainly the host that is gone.

        That is so when the store does not answer, and when `MAX_LOST_CELLS` are lost to the host with none measured
        between them: a full disk lets no cell begin.
        """
        self.matrices.cells(self.run.id)
        self.troubles[name] = error
        if isinstance(error, HostError):
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= MAX_LOST_CELLS:
                raise _gone(error, f"{self._lost_in_a_row} cells in a row were lost, the last of them {name}: ")
        self.progress.note(f"cell {name} cannot be measured, the others go on: {error.message}")

    def with_kernels(self, result: CellResult) -> CellResult:
        """The result of a cell that can be measured, with its kernels where it has no run that names them."""
        asked = self.request.cells[result.cell]
        if result.candidate is not None:
            return result
        return replace(result, baseline=record_of(asked.baseline), candidate=record_of(asked.candidate))

    def unmeasured(self) -> dict[str, CellResult]:
        """Close the runs of cells that could not be measured; what came of them.

        Raises HostError where the host let no cell at all be measured: nothing shows that it works.
        """
        lost = [error for error in self.troubles.values() if isinstance(error, HostError)]
        if lost and len(lost) == len(self.request.cells):
            raise _gone(lost[0])
        made = self.stored() if self.troubles else {}
        results = {}
        for name, error in self.troubles.items():
            asked = self.request.cells[name]
            run, decision = made.get(name, (None, None))
            if run is not None and decision is None:
                self._close(name, run, error)
            baseline, candidate = record_of(asked.baseline), record_of(asked.candidate)
            results[name] = unmeasured(asked.cell, error, run=run, baseline=baseline, candidate=candidate)
        return results

    def _close(self, name: str, run: Run, error: KabError) -> None:
        """End a run that no boot can be added to. Its job may have changed: what is stored is read all the same."""
        asked = self.request.cells[name]
        stop = Stop(kind=StopKind.TROUBLE, message=error.message)
        self.store.finish(run.id, stopped_decision(asked.cell.experiment, run.block_trials, stop, confirm=self.confirm))


def _gone(error: HostError, what: str = "") -> HostError:
    remedy = f"{error.remedy}\n" if error.remedy else ""
    return HostError(f"{what}{error.message}", remedy=f"{remedy}{_GOES_ON}")


_GOES_ON = "That is the host's trouble, not a kernel's. What was measured is stored; the same command continues."
