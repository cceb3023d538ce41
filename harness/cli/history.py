"""``kab history``: what nightly runs measured, night by night."""

from pathlib import Path

import click

# More than anybody has.
_MOST_NIGHTS = 100_000

EPILOG = """A night is a cell of a matrix that `kab run`, `kab gate` or `kab nightly` measured; its candidate's boots
are followed. CELL, SERIES, METRIC and TITLE may be patterns such as 'shared-dio/*'.

\b
Marks in the table:
  !  worse, confirmed: an alarm     +  better, confirmed
  ?  suspected, not confirmed       |  another host, QEMU, image, ...: not comparable with the night before

\b
Examples:
  kab history --workload shared-dio
  kab history --workload shared-dio --cell '*/btrfs' --metric '*clat*' --nights 7
  kab history --series debian:6.12 --html history.html --json history.json
"""


@click.command(epilog=EPILOG)
@click.option("--workload", metavar="NAME", help="Only series of this workload.")
@click.option("--matrix", metavar="TITLE", help="Only those of matrices of this title.")
@click.option("--cell", metavar="CELL", help="Only those of this cell.")
@click.option("--series", metavar="SPEC", help="Only those on kernels that are newest of this, such as debian:6.12.")
@click.option("--metric", metavar="METRIC", help="Which metrics, '*' for all [the first speed that there is].")
@click.option(
    "-n",
    "--nights",
    type=click.IntRange(min=1, max=_MOST_NIGHTS),
    default=20,
    show_default=True,
    help="Rows of each table: the newest nights, and older ones with a mark. Files have all nights.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write charts as one HTML file.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON (`-`: stdout).")
def history(
    workload: str | None,
    matrix: str | None,
    cell: str | None,
    series: str | None,
    metric: str | None,
    nights: int,
    html: Path | None,
    json: Path | None,
) -> None:
    """Show what nightly runs measured: a series for each cell, kernel series and metric, with its confirmed changes."""
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell

    reports = Reports(html=html, json=json)
    reports.check()
    with open_lab() as lab:
        told = lab.history(workload=workload, matrix=matrix, cell=cell, series=series, metric=metric, newest=nights)
    tell(told, reports)
