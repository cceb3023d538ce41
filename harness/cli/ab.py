"""``kab ab``: baseline against candidate."""

import sys
from typing import Any

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import experiment_options, progress_option

EPILOG = """\b
Examples:
  kab ab debian:6.12 debian:7.2
  kab ab debian:6.12 debian:6.12                       # the same kernel twice says: same
  kab ab debian:6.12 debian:7.2 --fs btrfs             # with checksums: direct writes become buffered ones
  kab ab debian:6.1 file:arch/x86/boot/bzImage --workload database-pages --metric write_iops
  kab ab -f btrfs-dio --html report.html --json report.json
"""


@click.command(epilog=EPILOG)
@click.argument("baseline", required=False)
@click.argument("candidate", required=False)
@click.option(
    "-f", "--file", "file", metavar="FILE|NAME", help="Experiment file, or one of kab's; options override it."
)
@experiment_options
@click.option("--json", "json", metavar="FILE", help="Write the whole result as JSON (`-`: stdout).")
@click.option("--html", "html", metavar="FILE", help="Write the report as one HTML file.")
@click.option("--new", "fresh", is_flag=True, help="Start anew where an unfinished run could be continued.")
@progress_option
def ab(file: str | None, fresh: bool, progress: str, **options: Any) -> int:
    """Boot BASELINE and CANDIDATE in turns and say which is faster, by how much, and how sure that is.

    Kernels are named as debian:6.12 (newest of a series), debian:7.2.12+deb13-cloud-amd64 (one package),
    debian:trixie-backports (newest of a suite), deb:FILE, file:BZIMAGE[,modules=DIR], tree:DIR or host.
    """
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell
    from harness.config import find_experiment, load_experiment, request_from_options

    destroy_data = options.pop("destroy_data")
    request = request_from_options(options)
    if file is not None:
        request = request.over(load_experiment(find_experiment(file)))
    reports = Reports(json=request.json, html=request.html)
    reports.check()
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        run, decision = lab.compare(request, destroy_data=destroy_data, fresh=fresh, command=_command())
    tell(lab.report(run.id), reports)
    return decision.verdict.exit_code


def _command() -> tuple[str, ...]:
    return ("kab", *sys.argv[1:])
