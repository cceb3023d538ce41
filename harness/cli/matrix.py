"""What ``kab run``, ``kab gate`` and ``kab nightly`` share: options, the run, and how its result is told."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import cell_options, place_options, progress_option
from harness.errors import ExitCode

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Option = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.argument("file", metavar="FILE|NAME")
POLICY_OPTIONS: tuple[_Option, ...] = (
    click.option(
        "--waivers",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What is borne with, by whom and until when [as the file says].",
    ),
    click.option(
        "--error", metavar="PERCENT", help="Probability that a good candidate fails, over all cells and metrics [5%]."
    ),
    click.option(
        "--miss", metavar="PERCENT", help="Probability that a metric passes which is worse than allowed [5%]."
    ),
    click.option("--max-boots", metavar="N", help="Boots of all cells together [what the cells allow]."),
    click.option("--max-time", metavar="TIME", help="Time of all boots together, such as 4h [no limit]."),
)
RESULT_OPTIONS: tuple[_Option, ...] = (
    click.option("--json", "json", metavar="FILE", help="Write the whole result as JSON (`-`: stdout)."),
    click.option("--html", "html", metavar="FILE", help="Write the report as one HTML file."),
    click.option(
        "--mail", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as a mail (`-`: stdout)."
    ),
    click.option(
        "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the cells as tests, in JUnit's XML."
    ),
)
_BEFORE: tuple[_Option, ...] = (
    FILE,
    click.option("--baseline", metavar="SPEC", help="The baseline of all cells, over what the file says."),
    click.option("--candidate", metavar="SPEC", help="The candidate of all cells, over what the file says."),
    cell_options,
)
_AFTER: tuple[_Option, ...] = (
    place_options,
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Order of cells and boots [drawn, and stored]."),
    *RESULT_OPTIONS,
    click.option("--new", "fresh", is_flag=True, help="Start anew where an unfinished run could be continued."),
    progress_option,
)


def matrix_options(*between: _Option) -> Callable[[_Function], Callable[..., Any]]:
    """The argument and options of a verb that measures a matrix; those of its own stand between the shared ones."""

    return with_options(*_BEFORE, *between, *_AFTER)


def with_options(*wanted: _Option) -> Callable[[_Function], Callable[..., Any]]:
    """Arguments and options of a verb, as its help has them."""

    def apply(function: _Function) -> Callable[..., Any]:
        applied: Callable[..., Any] = function
        for option in reversed(wanted):
            applied = option(applied)
        return applied

    return apply


def measure(
    verb: str,
    file: str,
    options: dict[str, Any],
    *,
    waivers: Path | None = None,
    policy: Mapping[str, str | None] | None = None,
) -> int:
    """Measure the cells of a matrix file that the words mean, tell of it, and return the status."""
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell
    from harness.config import request_from_options
    from harness.lab.matrixfiles import read_matrix

    only, shard, progress = options.pop("only"), options.pop("shard"), options.pop("progress")
    mail: Path | None = options.pop("mail")
    junit: Path | None = options.pop("junit")
    seed, fresh, destroy_data = options.pop("seed"), options.pop("fresh"), options.pop("destroy_data")
    asked = read_matrix(
        file,
        request_from_options(options),
        gate=verb == "gate",
        only=only,
        shard=shard,
        waivers=waivers,
        policy=policy,
    )
    reports = Reports(json=asked.request.json, html=asked.request.html, mail=mail, junit=junit)
    reports.check()
    if not asked.plan.cells:
        click.echo(f"kab: none of the {asked.left_out} cells is in shard {shard}: nothing to measure", err=True)
        return ExitCode.GOOD
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        run, outcome = lab.measure_matrix(
            asked.plan,
            verb=verb,
            place=asked.request,
            destroy_data=destroy_data,
            fresh=fresh,
            seed=seed,
            command=("kab", *sys.argv[1:]),
        )
    tell(lab.report(run.id), reports)
    return outcome.exit_code
