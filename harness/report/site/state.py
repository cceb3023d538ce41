"""What a site tells, gathered from stored matrices: of each the newest state of every cell, and how it came there."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.alarm import Alarm
from harness.model.matrix import Cell, CellResult, CellView, MatrixOutcome, MatrixPlan, MatrixView
from harness.model.run import Run
from harness.parse.names import NameForm, name_of
from harness.render import Fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRun:
    """A stored matrix without what is stored of its boots."""

    run: Run
    plan: MatrixPlan
    outcome: MatrixOutcome
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHistory:
    """One cell of a matrix of a title: how it is now, and what came of it in each run, newest first."""

    title: str
    cell: Cell
    now: CellView
    # The matrix that `now` is of, and whether that is a gate.
    run: Run
    gates: bool
    results: tuple[tuple[Run, CellResult], ...]
    alarms: tuple[Alarm, ...] = ()
    # Charts of its metrics over the nights.
    trends: tuple[Fragment, ...] = ()

    @property
    def page(self) -> str:
        """Where its page is, from the site's folder."""
        return cell_page(self.title, self.cell.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixState:
    """All runs of the matrices of one title."""

    title: str
    # The newest one, whose cells of which it has any are told with their boots.
    newest: MatrixView
    runs: tuple[ToldRun, ...]
    # In the order of the newest plan; then those that only older plans have.
    cells: tuple[CellHistory, ...]


def cell_page(title: str, cell: str) -> str:
    """Where the page of a cell is, from the site's folder."""
    return f"cell/{name_of(NameForm.FILE, title, cell)}.html"


def run_page(run_id: str) -> str:
    """Where the page of a run is, from the site's folder."""
    return f"run/{name_of(NameForm.FILE, run_id)}.html"


def newest_of(told: Sequence[ToldRun]) -> dict[str, tuple[ToldRun, Cell]]:
    """Cell's name -> the newest run that has something to say of it; `told` is newest first.

    A run of a part of a matrix, and a night that had nothing new for a series, leave other cells as they were; so does
    an open one those that it has not come to.
    """
    found: dict[str, tuple[ToldRun, Cell]] = {}
    for waiting_too in (False, True):
        for one in told:
            waiting = {result.cell for result in one.outcome.cells if one.open and not result.boots}
            for cell in one.plan.cells:
                if cell.name not in found and (waiting_too or cell.name not in waiting):
                    found[cell.name] = (one, cell)
    order = dict.fromkeys(cell.name for one in told for cell in one.plan.cells)
    return {name: found[name] for name in order}
