"""``kab plan``: what a matrix will take, before anything boots."""

from json import dumps
from pathlib import Path
from typing import Any

import click

from harness.cli.options import cell_options

EPILOG = """\b
Examples:
  kab plan nightly
  kab plan ./matrix.yaml --only 'workload=shared-dio*' --only fs=ext4
  kab plan ./matrix.yaml --shard 2/5 --json plan.json
"""


@click.command(epilog=EPILOG)
@click.argument("file", metavar="FILE|NAME")
@cell_options
@click.option("--baseline", metavar="SPEC", help="The baseline of all cells, over what the file says.")
@click.option("--candidate", metavar="SPEC", help="The candidate of all cells, over what the file says.")
@click.option("--accel", type=click.Choice(["kvm", "tcg"]), help="Who will run the guests [as in the newest run].")
@click.option("--json", "json", type=click.Path(path_type=Path), metavar="FILE", help="Write all cells (`-`: stdout).")
def plan(file: str, only: tuple[str, ...], shard: str | None, json: Path | None, **options: Any) -> None:
    """List the cells of a matrix, and the boots, time and room that they will take. Nothing is booted or fetched.

    FILE is a matrix or an experiment; a name without a `/` or `.yaml` is one that ships with kab. All of it is checked.
    """
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports
    from harness.config import request_from_options
    from harness.report.planned import plan_json, plan_text

    reports = Reports(json=json)
    reports.check()
    with open_lab() as lab:
        estimate = lab.plan_matrix(file, request_from_options(options), only=only, shard=shard)
    click.echo(plan_text(estimate), err=reports.take_stdout)
    reports.write({"json": lambda: dumps(plan_json(estimate), indent=1)})
