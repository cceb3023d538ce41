"""What pages of matrices need of the store besides their views: how the consoles of boots that failed end."""

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellView, MatrixView
from harness.model.trial import Outcome, Trial
from harness.report.matrix.cards import CONSOLE

if TYPE_CHECKING:
    from harness.store import SqlStore


def with_consoles(store: "SqlStore", view: MatrixView) -> MatrixView:
    """The view with the console of one boot for each way and arm that failed in a cell. Raises HostError."""
    return replace(view, cells=tuple(_cell_with_consoles(store, cell) for cell in view.cells))


def _cell_with_consoles(store: "SqlStore", cell: CellView) -> CellView:
    run = cell.run
    if run is None:
        return cell
    wanted: dict[tuple[Arm, Outcome], Trial[BlockPlace]] = {}
    for trial in run.block_trials:
        if trial.outcome not in {Outcome.OK, Outcome.LOST}:
            wanted.setdefault((trial.place.arm, trial.outcome), trial)
    if not wanted:
        return cell
    chosen = {trial.spec for trial in wanted.values()}
    trials = tuple(
        replace(trial, artifacts=store.artifacts(run.id, trial.spec, (CONSOLE,))) if trial.spec in chosen else trial
        for trial in run.block_trials
    )
    return replace(cell, run=replace(run, trials=trials))
