"""A matrix as a report to KCIDB, KernelCI's database, in its schema 5.3: kernels as builds, cells and metrics as tests.

A cell is PASS or FAIL on the candidate, DONE where it was measured and not decided, MISS where the host lost it, ERROR
where the workload failed, SKIP where there is no such kernel. Each metric of each arm is DONE with its number. A waived
cell is a FAIL with an incident of the waiver's issue: the kernel is what it is.

Of a kernel of a package nobody can say which commit it was built from, so that its checkout and build hold its name,
version and content's hash and no more. What is of this machine alone (paths, mirrors, commands) is left out.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from harness.config.settings import check_origin
from harness.export.evidence import cell_lines, duration_s, excerpt, findings, kernels
from harness.export.statuses import Status, cell_message, cell_status
from harness.model.experiment import Arm
from harness.model.matrix import CellView, MatrixView, Waiver
from harness.model.run import KernelRecord
from harness.model.verdict import Comparison
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.parse.names import NameForm, name_of
from harness.report.matrix.words import waiver_words
from harness.report.wording import ordered, setting_lines
from harness.workloads.registry import metrics_of

VERSION = {"major": 5, "minor": 3}
# What the schema says.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_OF_LOG = 16_384
_LONGEST_TEXT = 1000
_STATUSES = {
    Status.PASSED: "PASS",
    Status.NOTED: "PASS",
    Status.FAILED: "FAIL",
    Status.WAIVED: "FAIL",
    Status.UNDECIDED: "DONE",
    Status.BROKEN: "ERROR",
    Status.LOST: "MISS",
    Status.ABSENT: "SKIP",
}
# Our unit -> KCIDB's, what to multiply by, and which prefixes go before it.
_UNITS: Mapping[str, tuple[str, float, str]] = {
    "MiB/s": ("B/s", 1024.0 * 1024.0, "binary"),
    "us": ("s", 1e-6, "metric"),
    "ms": ("s", 1e-3, "metric"),
    "s": ("s", 1.0, "metric"),
}
# Of a kernel's provenance: what names it anywhere.
_TOLD = ("release", "packages", "sha256", "commit", "describe", "tree_hash")


@dataclass(slots=True)
class _Report:
    """The objects of a report, by kind, each once."""

    origin: str
    objects: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in ("checkouts", "builds", "tests", "issues", "incidents")}
    )

    def id(self, *parts: str) -> str:
        """An id of this origin; unique where its parts are."""
        return f"{self.origin}:{':'.join(name_of(NameForm.FILE, part) for part in parts)}"

    def add(self, kind: str, id_: str, **fields: Any) -> str:
        """Add an object, without what is empty. Returns its id."""
        told = {name: value for name, value in fields.items() if value not in (None, "", {}, [])}
        self.objects[kind].setdefault(id_, {"id": id_, "origin": self.origin, **told})
        return id_


def to_kcidb(view: MatrixView, *, origin: str) -> str:
    """The report as JSON text. `origin` names the system that submits it. Raises ConfigError for one that cannot."""
    report = _Report(check_origin(origin))
    for kernel in kernels(view).values():
        _build(report, kernel)
    for cell in view.cells:
        _cell(report, view, cell)
    document = {"version": VERSION, **{kind: list(some.values()) for kind, some in report.objects.items() if some}}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _build(report: _Report, kernel: KernelRecord) -> str:
    """A kernel as it is in the cache: a checkout and a build of it."""
    commit = kernel.provenance.get("commit", "")
    told = {name: _text(kernel.provenance[name]) for name in _TOLD if kernel.provenance.get(name)}
    checkout = report.add(
        "checkouts",
        report.id("checkout", kernel.source, commit or kernel.version or kernel.release, kernel.digest[:12]),
        git_commit_hash=commit if _COMMIT.fullmatch(commit) else None,
        git_commit_name=_text(kernel.provenance.get("describe", "")) if commit else None,
        comment=_text(f"{kernel.source} {kernel.version or kernel.release}"),
        valid=True,
    )
    return report.add(
        "builds",
        _build_id(report, kernel),
        checkout_id=checkout,
        comment=_text(kernel.release),
        compiler=_text(kernel.provenance.get("compiler", "")),
        # It booted, or was taken for a kernel: somebody has built it.
        status="PASS",
        misc={"kab": {"digest": kernel.digest, "source": kernel.source, "version": _text(kernel.version), **told}},
    )


def _build_id(report: _Report, kernel: KernelRecord) -> str:
    return report.id("build", kernel.digest)


def _absent_build(report: _Report, spec: str) -> str:
    """Of a kernel that is not to be had: nobody knows its content."""
    checkout = report.add("checkouts", report.id("checkout", "spec", spec), comment=_text(spec))
    return report.add(
        "builds", report.id("build", "spec", spec), checkout_id=checkout, comment=_text(spec), status="MISS"
    )


def _cell(report: _Report, view: MatrixView, cell: CellView) -> None:
    result, experiment = cell.result, cell.cell.experiment
    path = name_of(NameForm.PATH, "kab", view.plan.title, cell.cell.name)
    candidate = _build_id(report, result.candidate) if result.candidate else _absent_build(report, experiment.candidate)
    common = {
        "environment": {
            "comment": _text("; ".join(setting_lines(experiment).values())),
            "misc": {"kab": {name: _text(value) for name, value in view.run.conditions.items()}},
        },
        "start_time": _moment(cell.run.created if cell.run else view.run.created),
    }
    test = report.add(
        "tests",
        report.id("test", view.run.id, cell.cell.name),
        build_id=candidate,
        path=path,
        status=_STATUSES[cell_status(cell)],
        comment=_text(cell_message(result)),
        duration=round(duration_s(cell), 3),
        log_excerpt=_log(cell),
        misc={"kab": _cell_misc(view, cell)},
        **common,
    )
    if result.waiver is not None:
        _incident(report, result.waiver, test)
    for arm, kernel in ((Arm.BASELINE, result.baseline), (Arm.CANDIDATE, result.candidate)):
        if kernel is not None and cell.decision is not None:
            for fields in _numbers(cell, arm):
                name = str(fields.pop("name"))
                report.add(
                    "tests",
                    report.id("test", view.run.id, cell.cell.name, name, arm),
                    build_id=_build_id(report, kernel),
                    path=f"{path}.{name_of(NameForm.PATH, name)}",
                    status="DONE",
                    **fields,
                    **common,
                )


def _cell_misc(view: MatrixView, cell: CellView) -> dict[str, Any]:
    result = cell.result
    return {
        "run": view.run.id,
        "cell_run": result.run_id or "",
        "cell": _text(cell.cell.name),
        "verdict": str(result.verdict),
        "boots": result.boots,
        "kab_version": view.run.kab_version,
        **({"baseline_build": name} if (name := _baseline_name(result.baseline)) else {}),
        "metrics": {
            found.metric: {"verdict": str(found.verdict), "margin": found.margin, **_effect(found.comparison)}
            for found in result.metrics
        },
    }


def _baseline_name(kernel: KernelRecord | None) -> str:
    return _text(f"{kernel.name} {kernel.version}") if kernel else ""


def _numbers(cell: CellView, arm: Arm) -> Iterator[dict[str, Any]]:
    """Every metric that boots of an arm gave: its name, and fields of a test."""
    metrics = metrics_of(cell.cell.experiment.workload)
    for found in ordered(cell.decision, metrics):
        value = found.baseline if arm is Arm.BASELINE else found.candidate
        if value is None or not math.isfinite(value):
            continue
        metric = metrics.get(found.metric)
        misc = {"kab": {"arm": str(arm), "blocks": found.blocks, **(_effect(found) if arm is Arm.CANDIDATE else {})}}
        yield {
            "name": found.metric,
            "number": _number(value, metric),
            "comment": _text(metric.title) if metric else None,
            "misc": misc,
        }


def _number(value: float, metric: Metric | None) -> dict[str, Any]:
    unit = metric.unit if metric else ""
    if unit == "1/s" and metric is not None and metric.name.endswith("_iops"):
        return {"value": value, "unit": "IOPS", "prefix": "metric"}
    if unit in _UNITS:
        theirs, factor, prefix = _UNITS[unit]
        return {"value": value * factor, "unit": theirs, "prefix": prefix}
    return {"value": value, **({"unit": unit} if unit else {})}


def _effect(found: Comparison) -> dict[str, float]:
    """Candidate over baseline with its interval, as far as there are any."""
    numbers = {"ratio": found.ratio, "low": found.low, "high": found.high, "error": found.error}
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def _incident(report: _Report, waiver: Waiver, test: str) -> None:
    """A waiver is an issue that somebody has; its cell is an incident of it."""
    words = waiver_words(waiver)
    issue = report.id("waiver", sha256(words.encode()).hexdigest()[:16])
    culprit = {"code": True, "tool": False, "harness": False}
    report.add("issues", issue, version=1, comment=_text(waiver.reason), culprit=culprit, misc={"kab": words})
    report.add(
        "incidents", report.id("incident", issue, test), issue_id=issue, issue_version=1, test_id=test, present=True
    )


def _log(cell: CellView) -> str | None:
    """The kernel's log where something was found in it; else what is said of the cell."""
    traces = "\n\n".join(excerpt(finding) for finding in findings(cell))
    text = traces or "\n".join(cell_lines(cell))
    return printable(text, lines=True, limit=_MOST_OF_LOG) if text else None


def _moment(moment: datetime) -> str:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _text(text: str) -> str:
    return printable(" ".join(text.split()), limit=_LONGEST_TEXT)
