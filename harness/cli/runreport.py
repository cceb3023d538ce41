"""What is told of an A/B run at its end, and again later."""

import json

import click

from harness.cli.reports import Reports
from harness.lab.lab import StoredSession
from harness.model.run import Run
from harness.model.trial import written
from harness.model.verdict import Decision
from harness.report import ATTACHMENTS, summary, to_html, to_json
from harness.workloads.registry import METRICS


def tell_run(session: StoredSession, run: Run, decision: Decision | None, reports: Reports) -> None:
    """Print the summary of a stored run (to stderr where a report takes stdout), and write the reports asked for."""

    def page() -> str:
        whole = session.store.with_artifacts(run, ATTACHMENTS)
        return to_html(whole, decision, [written(trial) for trial in whole.trials], METRICS)

    # A classification's boots are shown as the candidate's, each in block 0.
    trials = [written(trial) for trial in run.trials]
    click.echo(summary(run, decision, trials, METRICS), err=reports.take_stdout)
    reports.write({"json": lambda: json.dumps(to_json(run, decision, trials, METRICS), indent=1) + "\n", "html": page})
