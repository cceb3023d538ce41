"""``kab test``: is this kernel like the fast or like the slow side of a stored run?"""

import sys

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import progress_option

DEFAULT_MAX_BOOTS = 8

EPILOG = """\b
Exit status: 0 like the fast side, 1 like the slow side, 125 cannot tell (or it does not boot), 129 wrong usage,
  131 the host's trouble: what `git bisect run` wants.

\b
Examples:
  kab test debian:7.2 --like last
  git bisect run sh -c 'make -j8 bzImage modules || exit 125; kab test tree:. --like 20261122-1934-k7f3'
"""


@click.command(epilog=EPILOG)
@click.argument("spec")
@click.option("--like", metavar="RUN", required=True, help="An A/B run that found a difference, or a search.")
@click.option("--error", metavar="PERCENT", help="Allowed probability of a wrong answer [1%].")
@click.option(
    "--max-boots", type=click.IntRange(min=2), default=DEFAULT_MAX_BOOTS, show_default=True, help="Then: cannot tell."
)
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), help="Who runs the guest [that of the run].")
@click.option("--connect", metavar="URI", help="libvirt URI [an embedded driver, no daemon].")
@click.option("--destroy-data", metavar="DEVICE", default="", help="Consent to lose what is on this block device.")
@progress_option
def test(
    spec: str, like: str, error: str | None, max_boots: int, accel: str | None, connect: str | None,
    destroy_data: str, progress: str,
) -> int:  # fmt: skip
    """Boot the kernel SPEC a few times with a stored run's experiment: like its fast side, or like its slow one?"""
    from harness.cli.lab import open_lab
    from harness.config import request_from_options
    from harness.errors import ConfigError
    from harness.parse.foreign import printable
    from harness.parse.units import parse_fraction

    allowed = 0.01 if error is None else parse_fraction(error)
    if not 0 < allowed < 0.5:
        raise ConfigError(f"--error {error}: it must lie between 0% and 50%")
    request = request_from_options({"accel": accel, "connect": connect})
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        run, decision = lab.classify(
            spec,
            like=like,
            error=allowed,
            max_boots=max_boots,
            request=request,
            destroy_data=destroy_data,
            command=("kab", *sys.argv[1:]),
        )
    told = f"{run.candidate.name}: {_ANSWERS[decision.verdict]}\n{decision.reason}\nrun {run.id}"
    click.echo(printable(told, lines=True))
    return decision.verdict.exit_code


_ANSWERS = {"same": "fast", "slower": "slow", "inconclusive": "cannot tell"}
