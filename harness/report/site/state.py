"""What a site tells, gathered from stored matrices: of each the newest state of every cell, and how it came there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.alarm import Alarm
from harness.model.matrix import Cell, CellResult, CellView, MatrixOutcome, MatrixPlan, MatrixView
from harness.model.run import Run
from harness.parse.names import NameForm, name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRun:
    """A stored matrix without what is stored of its boots."""

    run: Run
    plan: MatrixPlan
    outcome: MatrixOutcome
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHistory:
    """One cell of a matrix of a title: what came of it in each run, and its alarms."""

    title: str
    cell: Cell
    # The run that has the newest to say of it, and what.
    now: ToldRun
    result: CellResult
    # Newest first.
    results: tuple[tuple[Run, CellResult], ...]
    alarms: tuple[Alarm, ...] = ()

    @property
    def page(self) -> str:
        """Where its page is, from the site's folder."""
        return cell_page(self.title, self.cell.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixState:
    """All runs of the matrices of one title."""

    title: str
    # Newest first; there is one.
    runs: tuple[ToldRun, ...]
    # In the order of the newest plan; then those that only older plans have.
    cells: tuple[CellHistory, ...]

    @property
    def newest(self) -> MatrixView:
        """The newest run, without boots."""
        told = self.runs[0]
        results = {result.cell: result for result in told.outcome.cells}
        return MatrixView(
            run=told.run,
            plan=told.plan,
            outcome=told.outcome,
            cells=tuple(
                CellView(cell=cell, result=results[cell.name]) for cell in told.plan.cells if cell.name in results
            ),
            open=told.open,
        )


def cell_page(title: str, cell: str) -> str:
    """Where the page of a cell is, from the site's folder."""
    return f"cell/{name_of(NameForm.FILE, title, cell)}.html"


def run_page(run_id: str) -> str:
    """Where the page of a run is, from the site's folder."""
    return f"run/{name_of(NameForm.FILE, run_id)}.html"


def cell_histories(title: str, told: Sequence[ToldRun], alarms: Mapping[str, Sequence[Alarm]]) -> list[CellHistory]:
    """Of each cell the newest run that has something to say of it; `told` is newest first, `alarms` by cell's name.

    A run of a part of a matrix, and a night that had nothing new for a series, leave other cells as they were; so does
    an open one those that it has not come to.
    """
    results: dict[str, list[tuple[ToldRun, CellResult]]] = {}
    cells: dict[str, Cell] = {}
    for one in told:
        for cell in one.plan.cells:
            cells.setdefault(cell.name, cell)
        for result in one.outcome.cells:
            results.setdefault(result.cell, []).append((one, result))
    found = []
    for name, cell in cells.items():
        known = results.get(name, [])
        said = [(one, result) for one, result in known if result.boots or not one.open] or known
        if said:
            now, result = said[0]
            found.append(
                CellHistory(
                    title=title,
                    cell=next((one for one in now.plan.cells if one.name == name), cell),
                    now=now,
                    result=result,
                    results=tuple((one.run, result) for one, result in known),
                    alarms=tuple(alarms.get(name, ())),
                )
            )
    return found
