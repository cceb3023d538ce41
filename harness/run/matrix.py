"""The loop over a matrix: every cell gets its boots, whatever comes of the others; resuming is the same loop.

Without a policy each cell is an A/B comparison with an error of its own, one after the other. With one, a gate
(harness.run.gate) says which cell gets the next block.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import ConfigError, HostError
from harness.interfaces import Matrices
from harness.model.matrix import Cell, CellResult, Ending, MatrixOutcome
from harness.model.run import Run
from harness.run.ab import AbLoop
from harness.run.boots import Runner, record_of
from harness.run.cellresults import compared
from harness.run.cells import CellRequest, MatrixRequest, OpenMatrix
from harness.run.gate import measure_gate


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixLoop:
    """Runs matrices. `runner` is that of the first cell; of it, nothing is booted here."""

    runner: Runner
    matrices: Matrices
    # What makes the boots of a cell. Raises ConfigError where its job is not what it was when the matrix began.
    ab_of: Callable[[CellRequest], AbLoop]

    def execute(self, request: MatrixRequest) -> tuple[Run, MatrixOutcome]:
        """Make boots until every cell is decided, has made its own, or cannot be measured; and store what came of it.

        Every trial is stored before anything is decided from it. Returns the closed run. Raises HostError where the
        host is plainly gone: the run stays open, and the same request goes on with it.
        """
        runner = self.runner
        with runner.exclusive(request.digest):
            run = None if request.fresh else runner.store.unfinished(request.digest)
            resumed = run is not None
            if run is None:
                run = self._create(request)
            else:
                # Waivers are judged anew each time, and are no part of what a run is.
                self.matrices.replan(run.id, request.plan)
            matrix = OpenMatrix(
                request=request,
                run=run,
                store=runner.store,
                matrices=self.matrices,
                progress=runner.progress,
                confirm=runner.confirm,
                ab_of=self.ab_of,
            )
            runner.progress.matrix_started(run, request.plan, resumed=resumed)
            outcome = measure_cells(matrix) if request.plan.policy is None else measure_gate(matrix)
            self.matrices.finish(run.id, outcome)
        return runner.store.run(run.id), outcome

    def _create(self, request: MatrixRequest) -> Run:
        first = request.first
        run = self.runner.new_run(
            request.verb,
            request,
            baseline=record_of(first.baseline),
            candidate=record_of(first.candidate),
            seed=request.seed,
        )
        self.matrices.create(run, request.plan)
        return run


def measure_cells(matrix: OpenMatrix) -> MatrixOutcome:
    """Each cell as an A/B comparison, one after the other, those left out that are stored already."""
    request, progress = matrix.request, matrix.progress
    made = matrix.stored()
    results = dict(request.results)
    for result in results.values():
        progress.cell_finished(result)
    for cell in request.plan.cells:
        if cell.name in results:
            continue
        run, decision = made.get(cell.name, (None, None))
        if run is not None and decision is not None:
            results[cell.name] = compared(cell, run, decision)
        else:
            progress.cell_started(cell)
            measured = _measure(matrix, cell)
            if measured is None:
                continue
            results[cell.name] = measured
        progress.cell_finished(results[cell.name])
    troubled = matrix.unmeasured()
    for result in troubled.values():
        progress.cell_finished(result)
    results |= troubled
    runs = [run for run, _ in matrix.stored().values()]
    return MatrixOutcome(
        cells=tuple(results[cell.name] for cell in request.plan.cells),
        ending=Ending.DONE,
        boots=sum(len(run.trials) for run in runs),
        duration_s=sum(trial.duration_s for run in runs for trial in run.trials),
    )


def _measure(matrix: OpenMatrix, cell: Cell) -> CellResult | None:
    """A cell's result; None where it cannot be measured. Raises HostError where the host is gone."""
    try:
        run, decision = matrix.loop(cell.name).execute(matrix.ab_request(cell.name))
    except (ConfigError, HostError) as error:
        matrix.trouble(cell.name, error)
        return None
    matrix.measured()
    return compared(cell, run, decision)
