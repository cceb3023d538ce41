"""``kab nightly``: what is new of each series, against the last good kernel of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.matrix import FILE, POLICY_OPTIONS, RESULT_OPTIONS, with_options
from harness.cli.options import cell_options, place_options, progress_option
from harness.parse.foreign import printable

if TYPE_CHECKING:
    from harness.cli.reports import Reports
    from harness.lab.lab import Lab
    from harness.lab.nightly import NightlyResult

EPILOG = """\b
Examples:
  kab nightly ./nightly.yaml
  kab nightly ./nightly.yaml --json night.json --html night.html --junit night.xml
  kab nightly ./nightly.yaml --only series=debian:6.12
  kab nightly ./nightly.yaml --bisect --on-change 'sh -c "mail -s \\"$KAB_ALARM_CELL\\" me@example.org"'

\b
A command of --on-change has the facts as variables (KAB_ALARM_ID, _MATRIX, _SERIES, _CELL, _METRIC, _CHANGE, _BEFORE,
_AFTER, _RATIO, _CONFIRMED_BY, _BISECT, _REPEAT) and as JSON on stdin. No shell reads it; it has five minutes.

\b
Exit status: as `kab gate`, over all that was measured tonight; 0 where nothing is new. 131 where another kab measures
  these nights already.
"""


@click.command(epilog=EPILOG)
@with_options(
    FILE,
    cell_options,
    *POLICY_OPTIONS,
    place_options,
    click.option("--bisect", is_flag=True, help="Search for each change that is confirmed tonight."),
    click.option("--on-change", metavar="COMMAND", help="Run this for each change that is confirmed tonight."),
    *RESULT_OPTIONS,
    progress_option,
)
def nightly(
    file: str,
    only: tuple[str, ...],
    shard: str | None,
    waivers: Path | None,
    error: str | None,
    miss: str | None,
    max_boots: str | None,
    max_time: str | None,
    bisect: bool,
    on_change: str | None,
    mail: Path | None,
    junit: Path | None,
    progress: str,
    **options: Any,
) -> int:
    """Measure what is new of the series in FILE (`nightly: {series: [debian:6.12]}`), each in all cells.

    A kernel is measured once, as `kab gate` does, against the last good one of its series; on the first night against
    the baseline of FILE, or the one before it on offer. The same command in the same night measures nothing, and goes
    on with a night that was interrupted. What the nights make suspect is put to an A/B of the two kernels, and told
    once: see `kab alarms`. Files for results hold the newest kernels, where several of a series are new.
    """
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports
    from harness.config import request_from_options
    from harness.lab.matrixfiles import asked_file
    from harness.lab.nightlyrequest import NightlyRequest

    destroy_data = options.pop("destroy_data")
    policy = {"error": error, "miss": miss, "max_boots": max_boots, "max_time": max_time}
    asked = asked_file(file, request_from_options(options), waivers=waivers, policy=policy)
    reports = Reports(json=asked.json, html=asked.html, mail=mail, junit=junit)
    reports.check()
    wanted = NightlyRequest(
        file=asked,
        only=only,
        shard=shard,
        on_change=on_change,
        bisect=bisect,
        destroy_data=destroy_data,
        command=("kab", *sys.argv[1:]),
    )
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        result = lab.nightly(wanted)
    _tell(lab, result, reports)
    return result.exit_code


def _tell(lab: "Lab", result: "NightlyResult", reports: "Reports") -> None:
    """Print what a night came to, and write the reports of its last round."""
    from harness.cli.reports import tell

    def say(text: str) -> None:
        click.echo(text, err=reports.take_stdout)

    for note in result.notes:
        say(printable(note))
    for error in result.troubles:
        say(printable(f"not measured: {error.message}"))
    for run, _ in result.rounds[:-1]:
        say(f"\n{lab.report(run.id).text()}")
    for story in result.alarms:
        say(f"\n{story.text()}")
    for searched in result.searches:
        where = f" (kab report {searched.run.id})" if searched.run is not None else ""
        say(printable(f"search for alarm {searched.alarm.id}: {searched.found}{where}"))
    if result.rounds:
        say("")
        tell(lab.report(result.rounds[-1][0].id), reports)
