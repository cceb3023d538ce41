"""``kab runs`` and ``kab report``: what is stored, again, later, elsewhere."""

from pathlib import Path

import click

from harness.cli.progress import ShownProgress
from harness.cli.tables import new_table, print_table


@click.command()
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first."
)
def runs(limit: int) -> None:
    """List the stored runs."""
    from harness.cli.session import Session

    with Session(ShownProgress()) as session:
        found = session.store.runs(limit)
        if not found:
            click.echo("No runs are stored yet; `kab ab BASELINE CANDIDATE` makes one.", err=True)
            return
        table = new_table("run", "created", "workload", "baseline", "candidate", "verdict")
        for run in found:
            decision = session.store.decision(run.id)
            table.add_row(
                run.id,
                f"{run.created.astimezone():%Y-%m-%d %H:%M}",
                run.experiment.workload.name,
                run.baseline.release,
                run.candidate.release,
                str(decision.verdict) if decision else "unfinished",
            )
        print_table(table)


@click.command(epilog="\b\nExamples:\n  kab report last\n  kab report 20261122 --html report.html --json -")
@click.argument("run", default="last")
@click.option("--html", "html", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
@click.option("--json", "json", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON (`-`: stdout).")
def report(run: str, html: Path | None, json: Path | None) -> int:
    """Report on a stored RUN: its id, the beginning of one, or `last`. The exit status is its verdict's."""
    from harness.cli.session import Session
    from harness.errors import ExitCode

    with Session(ShownProgress()) as session:
        stored = session.store.run(run)
        decision = session.store.decision(stored.id)
        session.report(stored, decision, json=json, html=html)
    return decision.verdict.exit_code if decision else ExitCode.CANNOT_TELL
