"""``kab export``: a stored run in the formats of other tools."""

from pathlib import Path

import click

from harness.errors import ConfigError
from harness.export.formats import CsvRows, ExportFormat
from harness.parse.foreign import printable

_EPILOG = """\b
Examples:
  kab export last --format junit -o results.xml
  kab export 20261124 --format csv --what boots -o boots.csv
  KCIDB_REST=https://TOKEN@HOST kab export last --format kcidb --submit
"""


@click.command(epilog=_EPILOG)
@click.argument("run", default="last")
@click.option(
    "--format",
    "kind",
    type=click.Choice([kind.value for kind in ExportFormat]),
    required=True,
    help="junit, ktap: tests that pass or fail; kcidb: for KernelCI; csv: a table; json: all of it; mail: to be read.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("-"),
    metavar="FILE",
    help="Where to write it [stdout].",
)
@click.option(
    "--what",
    type=click.Choice([rows.value for rows in CsvRows]),
    help="Of csv: a row for each cell and metric, or for each boot and metric [cells, where there are any].",
)
@click.option("--submit", is_flag=True, help="Of kcidb: send it, to the service that KCIDB_REST names.")
def export(run: str, kind: str, output: Path, what: str | None, submit: bool) -> None:
    """Write a stored RUN (its id, the beginning of one, or `last`) in a format of other tools.

    The exit status says whether it was written, not what the run came to: `kab report` tells that. Nothing leaves this
    host without `--submit`.
    """
    from harness.cli.lab import open_lab
    from harness.cli.reports import check_target, write_target

    if submit and kind != ExportFormat.KCIDB:
        raise ConfigError(f"{kind} is not submitted to anybody", remedy="Only --format kcidb is.")
    check_target(output, "--output")
    with open_lab() as lab:
        exported = lab.export(run, kind=ExportFormat(kind), rows=CsvRows(what) if what else None)
        if exported.open:
            click.echo(f"kab: run {exported.run_id} is not finished: this is what is known by now", err=True)
        write_target(output, exported.text)
        if submit:
            click.echo(f"submitted: {printable(lab.submit(exported))}", err=True)
