"""A stored search, and the reports that are made of it."""

import json
from pathlib import Path

import click

from harness.bisect.fold import stand
from harness.cli.reports import Reports
from harness.errors import ConfigError
from harness.lab.lab import StoredSession
from harness.lab.storedsearch import stored_search
from harness.lab.treesuspects import with_suspects
from harness.model.bisection import BisectionOutcome
from harness.report.bisection import bisection_summary
from harness.report.bisectpage import bisection_html
from harness.report.gitbisectlog import git_bisect_log
from harness.report.listmail import list_mail
from harness.report.searchjson import search_to_json
from harness.workloads.registry import METRICS


def tell(
    session: StoredSession, run_id: str, outcome: BisectionOutcome | None, reports: Reports, *, tree: Path | None = None
) -> None:
    """Print the summary of a stored search (to stderr where a report takes stdout), and write the reports.

    With what the git tree `tree`, or that of the settings, lists at its edges.
    """
    found, evidence = stored_search(session, run_id)
    outcome = with_suspects(session, evidence.plan, found.experiment, outcome, tree)
    standing = stand(evidence, METRICS)
    subruns = (
        {subrun.run_id: session.store.run(subrun.run_id) for subrun, _, _ in evidence.proofs} if reports.mail else {}
    )
    told = (found, evidence, standing, outcome, METRICS)
    click.echo(bisection_summary(*told), err=reports.take_stdout)
    reports.write(
        {
            "mail": lambda: list_mail(*told, subruns=subruns),
            "json": lambda: json.dumps(search_to_json(*told), indent=1) + "\n",
            "html": lambda: bisection_html(*told),
        }
    )


def git_log(session: StoredSession, run_id: str | None) -> str:
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
