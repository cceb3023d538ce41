"""What the user sees while a run goes on: a live display, lines for logs, JSON lines for programs, or nothing."""

import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.cli.strip import coloured, edges_sentence, next_sentence, rung_name
from harness.interfaces import Progress
from harness.model.bisection import SearchView
from harness.model.experiment import Arm, TrialSpec
from harness.model.guest import MIB
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Outcome, Stage, Trial
from harness.model.verdict import Decision, Verdict

_VERDICT_STYLE = {Verdict.FASTER: "green", Verdict.SLOWER: "red", Verdict.SAME: "cyan", Verdict.INCONCLUSIVE: "yellow"}
# Trials kept on the screen; older ones scroll away, they are all in the store.
_SHOWN_TRIALS = 12


class ProgressMode(StrEnum):
    """How progress is shown; always on stderr, so that stdout holds the result alone."""

    AUTO = "auto"
    LIVE = "live"
    LINES = "lines"
    JSON = "json"
    NONE = "none"


def make_progress(mode: ProgressMode, stream: IO[str] | None = None) -> "ShownProgress":
    """The progress for `mode`; AUTO is LIVE on a terminal and LINES elsewhere."""
    out = stream or sys.stderr
    if mode is ProgressMode.AUTO:
        mode = ProgressMode.LIVE if out.isatty() else ProgressMode.LINES
    match mode:
        case ProgressMode.LIVE:
            return LiveProgress(out)
        case ProgressMode.JSON:
            return JsonProgress(out)
        case ProgressMode.NONE:
            return ShownProgress()
        case _:
            return LineProgress(out)


class ShownProgress(Progress):
    """Shows nothing; a context manager, so that a display can be taken down whatever happens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        """So much of a kernel is here."""

    def trial_started(self, spec: TrialSpec, kernel: Kernel) -> None:
        pass

    def stage(self, spec: TrialSpec, stage: Stage, detail: str = "") -> None:
        pass

    def trial_finished(self, trial: Trial) -> None:
        pass

    def decided(self, decision: Decision) -> None:
        pass

    def searched(self, view: SearchView) -> None:
        pass


def headline_value(trial: Trial, metric: str | None) -> str:
    """The trial's per-boot median of the deciding metric, or its outcome where it has none."""
    if trial.outcome is not Outcome.OK:
        return f"{trial.outcome}: {trial.message.splitlines()[0] if trial.message else ''}"
    names = [metric] if metric in trial.samples else [*trial.samples][:1]
    return ", ".join(f"{name} {statistics.median(trial.samples[name]):,.4g}" for name in names if name)


def ratio_text(decision: Decision) -> str:
    """The deciding metric's ratio with its interval, in words for one line."""
    comparison = decision.comparisons.get(decision.metric or "")
    if comparison is None or comparison.ratio is None:
        return "no interval yet"
    interval = ""
    if comparison.low is not None and comparison.high is not None:
        interval = f" ({100 * (1 - comparison.error):.4g} % interval {comparison.low:.3g} to {comparison.high:.3g})"
    return f"{decision.metric} x{comparison.ratio:.3g}{interval}"


@dataclass(slots=True)
class LineProgress(ShownProgress):
    """A line of ``key=value`` words for each finished trial and decision: quiet, readable, easy to parse."""

    out: IO[str]
    metric: str | None = None
    _fetching: str = ""
    # The search that boots belong to; None inside an A/B run.
    _search: SearchView | None = None

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        if name != self._fetching:
            self._fetching = name
            self.note(f"fetching {name}, {(total_bytes - done_bytes) / MIB:.0f} MiB")

    def _write(self, event: str, **values: object) -> None:
        words = " ".join(f"{key}={_word(value)}" for key, value in values.items())
        self.out.write(f"kab: {event} {words}\n")
        self.out.flush()

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._search = None
        self._write(
            "run",
            id=run.id,
            baseline=run.baseline.release,
            candidate=run.candidate.release,
            seed=run.seed,
            resumed_trials=resumed_trials,
        )

    def note(self, message: str) -> None:
        self.out.write(f"kab: {message}\n")
        self.out.flush()

    def trial_finished(self, trial: Trial) -> None:
        where: dict[str, object] = {"block": trial.spec.block, "arm": trial.spec.arm}
        if self._search is not None:
            where = {"rung": trial.spec.block, "kernel": rung_name(self._search.plan, trial.spec.block)}
        self._write(
            "trial",
            **where,
            outcome=trial.outcome,
            seconds=f"{trial.duration_s:.1f}",
            value=headline_value(trial, self.metric),
        )

    def decided(self, decision: Decision) -> None:
        self.metric = decision.metric
        self._write(
            "decision",
            verdict=decision.verdict,
            final=str(decision.final).lower(),
            ratio=ratio_text(decision),
            reason=decision.reason,
        )

    def searched(self, view: SearchView) -> None:
        self._search, self.metric = view, view.metric
        self._write("search", boots=view.boots, strip=view.strip, edges=edges_sentence(view), then=next_sentence(view))


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text) if any(c.isspace() or c in '"=' for c in text) or not text else text


