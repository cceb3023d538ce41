"""A stored search, and the reports that are made of it."""

import json
from dataclasses import dataclass
from pathlib import Path

import click

from harness.bisect.findings import Evidence
from harness.bisect.standing import stand
from harness.cli.session import Session
from harness.cli.treesuspects import with_suspects
from harness.errors import ConfigError
from harness.host.files import write_atomically
from harness.model.bisection import BisectionOutcome
from harness.model.metrics import METRICS
from harness.model.run import Run
from harness.report.bisection import bisection_summary
from harness.report.bisectpage import bisection_html
from harness.report.gitbisectlog import git_bisect_log
from harness.report.listmail import list_mail
from harness.report.searchjson import search_to_json
from harness.run.evidence import stored_evidence

_STDOUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Files to write; ``-`` is stdout, where the summary then gives way."""

    html: Path | None = None
    json: Path | None = None
    mail: Path | None = None


def stored_search(session: Session, run_id: str | None) -> tuple[Run, Evidence]:
    """A stored search, the newest where none is named. Raises ConfigError."""
    store = session.store
    wanted = run_id if run_id not in {None, "last"} else store.bisections.newest()
    if wanted is None:
        raise ConfigError("there is no search yet", remedy="Begin one with `kab bisect FROM TO`.")
    found = store.run(wanted)
    plan = store.bisections.plan(found.id)
    if plan is None:
        raise ConfigError(
            f"run {found.id} is no search but a `kab {found.verb}`", remedy=f"See `kab report {found.id}`."
        )
    return found, stored_evidence(store, store.bisections, found, plan)


def tell(
    session: Session, run_id: str, outcome: BisectionOutcome | None, reports: Reports, *, tree: Path | None = None
) -> None:
    """Print the summary of a stored search (to stderr where a report takes stdout), and write the reports.

    With what the git tree `tree`, or that of the settings, lists at its edges.
    """
    found, evidence = stored_search(session, run_id)
    outcome = with_suspects(session, evidence.plan, found.experiment, outcome, tree)
    standing = stand(evidence, METRICS)
    taken = _STDOUT in {reports.json, reports.mail, reports.html}
    click.echo(bisection_summary(found, evidence, standing, outcome, METRICS), err=taken)
    if reports.mail is not None:
        parts = {part.run_id: session.store.run(part.run_id) for part, _, _ in evidence.proofs}
        _write(reports.mail, "mail", list_mail(found, evidence, standing, outcome, METRICS, parts=parts))
    if reports.json is not None:
        document = search_to_json(found, evidence, standing, outcome, METRICS)
        _write(reports.json, "JSON", json.dumps(document, indent=1) + "\n")
    if reports.html is not None:
        _write(reports.html, "report", bisection_html(found, evidence, standing, outcome, METRICS))


def git_log(session: Session, run_id: str | None) -> str:
    """What `git bisect replay` takes, for each edge of a stored search over commits. Raises ConfigError."""
    found, evidence = stored_search(session, run_id)
    outcome = session.store.bisections.outcome(found.id)
    edges = outcome.edges if outcome else ()
    standing = stand(evidence, METRICS)
    logs = [text for edge in edges if (text := git_bisect_log(evidence, standing, edge, edges))]
    if not logs:
        raise ConfigError(
            f"search {found.id} has found no edge between commits",
            remedy="`kab bisect log` prints any search as text that `kab bisect replay` reads.",
        )
    return "\n".join(logs)


def _write(path: Path, what: str, text: str) -> None:
    if path == _STDOUT:
        click.echo(text, nl=False)
    else:
        write_atomically(path, text.encode())
        click.echo(f"\n{what}: {path}", err=True)
