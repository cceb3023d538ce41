"""What is told of a stored run: as text, as one HTML file, as JSON, of a search as a mail, too."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, ExitCode
from harness.lab.workspace import Workspace
from harness.model.experiment import BlockPlace, PlaceT
from harness.model.matrix import MATRIX_VERBS
from harness.model.run import Run, SubrunRole
from harness.model.trial import Trial, written
from harness.model.verdict import Decision
from harness.model.workload import Metric
from harness.report.attachments import ATTACHMENTS
from harness.report.compare.html import to_html
from harness.report.compare.json import to_json
from harness.report.compare.text import summary
from harness.workloads.registry import metrics_of

if TYPE_CHECKING:
    from harness.bisect.evidence import Evidence
    from harness.bisect.view import Standing
    from harness.lab.searches import StoredSearch
    from harness.model.bisection import BisectionOutcome
    from harness.model.matrix import MatrixView
    from harness.run.answer import TreeLister
    from harness.store import SqlStore

# (the git clone that was named, or None) -> what lists the commits between two packages.
ListerOf = Callable[[Path | None], "TreeLister | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Of an A/B run, or of one kernel against a stored run. `decision` is None while it is open."""

    run: Run
    decision: Decision | None
    store: "SqlStore"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What the run's workload may yield, in the order to show it in."""
        return metrics_of(self.run.experiment.workload)

    @property
    def exit_code(self) -> ExitCode:
        """The verdict's status."""
        return self.decision.verdict.exit_code if self.decision else ExitCode.CANNOT_TELL

    def text(self) -> str:
        """The summary for a terminal."""
        return summary(self.run, self.decision, _shown(self.run), self.metrics)

    def json(self) -> str:
        """The whole result as JSON."""
        return json.dumps(to_json(self.run, self.decision, _shown(self.run), self.metrics), indent=1) + "\n"

    def html(self) -> str:
        """The whole result as one page."""
        whole = self.store.with_artifacts(self.run, ATTACHMENTS)
        return to_html(whole, self.decision, _shown(whole), self.metrics)


def _shown(run: Run) -> list[Trial[BlockPlace]]:
    """The trials of a run as tables have them: a classification's are the candidate's, each in block 0."""
    return [written(trial) for trial in run.trials]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """Of a search. `outcome` holds what a git tree lists at its edges, and is None while the search is open."""

    search: "StoredSearch"
    standing: "Standing"
    outcome: "BisectionOutcome | None"
    store: "SqlStore"

    @property
    def run(self) -> Run:
        """The search's run."""
        return self.search.run

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What the search's workload may yield, in the order to show it in."""
        return metrics_of(self.run.experiment.workload)

    @property
    def exit_code(self) -> ExitCode:
        """The answer's status."""
        return self.outcome.answer.exit_code if self.outcome else ExitCode.CANNOT_TELL

    def text(self) -> str:
        """The summary for a terminal."""
        from harness.report.search.text import bisection_summary

        return bisection_summary(self.run, self.search.evidence, self.standing, self.outcome, self.metrics)

    def json(self) -> str:
        """The whole search as JSON."""
        from harness.report.search.json import search_to_json

        told = search_to_json(self.run, self.search.evidence, self.standing, self.outcome, self.metrics)
        return json.dumps(told, indent=1) + "\n"

    def html(self) -> str:
        """The whole search as one page."""
        from harness.report.search.html import bisection_html

        return bisection_html(self.run, self._with_files(), self.standing, self.outcome, self.metrics)

    def _with_files(self) -> "Evidence":
        """The evidence with the files of its boots that a page shows."""
        evidence, bisections = self.search.evidence, self.store.bisections

        def with_files(run_id: str, made: Sequence[Trial[PlaceT]]) -> tuple[Trial[PlaceT], ...]:
            return tuple(replace(one, artifacts=self.store.artifacts(run_id, one.spec, ATTACHMENTS)) for one in made)

        ends = next((one.run_id for one in bisections.subruns(self.run.id) if one.role is SubrunRole.ENDS), "")
        return replace(
            evidence,
            ends=with_files(ends, evidence.ends),
            trials=with_files(self.run.id, evidence.trials),
            proofs=tuple((one, with_files(one.run_id, made), decision) for one, made, decision in evidence.proofs),
        )

    def mail(self) -> str:
        """A mail for the kernel's lists."""
        from harness.report.search.mail import list_mail

        evidence = self.search.evidence
        subruns = {subrun.run_id: self.store.run(subrun.run_id) for subrun, _, _ in evidence.proofs}
        return list_mail(self.run, evidence, self.standing, self.outcome, self.metrics, subruns=subruns)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixReport:
    """Of a matrix, with all of its cells."""

    view: "MatrixView"
    store: "SqlStore"
    # Whether the text has a table of all cells.
    all_cells: bool = False

    @property
    def run(self) -> Run:
        """The matrix's run."""
        return self.view.run

    @property
    def exit_code(self) -> ExitCode:
        """The matrix's status."""
        return self.view.exit_code

    def text(self) -> str:
        """The summary for a terminal."""
        from harness.report.matrix.text import matrix_summary

        return matrix_summary(self.view, all_cells=self.all_cells)

    def json(self) -> str:
        """The whole matrix as JSON."""
        from harness.report.matrix.json import matrix_to_json

        return json.dumps(matrix_to_json(self.view), indent=1) + "\n"

    def html(self) -> str:
        """The whole matrix as one page."""
        from harness.lab.matrixpages import with_consoles
        from harness.report.matrix.html import matrix_html

        return matrix_html(with_consoles(self.store, self.view))

    def png(self) -> bytes:
        """All cells as a picture. Raises ConfigError where what draws it is not installed."""
        from harness.report.matrix.picture import matrix_svg
        from harness.report.png import to_png

        return to_png(matrix_svg(self.view))

    def mail(self) -> str:
        """A mail for those who wait for it."""
        from harness.report.matrix.mail import matrix_mail

        return matrix_mail(self.view)

    def junit(self) -> str:
        """The cells as tests, for a CI system."""
        from harness.export.junit import to_junit

        return to_junit(self.view)


def report(
    workspace: Workspace,
    run_id: str,
    *,
    lister_of: ListerOf,
    all_cells: bool = False,
    waivers: Path | None = None,
) -> RunReport | SearchReport | MatrixReport:
    """As Lab.report."""
    run = workspace.store.run(run_id)
    if run.verb in MATRIX_VERBS:
        from harness.lab.matrixviews import matrix_view, rejudged

        view = matrix_view(workspace, run.id)
        judged = view if waivers is None else rejudged(view, waivers)
        return MatrixReport(view=judged, store=workspace.store, all_cells=all_cells)
    if waivers is not None:
        raise ConfigError(f"run {run.id} is no gate but a `kab {run.verb}`", remedy="Leave --waivers out.")
    if run.verb == "bisect":
        return report_search(workspace, run.id, lister_of=lister_of)
    return RunReport(run=run, decision=workspace.store.decision(run.id), store=workspace.store)


def report_search(
    workspace: Workspace,
    run_id: str | None,
    *,
    lister_of: ListerOf,
    tree: Path | None = None,
    outcome: "BisectionOutcome | None" = None,
) -> SearchReport:
    """As Lab.report_search."""
    from harness.lab.searches import stored_search
    from harness.lab.treesuspects import with_suspects

    search = stored_search(workspace, run_id)
    known = with_suspects(search.plan, search.run.experiment, outcome or search.outcome, tree, lister_of)
    return SearchReport(search=search, standing=search.standing(), outcome=known, store=workspace.store)
