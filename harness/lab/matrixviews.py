"""A stored matrix with all that is stored of its cells, for those who tell of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.lab.workspace import Workspace
from harness.model.matrix import (
    MATRIX_VERBS,
    Cell,
    CellResult,
    CellVerdict,
    CellView,
    GatePolicy,
    MatrixOutcome,
    MatrixPlan,
    MatrixView,
    Waiver,
)
from harness.model.run import Run, RunState, SubrunRole
from harness.model.verdict import Decision
from harness.run.cellresults import compared

_AB = "ab"
_OPEN = CellVerdict.INCONCLUSIVE


def matrix_view(workspace: Workspace, run_id: str = "last") -> MatrixView:
    """The stored matrix `run_id` (an id, the beginning of one, or "last"); while it is open, what is known by now.

    An A/B run is told as a matrix of one cell. Raises ConfigError for a run of another verb, HostError.
    """
    run = workspace.store.run(run_id)
    if run.verb == _AB:
        return _alone(run, workspace.store.decision(run.id))
    plan = workspace.store.matrices.plan(run.id) if run.verb in MATRIX_VERBS else None
    if plan is None:
        raise ConfigError(
            f"run {run.id} is no matrix but a `kab {run.verb}`",
            remedy=f"See `kab report {run.id}`; `kab runs` lists what there is.",
        )
    return _whole(workspace, run, plan)


def rejudged(view: MatrixView, waivers: Path) -> MatrixView:
    """A stored gate with other waivers, judged anew from its boots; nothing is stored of it.

    Waivers of cells that the gate had not (it may have measured some of a file only) are left aside. Raises ConfigError
    for what is no gate, and for waivers none of which fits anything, or one of which has expired.
    """
    from harness.config.waivers import load_waivers
    from harness.lab.matrixfiles import check_end

    if view.plan.policy is None:
        raise ConfigError(f"run {view.run.id} is no gate but a `kab {view.run.verb}`", remedy="Leave --waivers out.")
    plan = replace(view.plan, waivers=_fitting(view, view.plan.policy, load_waivers(waivers)))
    candidates = [result.candidate for result in view.outcome.cells if result.candidate is not None]
    check_end(plan, {kernel.spec: kernel.version for kernel in candidates})
    # What was not measured from the beginning was no part of the gate.
    names = [one.cell.name for one in view.cells if one.run is not None or one.result.verdict is _OPEN]
    unmeasured = {one.cell.name for one in view.cells if one.result.verdict is CellVerdict.UNMEASURED}
    runs = {one.cell.name: one.run for one in view.cells if one.run is not None}
    anew = _gated(view.run, plan, runs, names) if runs else {}
    cells = tuple(
        one if one.cell.name in unmeasured else replace(one, result=anew.get(one.cell.name, one.result))
        for one in view.cells
    )
    outcome = replace(view.outcome, cells=tuple(one.result for one in cells))
    return replace(view, plan=plan, outcome=outcome, cells=cells)


def _fitting(view: MatrixView, policy: GatePolicy, waivers: tuple[Waiver, ...]) -> tuple[Waiver, ...]:
    """The waivers that are of this gate. Raises ConfigError where there are some, and none is."""
    from harness.config.matrix.gate import counted_metrics
    from harness.config.waivers import check_waivers
    from harness.stats.waivers import idle

    counted = counted_metrics(view.plan.cells, policy)
    if view.run.verb == "nightly":
        # One for cells of the file holds on every series.
        waivers = tuple(
            replace(waiver, cells=f"*/{waiver.cells}") if idle((waiver,), counted) else waiver for waiver in waivers
        )
    fitting = tuple(waiver for waiver in waivers if not idle((waiver,), counted))
    if not fitting:
        check_waivers(waivers, counted)
    return fitting


def _alone(run: Run, decision: Decision | None) -> MatrixView:
    """The view of an A/B run."""
    workload = run.experiment.workload.name
    inside = run.parent is not None and run.parent.role is SubrunRole.CELL
    name = run.parent.place if run.parent is not None and inside else workload
    cell = Cell(name=name, axes={}, experiment=run.experiment)
    result = compared(cell, run, decision)
    return MatrixView(
        run=run,
        plan=MatrixPlan(title=workload, cells=(cell,)),
        outcome=MatrixOutcome(cells=(result,), boots=len(run.trials), duration_s=_boots_s([run])),
        cells=(CellView(cell=cell, result=result, run=run, decision=decision),),
        open=run.state is RunState.OPEN,
    )


def _whole(workspace: Workspace, run: Run, plan: MatrixPlan) -> MatrixView:
    store = workspace.store
    outcome = store.matrices.outcome(run.id)
    made = {
        name: (store.run(cell_id), store.decision(cell_id)) for name, cell_id in store.matrices.cells(run.id).items()
    }
    if outcome is None:
        outcome = _so_far(run, plan, made)
    results = {result.cell: result for result in outcome.cells}
    cells = []
    for cell in plan.cells:
        cell_run, decision = made.get(cell.name, (None, None))
        result = results.get(cell.name) or _missing(cell)
        cells.append(CellView(cell=cell, result=result, run=cell_run, decision=decision))
    return MatrixView(run=run, plan=plan, outcome=outcome, cells=tuple(cells), open=run.state is RunState.OPEN)


def _so_far(run: Run, plan: MatrixPlan, made: Mapping[str, tuple[Run, Decision | None]]) -> MatrixOutcome:
    """What an open matrix has come to by now."""
    results = {cell.name: compared(cell, *made.get(cell.name, (None, None))) for cell in plan.cells}
    if plan.policy is not None and made:
        names = [cell.name for cell in plan.cells]
        results |= _gated(run, plan, {name: found for name, (found, _) in made.items()}, names)
    return MatrixOutcome(
        cells=tuple(results[cell.name] for cell in plan.cells),
        boots=sum(len(run.trials) for run, _ in made.values()),
        duration_s=_boots_s([run for run, _ in made.values()]),
    )


def _gated(run: Run, plan: MatrixPlan, runs: Mapping[str, Run], names: Sequence[str]) -> Mapping[str, CellResult]:
    """What a gate of the cells `names` says of those that have boots."""
    # What decides is not imported for a matrix that is over.
    from harness.run.gatejudge import GateJudge

    judge = GateJudge(plan, names, confirm=run.conditions.get("accelerator") == "tcg")
    trials = {name: found.block_trials for name, found in runs.items()}
    results = judge.results(judge.standing(trials), runs, trials)
    return {name: result for name, result in results.items() if name in runs}


def _missing(cell: Cell) -> CellResult:
    """Of a cell that a stored outcome does not name."""
    return CellResult(cell=cell.name, verdict=CellVerdict.INCONCLUSIVE, reason="nothing is stored of it")


def _boots_s(runs: list[Run]) -> float:
    return sum(trial.duration_s for run in runs for trial in run.trials)
