"""The loop of a gate: one block at a time in the cell where it decides most, until all is told or the budget is spent.

What comes next follows from the stored trials and the run's seed alone, so that resuming is the same loop.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import ConfigError, HostError
from harness.model.experiment import BlockPlace
from harness.model.matrix import CellResult, Ending, GatePolicy, GateView, MatrixOutcome
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Stop, StopKind
from harness.plan import cell_order, next_trial
from harness.report.decisions import stop_reason
from harness.run.ab import stopped_decision
from harness.run.boots import Boots
from harness.run.cells import OpenMatrix
from harness.run.gatejudge import GateJudge
from harness.stats.gate import GateStanding, next_cell

_ENDED = {
    Ending.BOOTS: "the budget of boots is spent",
    Ending.TIME: "the budget of time is spent",
}


def measure_gate(matrix: OpenMatrix) -> MatrixOutcome:
    """Make blocks until every cell is told, or until the budget is spent: what is open then is inconclusive.

    Raises HostError where the host is plainly gone, and KeyboardInterrupt; what was measured is stored.
    """
    gate = _Gate(matrix)
    for result in matrix.request.results.values():
        matrix.progress.cell_finished(result)
    ending = gate.measure()
    return gate.end(ending)


@dataclass(slots=True)
class _Budget:
    """What a gate may spend, over all its cells and all its processes."""

    policy: GatePolicy
    boots: int = 0
    spent_s: float = 0.0
    _durations_s: list[float] = field(default_factory=list)

    def spend(self, trial: Trial[BlockPlace]) -> None:
        """A boot was made, a lost one too."""
        self.boots += 1
        self.spent_s += trial.duration_s
        self._durations_s.append(trial.duration_s)

    def blocks_left(self, boots: int = 2) -> tuple[int | None, Ending]:
        """Blocks that can still be paid, the first of them of so many boots, and what ends them; None: no limit.

        A block takes two boots of usual length, as far as that is known.
        """
        found: list[tuple[int, Ending]] = []
        if self.policy.max_boots is not None:
            found.append((_blocks(self.policy.max_boots - self.boots, boots), Ending.BOOTS))
        if self.policy.max_time_s is not None:
            left_s = self.policy.max_time_s - self.spent_s
            usual_s = statistics.median(self._durations_s) if self._durations_s else 0.0
            if usual_s > 0:
                found.append((_blocks(int(left_s // usual_s), boots), Ending.TIME))
            elif left_s <= 0:
                found.append((0, Ending.TIME))
        return min(found, default=(None, Ending.DONE))


def _blocks(boots: int, first: int) -> int:
    return 0 if boots < first else 1 + (boots - first) // 2


class _Gate:
    """A gate that is being measured; lives for one call of measure_gate."""

    def __init__(self, matrix: OpenMatrix) -> None:
        self._matrix = matrix
        request = matrix.request
        self._judge = GateJudge(request.plan, request.cells, confirm=matrix.confirm)
        self._budget = _Budget(request.plan.policy or GatePolicy())
        self._runs: dict[str, Run] = {}
        self._trials: dict[str, list[Trial[BlockPlace]]] = {}
        # Cells whose runs are closed in the store, and boots of those that this process has added to.
        self._closed: set[str] = set()
        self._boots: dict[str, Boots[BlockPlace]] = {}
        # Cells whose plan has no next boot, though nothing is told of them.
        self._stuck: dict[str, Stop] = {}
        for name, (run, decision) in matrix.stored().items():
            if name not in request.cells:
                continue
            self._runs[name] = run
            self._trials[name] = list(run.block_trials)
            if decision is not None:
                self._closed.add(name)
            for trial in self._trials[name]:
                self._budget.spend(trial)

    def measure(self) -> Ending:
        """Make blocks; why there is no further one."""
        # A block that was begun when the process before this one ended comes first.
        begun = next((name for name in self._trials if self._is_begun(name)), None)
        while True:
            standing = self._standing()
            self._tell(standing)
            left, ending = self._budget.blocks_left(1 if begun else 2)
            name = begun or next_cell(standing, without={*self._matrix.troubles, *self._stuck}, blocks=left)
            if name is None:
                return Ending.DONE
            if left is not None and left <= 0:
                return ending
            self._make_block(name)
            begun = None

    def end(self, ending: Ending) -> MatrixOutcome:
        """Close what is open, and say what came of all cells."""
        matrix, request = self._matrix, self._matrix.request
        troubled = matrix.unmeasured()
        standing = self._standing()
        ended = {name: stop_reason(stop) for name, stop in self._stuck.items()}
        if ending in _ENDED:
            ended |= {name: _ENDED[ending] for name in standing.cells if name not in ended}
        judged = self._judge.results(standing, self._runs, self._trials, ended=ended)
        results = {
            **{name: self._with_kernels(result) for name, result in judged.items()},
            **request.results,
            **troubled,
        }
        for name in standing.cells:
            if name not in self._closed:
                matrix.progress.cell_finished(results[name])
            if name in self._runs and name not in self._closed and name not in troubled:
                self._close(name, results[name])
        return MatrixOutcome(
            cells=tuple(results[cell.name] for cell in request.plan.cells),
            ending=ending,
            boots=self._budget.boots,
            duration_s=self._budget.spent_s,
        )

    def _standing(self) -> GateStanding:
        """With the cells in the order in which they are asked who gets the next block."""
        blocks = sum(len({trial.place.block for trial in trials}) for trials in self._trials.values())
        order = cell_order(self._matrix.run.seed, blocks, tuple(self._matrix.request.cells))
        return self._judge.standing(self._trials, order)

    def _tell(self, standing: GateStanding) -> None:
        """Close the cells that are final now, and say where the gate stands."""
        progress = self._matrix.progress
        results = self._judge.results(standing, self._runs, self._trials)
        for name, cell in standing.cells.items():
            if cell.final and name in self._runs and name not in self._closed and name not in self._matrix.troubles:
                self._close(name, results[name])
                progress.cell_finished(self._with_kernels(results[name]))
        open_cells = {
            name: cell
            for name, cell in standing.cells.items()
            if not cell.final and name not in self._matrix.troubles and name not in self._stuck
        }
        lefts = [cell.blocks_left for cell in open_cells.values()]
        expected = None if None in lefts else sum(left for left in lefts if left is not None)
        payable, _ = self._budget.blocks_left()
        if payable is not None:
            expected = payable if expected is None else min(expected, payable)
        known: Mapping[str, CellResult] = {**results, **self._matrix.request.results}
        progress.gated(
            GateView(
                cells=tuple(known[cell.name] for cell in self._matrix.request.plan.cells),
                undecided=frozenset(open_cells),
                boots=self._budget.boots,
                spent_s=self._budget.spent_s,
                boots_left=None if expected is None else 2 * expected,
            )
        )

    def _make_block(self, name: str) -> None:
        """The next block of a cell, or the rest of it. Raises HostError where the host is gone."""
        matrix = self._matrix
        matrix.progress.cell_started(matrix.request.cells[name].cell)
        try:
            self._boot(name)
        except (ConfigError, HostError) as error:
            matrix.trouble(name, error)
        else:
            matrix.measured()

    def _boot(self, name: str) -> None:
        request = self._matrix.ab_request(name)
        boots = self._begun(name)
        block: int | None = None
        while True:
            planned = next_trial(
                boots.trials,
                seed=boots.run.seed,
                max_boots=request.experiment.max_boots,
                confirm=self._matrix.confirm,
                resumed=boots.resumed,
            )
            if isinstance(planned, Stop):
                # Where that tells something, the standing is final; else the cell must not be asked for again.
                self._stuck[name] = planned
                return
            if block is not None and planned.place.block != block:
                return
            block = planned.place.block
            self._closed.discard(name)
            made = len(boots.trials)
            try:
                boots.make(request.experiment, planned, request.kernel(planned.place.arm))
            finally:
                # A boot that was stored counts, whatever came after it.
                for trial in boots.trials[made:]:
                    self._budget.spend(trial)

    def _begun(self, name: str) -> Boots[BlockPlace]:
        """The boots of a cell, whose run is made where there is none."""
        if name not in self._boots:
            found = self._matrix.loop(name).begin(self._matrix.ab_request(name), self._runs.get(name))
            self._boots[name] = found
            self._runs[name] = found.run
            self._trials[name] = found.trials
        return self._boots[name]

    def _is_begun(self, name: str) -> bool:
        """Whether the next boot of a cell belongs to a block that has boots."""
        trials = self._trials[name]
        experiment = self._matrix.request.cells[name].cell.experiment
        planned = next_trial(
            trials,
            seed=self._runs[name].seed,
            max_boots=experiment.max_boots,
            confirm=self._matrix.confirm,
            resumed=len(trials),
        )
        return not isinstance(planned, Stop) and any(trial.place.block == planned.place.block for trial in trials)

    def _close(self, name: str, result: CellResult) -> None:
        """End a cell's run, with the decision that its boots come to by themselves."""
        experiment = self._matrix.request.cells[name].cell.experiment
        stop = Stop(kind=StopKind.GATE, count=result.boots, message=f"its gate needs no more of it: {result.reason}")
        decision = stopped_decision(experiment, self._trials[name], stop, confirm=self._matrix.confirm)
        self._matrix.store.finish(self._runs[name].id, decision)
        self._closed.add(name)

    def _with_kernels(self, result: CellResult) -> CellResult:
        return self._matrix.with_kernels(result)
