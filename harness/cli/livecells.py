"""The cells of a matrix on a live display: what is known of each, which one boots, how much is left."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text

from harness.cli.cellwords import effect_words, state_words
from harness.model.experiment import Place
from harness.model.matrix import Cell, CellResult, CellVerdict, GateView, MatrixPlan
from harness.model.trial import Trial
from harness.parse.foreign import printable

# Rows on the screen; what somebody must look at comes first.
_SHOWN_CELLS = 16
_STYLE = {
    CellVerdict.FASTER: "green",
    CellVerdict.NOT_WORSE: "green",
    CellVerdict.SAME: "cyan",
    CellVerdict.SLOWER: "red",
    CellVerdict.FAULTY: "red",
    CellVerdict.INCONCLUSIVE: "yellow",
    CellVerdict.UNMEASURED: "yellow",
}
_BAD = frozenset({CellVerdict.SLOWER, CellVerdict.FAULTY})


@dataclass(slots=True)
class LiveCells:
    """What a display knows of a matrix; fed with the events of harness.interfaces.Progress."""

    plan: MatrixPlan
    _now: str = ""
    _results: dict[str, CellResult] = field(default_factory=dict)
    # Cells that get no more boots, and what each of them took while somebody looked, in boots.
    _done: set[str] = field(default_factory=set)
    _took: list[int] = field(default_factory=list)
    _boots: int = 0
    _durations_s: list[float] = field(default_factory=list)
    _view: GateView | None = None

    def begin(self, cell: Cell) -> None:
        """The boots that follow are of this cell."""
        if cell.name != self._now:
            self._now, self._boots = cell.name, 0

    def boot(self, trial: Trial[Place]) -> None:
        """A boot of the cell that is running is stored."""
        self._boots += 1
        self._durations_s.append(trial.duration_s)

    def end(self, result: CellResult) -> None:
        """A cell gets no more boots."""
        if result.cell == self._now and result.cell not in self._done:
            self._took.append(self._boots)
        self._results[result.cell] = result
        self._done.add(result.cell)

    def gated(self, view: GateView) -> None:
        """Where the gate stands."""
        self._view = view
        self._results |= {result.cell: result for result in view.cells}
        self._done = {result.cell for result in view.cells} - view.undecided

    def time_left_s(self) -> float | None:
        """Seconds of the boots that are expected; None where nobody can tell."""
        if not self._durations_s:
            return None
        boot_s = statistics.median(self._durations_s)
        if self._view is not None:
            return None if self._view.boots_left is None else self._view.boots_left * boot_s
        if not self._took:
            return None
        left = len(self.plan.cells) - len(self._done)
        return max(left * statistics.mean(self._took) - self._boots, 0.0) * boot_s

    def table(self) -> Table:
        """The cells: bad ones, the one that boots, others that are open or told; the rest as a number."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("", "cell", "state"):
            table.add_column(title)
        table.add_column("boots", justify="right")
        table.add_column("effect", overflow="fold")
        rows = list(self._rows())
        for cell in rows[:_SHOWN_CELLS]:
            result = self._results.get(cell)
            undecided = cell not in self._done
            state = state_words(result, undecided=undecided) if result else "open" if cell == self._now else "waiting"
            style = "dim" if undecided or result is None else _STYLE[result.verdict]
            boots = result.boots if result else 0
            table.add_row(
                ">" if cell == self._now and undecided else "",
                Text(printable(cell)),
                Text(state, style=style),
                str(max(boots, self._boots if cell == self._now else 0) or ""),
                Text(effect_words(result) if result else ""),
            )
        if len(rows) > _SHOWN_CELLS:
            table.add_row("", Text(f"and {len(rows) - _SHOWN_CELLS} more cells", style="dim"), "", "", "")
        return table

    def _rows(self) -> Iterator[str]:
        """Names of all cells, in the order to show them in."""
        names = [cell.name for cell in self.plan.cells]

        def urgency(name: str) -> int:
            result = self._results.get(name)
            if name in self._done and result is not None:
                return 0 if result.verdict in _BAD and result.waiver is None else 3
            return 1 if name == self._now else 2

        yield from sorted(names, key=urgency)
