"""What a matrix will take, for people and as JSON. Fields: schema/plan-1.json."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from harness.model.estimate import BootTime, CellEstimate, MatrixEstimate, Range, Space
from harness.parse.diskspec import disk_text, filesystem_text
from harness.parse.foreign import printable
from harness.report.jsonparts import load_schema
from harness.report.numbers import seconds
from harness.report.wording import counted

# Raised when a field goes away or changes its meaning; new fields need no new version.
SCHEMA_NAME = "kab/plan-1"

# Of cells, of labels of an axis and of pairs of kernels: the first ones are shown, and how many more there are.
_CELLS, _LABELS, _KERNELS = 20, 12, 8
_LONGEST_TEXT = 200


def plan_text(estimate: MatrixEstimate) -> str:
    """A summary of some dozens of lines, however many cells there are."""
    chosen, every = len(estimate.cells), estimate.all_cells
    some = "" if chosen == every else f" of {every}"
    head = f"{_shown(estimate.plan.title)}: {counted(chosen, 'cell')}{some}"
    parts = [[head], list(_kernels(estimate)), list(_axes(estimate)), list(_cells(estimate)), list(_takes(estimate))]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _shown(text: str) -> str:
    return printable(text, limit=_LONGEST_TEXT)


def _kernels(estimate: MatrixEstimate) -> Iterator[str]:
    pairs = Counter((one.cell.experiment.baseline, one.cell.experiment.candidate) for one in estimate.cells)
    for (baseline, candidate), cells in list(pairs.items())[:_KERNELS]:
        names = f"{_shown(candidate) or '(no candidate yet)'} against {_shown(baseline) or '(no baseline yet)'}"
        yield f"kernels: {names}" + (f" in {counted(cells, 'cell')}" if len(pairs) > 1 else "")
    if len(pairs) > _KERNELS:
        yield f"  and {len(pairs) - _KERNELS} more pairs"
    if estimate.series:
        yield f"series for kab nightly: {', '.join(map(_shown, estimate.series))}"


def _axes(estimate: MatrixEstimate) -> Iterator[str]:
    """An axis in a line: its labels, with how many cells have each."""
    axes: dict[str, Counter[str]] = {}
    for one in estimate.cells:
        for axis, label in one.cell.axes.items():
            axes.setdefault(axis, Counter())[label] += 1
    width = max(map(len, axes), default=0)
    for axis, labels in axes.items():
        told = [f"{_shown(label)} ({cells})" for label, cells in list(labels.items())[:_LABELS]]
        more = [f"{len(labels) - _LABELS} more"] if len(labels) > _LABELS else []
        yield f"{_shown(axis):{width}}  {', '.join([*told, *more])}"


def _cells(estimate: MatrixEstimate) -> Iterator[str]:
    first = estimate.cells[:_CELLS]
    width = max((len(_shown(one.cell.name)) for one in first), default=0)
    for one in first:
        yield f"{_shown(one.cell.name):{width}}  {_boots(one.range)}, {_time(one.range)}"
    if len(estimate.cells) > len(first):
        yield f"and {len(estimate.cells) - len(first)} more cells; --json FILE writes all"


def _takes(estimate: MatrixEstimate) -> Iterator[str]:
    yield f"kab run   {_boots(estimate.run)}, {_time(estimate.run)}"
    yield f"kab gate  {_boots(estimate.gate)}, {_time(estimate.gate)}"
    if estimate.series:
        series = (
            counted(len(estimate.series), "series") if len(estimate.series) == 1 else f"{len(estimate.series)} series"
        )
        yield f"kab nightly does what the gate does for each of {series} with a new kernel"
    yield ""
    yield f"time: {_time_words(estimate.boot_time)}"
    yield f"room: {_space_words(estimate.space)}"


def _boots(range_: Range) -> str:
    if range_.boots_least == range_.boots_most:
        return counted(range_.boots_most, "boot")
    return f"{range_.boots_least} to {range_.boots_most} boots"


def _time(range_: Range) -> str:
    least, most = seconds(range_.time_least_s), seconds(range_.time_most_s)
    return least if least == most else f"{least} to {most}"


def _time_words(found: BootTime) -> str:
    how = f"the median of {counted(found.trials, 'stored boot')}" if found.trials else "assumed: none is stored"
    return (
        f"on {found.accelerator} ({found.because}), {seconds(found.besides_s)} of a boot besides the workload's own "
        f"({how}); fetching kernels, and boots that are lost and made again, come on top"
    )


def _space_words(space: Space) -> str:
    results = (
        "results: no stored run tells how large"
        if space.results is None
        else f"results of at most {_size(space.results)}"
    )
    files = f"{_size(space.disk_files)} of files behind disks, " if space.disk_files else ""
    return f"{files}{_size(space.memory)} of memory at a time; {results}"


def _size(size_bytes: int) -> str:
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes / 1024:.3g} KiB"


def plan_json(estimate: MatrixEstimate) -> dict[str, Any]:
    """All cells as plain JSON values, valid under `plan_schema`."""
    boot_time, space = estimate.boot_time, estimate.space
    return {
        "schema": SCHEMA_NAME,
        "title": estimate.plan.title,
        "all_cells": estimate.all_cells,
        "series": list(estimate.series),
        "run": _range(estimate.run),
        "gate": _range(estimate.gate),
        "boot_time": {
            "accelerator": str(boot_time.accelerator),
            "because": boot_time.because,
            "besides_s": boot_time.besides_s,
            "trials": boot_time.trials,
        },
        "space": {"disk_files_bytes": space.disk_files, "memory_bytes": space.memory, "results_bytes": space.results},
        "waivers": [waiver.where for waiver in estimate.plan.waivers],
        "cells": [_cell(one) for one in estimate.cells],
    }


def plan_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `plan_json`."""
    return load_schema("plan-1")


def _range(found: Range) -> dict[str, Any]:
    return {
        "boots_least": found.boots_least,
        "boots_most": found.boots_most,
        "time_least_s": found.time_least_s,
        "time_most_s": found.time_most_s,
    }


def _cell(one: CellEstimate) -> Mapping[str, Any]:
    experiment = one.cell.experiment
    return {
        "name": one.cell.name,
        "axes": dict(one.cell.axes),
        "baseline": experiment.baseline or None,
        "candidate": experiment.candidate or None,
        "workload": experiment.workload.name,
        "disk": disk_text(experiment.disk),
        "filesystem": filesystem_text(experiment.filesystem),
        "boot_s": one.boot_s,
        **_range(one.range),
    }
