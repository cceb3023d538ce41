"""What is told while a run goes on: lines for logs, JSON lines for programs, or nothing. The rest is cli.live."""

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from harness.cli.cellwords import effect_words, gate_line, reason_line
from harness.cli.strip import edges_sentence, next_sentence, rung_name
from harness.interfaces import NullProgress
from harness.model.bisection import SearchView
from harness.model.experiment import Place, RungPlace, TrialSpec
from harness.model.guest import MIB
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, GateView, MatrixPlan
from harness.model.run import Run
from harness.model.trial import Outcome, Stage, Trial
from harness.model.verdict import Decision
from harness.parse.foreign import printable
from harness.report.search.reasons import view_reason

# A line of a log for each so many seconds of a build.
_BUILD_LINE_S = 30.0


def headline_value(trial: Trial[Place], metric: str | None) -> str:
    """The trial's per-boot median of the deciding metric, or its outcome where it has none."""
    if trial.outcome is not Outcome.OK:
        return f"{trial.outcome}: {printable(trial.message.splitlines()[0]) if trial.message else ''}"
    names = [metric] if metric in trial.samples else [*trial.samples][:1]
    return ", ".join(f"{name} {statistics.median(trial.samples[name]):,.4g}" for name in names if name)


def build_state(done: int, total: int, file: str) -> str:
    """How far a build is, in a few words."""
    share = f" of about {total}" if total else ""
    return f"{done}{share} files, {printable(file)}"


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
class LineProgress(NullProgress):
    """A line of ``key=value`` words for each finished trial and decision: quiet, readable, easy to parse."""

    out: IO[str]
    metric: str | None = None
    _fetching: str = ""
    # When a build's state was last told.
    _told: float = field(default_factory=time.monotonic)
    # The search that boots belong to; None inside an A/B run.
    _search: SearchView | None = None
    # The cell of a matrix that boots belong to, and the matrix.
    _cell: str = ""
    _plan: MatrixPlan | None = None

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        if name != self._fetching:
            self._fetching = name
            self.note(f"fetching {name}, {(total_bytes - done_bytes) / MIB:.0f} MiB")

    def building(self, name: str, done: int, total: int, file: str) -> None:
        if time.monotonic() - self._told >= _BUILD_LINE_S:
            self._told = time.monotonic()
            self.note(f"building {name}: {build_state(done, total, file)}")

    def _write(self, event: str, **values: object) -> None:
        words = " ".join(f"{key}={_word(value)}" for key, value in values.items())
        self.out.write(f"kab: {event} {words}\n")
        self.out.flush()

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._search = None
        self._write(
            "run",
            id=run.id,
            baseline=run.baseline.name,
            candidate=run.candidate.name,
            seed=run.seed,
            resumed_trials=resumed_trials,
        )

    def note(self, message: str) -> None:
        self.out.write(f"kab: {printable(message, lines=True)}\n")
        self.out.flush()

    def trial_finished(self, trial: Trial[Place]) -> None:
        place = trial.place
        where: dict[str, object] = {"block": place.written.block, "arm": place.written.arm}
        if self._search is not None and isinstance(place, RungPlace):
            where = {"rung": place.rung, "kernel": rung_name(self._search.plan, place.rung)}
        if self._cell:
            where = {"cell": self._cell, **where}
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

    def matrix_started(self, run: Run, plan: MatrixPlan, *, resumed: bool) -> None:
        self._plan = plan
        self._write(
            "matrix", id=run.id, title=plan.title, verb=run.verb, cells=len(plan.cells), resumed=str(resumed).lower()
        )

    def cell_started(self, cell: Cell) -> None:
        if cell.name != self._cell:
            self._cell, self.metric = cell.name, None

    def cell_finished(self, result: CellResult) -> None:
        self._write(
            "cell",
            name=result.cell,
            verdict=result.verdict,
            **({"waived_by": result.waiver.owner} if result.waiver else {}),
            boots=result.boots,
            **({"effect": effect} if (effect := effect_words(result)) else {}),
            reason=reason_line(result),
        )

    def gated(self, standing: GateView) -> None:
        self.note(f"gate: {gate_line(standing, self._plan)}")


def _word(value: object) -> str:
    text = printable(str(value))
    return json.dumps(text) if any(c.isspace() or c in '"=' for c in text) or not text else text


@dataclass(slots=True)
class JsonProgress(NullProgress):
    """One JSON object for each event and line."""

    out: IO[str]
    # The cell of a matrix that boots belong to.
    _cell: str = ""

    def _write(self, event: str, values: Mapping[str, Any]) -> None:
        cell = {"cell": self._cell} if self._cell else {}
        self.out.write(json.dumps({"event": event, "time": time.time(), **cell, **values}) + "\n")
        self.out.flush()

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        self._write(
            "run",
            {
                "run": run.id,
                "baseline": run.baseline.name,
                "candidate": run.candidate.name,
                "seed": run.seed,
                "resumed_trials": resumed_trials,
            },
        )

    def note(self, message: str) -> None:
        self._write("note", {"message": message})

    def trial_started(self, spec: TrialSpec[Place], kernel: Kernel) -> None:
        place = spec.place.written
        self._write("trial", {"block": place.block, "arm": place.arm, "attempt": place.attempt, "kernel": kernel.name})

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        place = spec.place.written
        self._write("stage", {"block": place.block, "arm": place.arm, "stage": stage, "detail": detail})

    def trial_finished(self, trial: Trial[Place]) -> None:
        self._write(
            "trial-finished",
            {
                "block": trial.place.written.block,
                "arm": trial.place.written.arm,
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
                "next": view.next.rung if view.next else None,
                "reason": view_reason(view),
            },
        )

    def matrix_started(self, run: Run, plan: MatrixPlan, *, resumed: bool) -> None:
        self._write(
            "matrix",
            {
                "run": run.id,
                "verb": run.verb,
                "title": plan.title,
                "cells": [cell.name for cell in plan.cells],
                "resumed": resumed,
            },
        )

    def cell_started(self, cell: Cell) -> None:
        if cell.name != self._cell:
            self._cell = cell.name
            self._write("cell-started", {})

    def cell_finished(self, result: CellResult) -> None:
        self._write(
            "cell-finished",
            {
                "cell": result.cell,
                "verdict": result.verdict,
                "reason": result.reason,
                "run": result.run_id,
                "boots": result.boots,
                "exit_code": int(result.exit_code),
                "metrics": [
                    {
                        "metric": found.metric,
                        "margin": found.margin,
                        "verdict": found.verdict,
                        "ratio": found.comparison.ratio,
                        "low": found.comparison.low,
                        "high": found.comparison.high,
                        "waived": found.waiver is not None,
                    }
                    for found in result.metrics
                ],
            },
        )

    def gated(self, standing: GateView) -> None:
        self._write(
            "gate",
            {
                "boots": standing.boots,
                "seconds": round(standing.spent_s, 3),
                "boots_left": standing.boots_left,
                "undecided": sorted(standing.undecided),
            },
        )
