"""What `kab nightly` follows: every cell of a matrix file on every series that the file names."""

from collections.abc import Mapping
from dataclasses import replace

from harness.config.matrix.file import MatrixFile
from harness.config.matrix.gate import counted_metrics
from harness.config.waivers import check_waivers
from harness.errors import ConfigError
from harness.model.matrix import LONGEST_CELL_NAME, SERIES_AXIS, Cell, MatrixPlan, Waiver
from harness.model.workload import Workload
from harness.parse.foreign import printable
from harness.stats.waivers import idle


def over_series(file: MatrixFile, *, catalogue: Mapping[str, Workload]) -> MatrixPlan:
    """The cells of `file` on each of its series, called SERIES/CELL, with policy and waivers.

    A cell's candidate is its series, a spec that means another kernel each night; its baseline what the file names, ""
    where it names none. A waiver for cells of the file holds on every series; one that begins with a series (or a
    pattern of some), on that. Raises ConfigError with FILE:LINE.
    """
    if not file.series:
        raise ConfigError(
            f"{file.path}: no series is named: there is nothing to look for every night",
            remedy="Write, for example, `nightly: {series: [debian:6.12, debian:trixie-backports]}`.",
        )
    # Any kernel will do for the checks.
    one = file.series[0]
    bare = replace(file, waivers=()).plan(catalogue=catalogue, candidate=one, gate=True, kernels_later=True)
    given = [cell.request.baseline or "" for cell in file.cells]
    cells = tuple(
        _on_series(file, series, cell, baseline)
        for series in file.series
        for cell, baseline in zip(bare.cells, given, strict=True)
    )
    plan = replace(bare, cells=cells)
    return replace(plan, waivers=_waivers(file, bare, plan))


def _on_series(file: MatrixFile, series: str, cell: Cell, baseline: str) -> Cell:
    if SERIES_AXIS in cell.axes:
        raise ConfigError(
            f"{file.path}: an axis is called {SERIES_AXIS}, which is that of kab nightly", remedy="Rename it."
        )
    name = f"{series}/{cell.name}"
    if len(name) > LONGEST_CELL_NAME:
        raise ConfigError(
            f"{file.path}: the name of the cell {printable(name, limit=80)} is longer than {LONGEST_CELL_NAME} "
            "characters",
            remedy="Give the axes shorter labels: `LABEL: VALUE`.",
        )
    experiment = replace(cell.experiment, baseline=baseline, candidate=series)
    return Cell(name=name, axes={SERIES_AXIS: series, **cell.axes}, experiment=experiment)


def _waivers(file: MatrixFile, bare: MatrixPlan, plan: MatrixPlan) -> tuple[Waiver, ...]:
    counted, counted_bare = (counted_metrics(one.cells, file.policy) for one in (plan, bare))
    waivers = tuple(
        replace(waiver, cells=f"*/{waiver.cells}")
        if idle((waiver,), counted) and not idle((waiver,), counted_bare)
        else waiver
        for waiver in file.waivers
    )
    check_waivers(waivers, counted)
    return waivers
