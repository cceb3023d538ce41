"""``kab runs`` and ``kab report``: what is stored, again, later, elsewhere."""

from pathlib import Path

import click

from harness.cli.tables import new_table, print_table
from harness.parse.foreign import printable

# More than anybody stores; a database takes no number without end.
MOST_RUNS = 1_000_000


@click.command()
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1, max=MOST_RUNS),
    default=20,
    show_default=True,
    help="How many, newest first.",
)
@click.option("--cells", is_flag=True, help="List the cells of matrices, too, which are runs of their own.")
def runs(limit: int, cells: bool) -> None:
    """List the stored runs; those that cannot be read are named below the others."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        listing = lab.runs(limit, cells=cells)
        kept = lab.waiting()
    if kept and (kept.runs or kept.refused):
        refused = f"; {len(kept.refused)} that it refused stay here" if kept.refused else ""
        click.echo(
            f"kab: {kept.trials} boots of {kept.runs} runs wait here for the database, since {kept.since or 'long'}"
            f"{refused}; `kab store deliver` brings them to it.",
            err=True,
        )
    if not listing.runs and not listing.damaged:
        click.echo("No runs are stored yet; `kab ab BASELINE CANDIDATE` makes one.", err=True)
        return
    table = new_table("run", "created", "verb", "workload", "baseline", "candidate", "verdict")
    for run, ended in listing.runs:
        table.add_texts(
            run.id,
            f"{run.created.astimezone():%Y-%m-%d %H:%M}",
            f"{run.verb} ({run.parent.role.words})" if run.parent else run.verb,
            listing.titles.get(run.id, run.experiment.workload.name),
            run.baseline.name,
            run.candidate.name,
            ended,
        )
    if listing.runs:
        print_table(table)
    for told in listing.damaged:
        click.echo(f"kab: {printable(told.message)}\n{told.remedy}", err=True)


@click.command(
    epilog="\b\nExamples:\n  kab report last\n  kab report 20261122 --html report.html --json -\n"
    "  kab report last --all --waivers waivers.yaml\n  kab report last --png gate.png"
)
@click.argument("run", default="last")
@click.option("--html", "html", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
@click.option("--json", "json", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON (`-`: stdout).")
@click.option(
    "--mail",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of a matrix or a search: write a mail (`-`: stdout).",
)
@click.option(
    "--png", type=click.Path(path_type=Path), metavar="FILE", help="Of a matrix: write its cells as a picture."
)
@click.option("--all", "all_cells", is_flag=True, help="Of a matrix: list every cell, the good ones too.")
@click.option(
    "--waivers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of a gate: judge its boots anew with these waivers; nothing is booted or stored.",
)
def report(
    run: str,
    html: Path | None,
    json: Path | None,
    mail: Path | None,
    png: Path | None,
    all_cells: bool,
    waivers: Path | None,
) -> int:
    """Report on a stored RUN: its id, the beginning of one, or `last`. The exit status is its verdict's."""
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell

    reports = Reports(html=html, json=json, mail=mail, png=png)
    reports.check()
    with open_lab() as lab:
        told = lab.report(run, all_cells=all_cells, waivers=waivers)
        tell(told, reports)
    return told.exit_code
