"""A matrix as comma-separated values: a row for each cell and metric, or for each boot and metric.

Quoted as RFC 4180 has it. Texts that a spreadsheet would take for a formula begin with an apostrophe, which it does not
show. Numbers are written in full, with a point.
"""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from harness.export.formats import CsvRows
from harness.model.experiment import Place
from harness.model.matrix import CellView, MatrixView, MetricVerdict
from harness.model.run import KernelRecord, Run
from harness.model.trial import Trial
from harness.model.verdict import Comparison
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.report.wording import ordered
from harness.workloads.registry import metrics_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_TEXT = 2000

CELL_COLUMNS = (
    "run", "matrix", "cell", "cell_run", "workload", "baseline", "baseline_version", "candidate", "candidate_version",
    "cell_verdict", "reason", "exit_code", "waiver_owner", "boots", "metric", "unit", "direction", "counts", "margin",
    "metric_verdict", "blocks", "baseline_value", "candidate_value", "ratio", "ratio_low", "ratio_high", "error",
)  # fmt: skip
BOOT_COLUMNS = (
    "run", "cell", "boot_run", "kernel", "kernel_digest", "arm", "block", "order", "attempt", "started", "outcome",
    "message", "duration_s", "metric", "unit", "value", "iterations",
)  # fmt: skip


def to_csv(view: MatrixView, rows: CsvRows = CsvRows.CELLS) -> str:
    """The matrix as a table with a head."""
    if rows is CsvRows.BOOTS:
        return boots_csv((view.run.id, cell.cell.name, cell.run) for cell in view.cells if cell.run is not None)
    return _table(CELL_COLUMNS, (row for cell in view.cells for row in _cell_rows(view, cell)))


def boots_csv(runs: Iterable[tuple[str, str, Run]]) -> str:
    """The boots of runs, each with the id of the run that it is told with and its name there."""
    return _table(BOOT_COLUMNS, (row for whole, name, run in runs for row in _boot_rows(whole, name, run)))


def _cell_rows(view: MatrixView, cell: CellView) -> Iterator[Sequence[object]]:
    result, workload = cell.result, cell.cell.experiment.workload
    metrics = metrics_of(workload)
    start = (
        view.run.id, view.plan.title, cell.cell.name, result.run_id or "", workload.name,
        *_kernel(result.baseline), *_kernel(result.candidate), str(result.verdict), result.reason,
        int(result.exit_code), result.waiver.owner if result.waiver else "", result.boots,
    )  # fmt: skip
    counting = {found.metric: found for found in result.metrics}
    compared = {found.metric: found.comparison for found in result.metrics}
    compared |= {found.metric: found for found in ordered(cell.decision, metrics) if found.metric not in compared}
    for name, comparison in compared.items():
        yield (*start, name, *_figures(comparison, metrics.get(name), counting.get(name)))
    if not compared:
        yield (*start, *[""] * (len(CELL_COLUMNS) - len(start)))


def _kernel(kernel: KernelRecord | None) -> tuple[str, str]:
    return (kernel.name, kernel.version) if kernel else ("", "")


def _figures(found: Comparison, metric: Metric | None, counting: MetricVerdict | None) -> tuple[object, ...]:
    return (
        metric.unit if metric else "", str(metric.direction) if metric else "", int(counting is not None),
        counting.margin if counting else "", str(counting.verdict if counting else found.verdict), found.blocks,
        found.baseline, found.candidate, found.ratio, found.low, found.high, found.error,
    )  # fmt: skip


def _boot_rows(whole: str, name: str, run: Run) -> Iterator[Sequence[object]]:
    metrics = metrics_of(run.experiment.workload)
    kernels = {kernel.digest: kernel.name for kernel in (run.baseline, run.candidate)}
    for trial in run.trials:
        start = (whole, name, run.id, kernels.get(trial.kernel_digest, ""), *_boot(trial))
        for metric, values in trial.samples.items():
            unit = metrics[metric].unit if metric in metrics else ""
            yield (*start, metric, unit, statistics.median(values) if values else "", len(values))
        if not trial.samples:
            yield (*start, *[""] * (len(BOOT_COLUMNS) - len(start)))


def _boot(trial: Trial[Place]) -> tuple[object, ...]:
    at = trial.place.written
    return (
        trial.kernel_digest, str(at.arm), at.block, at.order, at.attempt,
        trial.started.isoformat() if trial.started else "", str(trial.outcome), trial.message, trial.duration_s,
    )  # fmt: skip


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    # What reads lines must not find a carriage return in the last column.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell_text(value) for value in row] for row in rows)
    return text.getvalue()


def _cell_text(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if not isinstance(value, str):
        return repr(value)
    # In one line, so that tools that read lines read rows.
    guarded = f"'{value}" if value.lstrip().startswith(_FORMULA) or value.startswith(_FORMULA) else value
    return printable(guarded, limit=_LONGEST_TEXT)
