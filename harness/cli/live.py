"""The live display of a run on a terminal."""

import statistics
import time
from dataclasses import dataclass, field
from typing import IO, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.cli.livecells import LiveCells
from harness.cli.progress import build_state, headline_value, ratio_text
from harness.cli.strip import coloured, next_sentence
from harness.interfaces import NullProgress
from harness.model.bisection import SearchView
from harness.model.experiment import Arm, Place, TrialSpec
from harness.model.guest import MIB
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, GateView, MatrixPlan
from harness.model.run import Run
from harness.model.trial import Outcome, Stage, Trial
from harness.model.verdict import Decision, Verdict
from harness.parse.foreign import printable

_VERDICT_STYLE = {Verdict.FASTER: "green", Verdict.SLOWER: "red", Verdict.SAME: "cyan", Verdict.INCONCLUSIVE: "yellow"}
# Trials kept on the screen; older ones scroll away, they are all in the store.
_SHOWN_TRIALS = 12
# The last step of a build stays on the screen this long: nobody tells its end.
_BUILD_SHOWN_S = 20.0


@dataclass(slots=True)
class _Shown:
    """A finished trial as the live table keeps it."""

    trial: Trial[Place]
    kernel: str
    # Whether it is a boot of a search, which is of a rung.
    searching: bool


