"""A stored run in another tool's format, and its submission to KCIDB."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.export.formats import CsvRows, ExportFormat, check_fits, has_cells
from harness.lab.workspace import Workspace
from harness.model.matrix import MatrixView

if TYPE_CHECKING:
    from harness.lab.reports import ListerOf, MatrixReport, RunReport, SearchReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A run's results as text of a format."""

    run_id: str
    kind: ExportFormat
    text: str
    # Whether more boots may come.
    open: bool


def export(
    workspace: Workspace, run_id: str, kind: ExportFormat, *, rows: CsvRows | None, lister_of: "ListerOf"
) -> Export:
    """As Lab.export."""
    run = workspace.store.run(run_id)
    check_fits(kind, run.verb, run.id, rows)
    if has_cells(run.verb) and not (run.verb == "ab" and kind is ExportFormat.JSON):
        from harness.lab.matrixviews import matrix_view

        view = matrix_view(workspace, run.id)
        text = _of_view(view, kind, rows or CsvRows.CELLS, origin=workspace.settings.kcidb_origin)
        return Export(run_id=run.id, kind=kind, text=text, open=view.open)
    from harness.lab.reports import report

    told = report(workspace, run.id, lister_of=lister_of)
    return Export(run_id=run.id, kind=kind, text=_of_report(told, kind), open=run.finished is None)


def _of_view(view: MatrixView, kind: ExportFormat, rows: CsvRows, *, origin: str) -> str:
    match kind:
        case ExportFormat.JUNIT:
            from harness.export.junit import to_junit

            return to_junit(view)
        case ExportFormat.KTAP:
            from harness.export.ktap import to_ktap

            return to_ktap(view)
        case ExportFormat.KCIDB:
            from harness.export.kcidb import to_kcidb

            return to_kcidb(view, origin=origin)
        case ExportFormat.CSV:
            from harness.export.csv import to_csv

            return to_csv(view, rows)
        case ExportFormat.MAIL:
            from harness.report.matrix.mail import matrix_mail

            return matrix_mail(view)
        case ExportFormat.JSON:
            from harness.report.matrix.json import matrix_json_text

            return matrix_json_text(view)


def _of_report(told: "RunReport | SearchReport | MatrixReport", kind: ExportFormat) -> str:
    """Of a run that is no matrix, in a format that fits it."""
    from harness.export.csv import boots_csv
    from harness.lab.reports import SearchReport

    if kind is ExportFormat.JSON:
        return told.json()
    if kind is ExportFormat.MAIL and isinstance(told, SearchReport):
        return told.mail()
    runs = [("", told.run)]
    if isinstance(told, SearchReport):
        runs += [
            # The ends, the proofs and the revert tests.
            (f"{one.role.words} {one.before}-{one.after}", told.store.run(one.run_id))
            for one in told.store.bisections.subruns(told.run.id)
        ]
    return boots_csv((told.run.id, name, run) for name, run in runs)


def submit(workspace: Workspace, exported: Export) -> str:
    """As Lab.submit."""
    from harness.host.kcidbrest import VARIABLE, rest_service
    from harness.host.kcidbrest import submit as post

    if exported.kind is not ExportFormat.KCIDB:
        raise ConfigError(f"{exported.kind} is not submitted to anybody", remedy="Only --format kcidb is.")
    if exported.open:
        raise ConfigError(
            f"run {exported.run_id} is not finished, and KCIDB keeps what it is told",
            remedy="Finish it by the command that began it.",
        )
    return post(rest_service(workspace.environment.get(VARIABLE, "")), exported.text)