@dataclass(slots=True)
class JsonProgress(ShownProgress):
    """One JSON object for each event and line."""

    out: IO[str]

    def _write(self, event: str, values: Mapping[str, Any]) -> None:
        self.out.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")
        self.out.flush()

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._write(
            "run",
            {
                "run": run.id,
                "baseline": run.baseline.release,
                "candidate": run.candidate.release,
                "seed": run.seed,
                "resumed_trials": resumed_trials,
            },
        )

    def note(self, message: str) -> None:
        self._write("note", {"message": message})

    def trial_started(self, spec: TrialSpec, kernel: Kernel) -> None:
        self._write("trial", {"block": spec.block, "arm": spec.arm, "attempt": spec.attempt, "kernel": kernel.release})

    def stage(self, spec: TrialSpec, stage: Stage, detail: str = "") -> None:
        self._write("stage", {"block": spec.block, "arm": spec.arm, "stage": stage, "detail": detail})

    def trial_finished(self, trial: Trial) -> None:
        self._write(
            "trial-finished",
            {
                "block": trial.spec.block,
                "arm": trial.spec.arm,
                "outcome": trial.outcome,
                "message": trial.message,
                "seconds": round(trial.duration_s, 3),
                "medians": {name: statistics.median(values) for name, values in trial.samples.items() if values},
            },
        )

    def decided(self, decision: Decision) -> None:
        comparison = decision.comparisons.get(decision.metric or "")
        self._write(
            "decision",
            {
                "verdict": decision.verdict,
                "final": decision.final,
                "metric": decision.metric,
                "ratio": comparison.ratio if comparison else None,
                "low": comparison.low if comparison else None,
                "high": comparison.high if comparison else None,
                "blocks_left": decision.blocks_left,
                "reason": decision.reason,
            },
        )

    def searched(self, view: SearchView) -> None:
        self._write(
            "search",
            {
                "strip": view.strip,
                "slow": view.slow,
                "metric": view.metric,
                "boots": view.boots,
                "boots_left": view.boots_left,
                "edges": [{"before": edge.before, "after": edge.after, "kind": edge.kind} for edge in view.edges],
                "probability": view.probability,
                "next": view.next_rung,
                "reason": view.reason,
            },
        )


@dataclass(slots=True)
class _Shown:
    """A finished trial as the live table keeps it."""

    trial: Trial
    kernel: str
    # Whether it is a boot of a search, whose block is a rung.
    searching: bool


@dataclass(slots=True)
class LiveProgress(ShownProgress):
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
        # The display goes; what it said of each boot stays on the screen.
        if self._trials:
            self._console.print(self._table(self._trials))

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._run = run
        self._searching = False
        self._decision = None
        self._max_blocks = run.experiment.max_boots // 2
        more = f", continued after {resumed_trials} stored boots" if resumed_trials else ""
        self.note(f"run {run.id}{more}: {run.baseline.release} (baseline) against {run.candidate.release} (candidate)")

    def note(self, message: str) -> None:
        self._console.print(Text(message, style="dim"))

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        self._download = None if done_bytes >= total_bytes else (name, done_bytes, total_bytes)

    def trial_started(self, spec: TrialSpec, kernel: Kernel) -> None:
        self._kernel = kernel.release
        self._since = time.monotonic()
        self._now = f"{self._place(spec)} {kernel.release}: starting"

    def stage(self, spec: TrialSpec, stage: Stage, detail: str = "") -> None:
        again = f", attempt {spec.attempt + 1}" if spec.attempt and not self._searching else ""
        what = f" {detail}" if detail else ""
        self._now = f"{self._place(spec)} {self._kernel}{again}: {stage}{what}"

    def _place(self, spec: TrialSpec) -> str:
        if self._searching:
            return f"rung {spec.block}"
        return f"block {spec.block + 1} of at most {self._max_blocks}, {spec.arm}"

    def trial_finished(self, trial: Trial) -> None:
        self._trials.append(_Shown(trial=trial, kernel=self._kernel, searching=self._searching))
        self._now = ""

    def decided(self, decision: Decision) -> None:
        self._decision = decision

    def searched(self, view: SearchView) -> None:
        self._view, self._searching, self._decision = view, True, None

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._trials:
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
                f"fetching {name}",
                ProgressBar(total=total_bytes, completed=done_bytes, width=30),
                f"{done_bytes / MIB:.0f} of {total_bytes / MIB:.0f} MiB",
            )
            parts.append(bar)
        if self._now:
            elapsed = time.monotonic() - self._since
            self._spinner.update(text=Text(f"{self._now} ({elapsed:.0f} s){self._time_left(elapsed)}"))
            parts.append(self._spinner)
        return Group(*parts)

    def _time_left(self, elapsed_s: float) -> str:
        """Median duration of a boot times the boots expected, where both are known."""
        done = [shown.trial.duration_s for shown in self._trials]
        blocks = self._decision.blocks_left if self._decision else None
        if not done or blocks is None:
            return ""
        in_block = sum(1 for shown in self._trials if shown.trial.outcome is Outcome.OK) % 2
        left_s = max(statistics.median(done) * (2 * blocks - in_block) - elapsed_s, 0.0)
        return f", about {max(round(left_s / 60), 1)} min left" if left_s >= 1 else ""

    def _table(self, shown: list[_Shown]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("block", "arm", "kernel"):
            table.add_column(title)
        table.add_column("seconds", justify="right")
        table.add_column("result", overflow="fold")
        metric = self._decision.metric if self._decision else self._view.metric if self._view else None
        for row in shown:
            bad = row.trial.outcome is not Outcome.OK
            arm = "search" if row.searching else str(row.trial.spec.arm)
            table.add_row(
                f"rung {row.trial.spec.block}" if row.searching else str(row.trial.spec.block + 1),
                Text(arm, style="blue" if arm == Arm.BASELINE else "magenta"),
                row.kernel,
                f"{row.trial.duration_s:.0f}",
                Text(headline_value(row.trial, metric), style="red" if bad else ""),
            )
        return table