@dataclass(slots=True)
class LiveProgress(NullProgress):
    """A small live display: finished boots, the one in flight with its stage, what is known, time left."""

    out: IO[str]
    _console: Console = field(init=False)
    _live: Live = field(init=False)
    _run: Run | None = None
    _decision: Decision | None = None
    _view: SearchView | None = None
    # Whether the boot in flight belongs to the search itself, not to an A/B run inside it.
    _searching: bool = False
    _trials: list[_Shown] = field(default_factory=list)
    _now: str = ""
    _kernel: str = ""
    _since: float = 0.0
    _max_blocks: int = 0
    # Name, bytes there, bytes in all of what is being fetched.
    _download: tuple[str, int, int] | None = None
    # Name and state of what is being built, and when it was told.
    _build: tuple[str, str, float] | None = None
    # The matrix whose cells are measured.
    _cells: LiveCells | None = None
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def __post_init__(self) -> None:
        self._console = Console(file=self.out, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True, auto_refresh=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._now = ""
        self._live.stop()
        # The display goes; what it said of each boot stays on the screen, where these are not those of many cells.
        if self._trials and self._cells is None:
            self._console.print(self._table(self._trials))

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._run = run
        self._searching = False
        self._decision = None
        self._max_blocks = run.experiment.max_boots // 2
        more = f", continued after {resumed_trials} stored boots" if resumed_trials else ""
        if self._cells is not None:
            # The table tells of the cells; their boots so far are told again.
            self._trials.clear()
            return
        self.note(f"run {run.id}{more}: {run.baseline.name} (baseline) against {run.candidate.name} (candidate)")

    def note(self, message: str) -> None:
        self._console.print(Text(printable(message, lines=True), style="dim"))

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        self._download = None if done_bytes >= total_bytes else (printable(name), done_bytes, total_bytes)

    def building(self, name: str, done: int, total: int, file: str) -> None:
        self._build = (printable(name), build_state(done, total, file), time.monotonic())

    def trial_started(self, spec: TrialSpec[Place], kernel: Kernel) -> None:
        self._kernel = printable(kernel.name)
        self._since = time.monotonic()
        self._now = f"{self._place(spec)} {self._kernel}: starting"

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        attempt = spec.place.written.attempt
        again = f", attempt {attempt + 1}" if attempt and not self._searching else ""
        what = f" {printable(detail)}" if detail else ""
        self._now = f"{self._place(spec)} {self._kernel}{again}: {stage}{what}"

    def _place(self, spec: TrialSpec[Place]) -> str:
        place = spec.place.written
        if self._searching:
            return f"rung {place.block}"
        return f"block {place.block + 1} of at most {self._max_blocks}, {place.arm}"

    def trial_finished(self, trial: Trial[Place]) -> None:
        self._trials.append(_Shown(trial=trial, kernel=self._kernel, searching=self._searching))
        if self._cells is not None:
            self._cells.boot(trial)
        self._now = ""

    def decided(self, decision: Decision) -> None:
        self._decision = decision

    def searched(self, view: SearchView) -> None:
        self._view, self._searching, self._decision = view, True, None

    def matrix_started(self, run: Run, plan: MatrixPlan, *, resumed: bool) -> None:
        self._cells = LiveCells(plan)
        more = ", continued" if resumed else ""
        self.note(f"{run.verb} {run.id}{more}: {plan.title}, {len(plan.cells)} cells")

    def cell_started(self, cell: Cell) -> None:
        if self._cells is not None:
            self._cells.begin(cell)

    def cell_finished(self, result: CellResult) -> None:
        if self._cells is not None:
            self._cells.end(result)
        self._decision = None

    def gated(self, standing: GateView) -> None:
        if self._cells is not None:
            self._cells.gated(standing)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._cells is not None:
            parts.append(self._cells.table())
        elif self._trials:
            parts.append(self._table(self._trials[-_SHOWN_TRIALS:]))
        if self._view is not None:
            parts += [coloured(self._view), Text(next_sentence(self._view), style="dim")]
        if self._decision is not None:
            style = _VERDICT_STYLE[self._decision.verdict]
            parts.append(
                Text.assemble("so far: ", (str(self._decision.verdict), style), f", {ratio_text(self._decision)}")
            )
        if self._download is not None:
            name, done_bytes, total_bytes = self._download
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                Text(f"fetching {name}"),
                ProgressBar(total=total_bytes, completed=done_bytes, width=30),
                f"{done_bytes / MIB:.0f} of {total_bytes / MIB:.0f} MiB",
            )
            parts.append(bar)
        if self._build is not None and time.monotonic() - self._build[2] < _BUILD_SHOWN_S:
            self._spinner.update(text=Text(f"building {self._build[0]}: {self._build[1]}"))
            parts.append(self._spinner)
        elif self._now:
            elapsed = time.monotonic() - self._since
            self._spinner.update(text=Text(f"{self._now} ({elapsed:.0f} s){self._time_left(elapsed)}"))
            parts.append(self._spinner)
        return Group(*parts)

    def _time_left(self, elapsed_s: float) -> str:
        """Median duration of a boot times the boots expected, where both are known."""
        if self._cells is not None:
            left_s = self._cells.time_left_s()
            return "" if left_s is None else _about(left_s - elapsed_s)
        done = [shown.trial.duration_s for shown in self._trials]
        blocks = self._decision.blocks_left if self._decision else None
        if not done or blocks is None:
            return ""
        in_block = sum(1 for shown in self._trials if shown.trial.outcome is Outcome.OK) % 2
        return _about(statistics.median(done) * (2 * blocks - in_block) - elapsed_s)

    def _table(self, shown: list[_Shown]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("block", "arm", "kernel"):
            table.add_column(title)
        table.add_column("seconds", justify="right")
        table.add_column("result", overflow="fold")
        metric = self._decision.metric if self._decision else self._view.metric if self._view else None
        for row in shown:
            bad = row.trial.outcome is not Outcome.OK
            place = row.trial.place.written
            arm = "search" if row.searching else str(place.arm)
            table.add_row(
                f"rung {place.block}" if row.searching else str(place.block + 1),
                Text(arm, style="blue" if arm == Arm.BASELINE else "magenta"),
                Text(row.kernel),
                f"{row.trial.duration_s:.0f}",
                Text(headline_value(row.trial, metric), style="red" if bad else ""),
            )
        return table


def _about(left_s: float) -> str:
    return f", about {max(round(left_s / 60), 1)} min left" if left_s >= 1 else ""
