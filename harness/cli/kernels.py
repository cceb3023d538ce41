"""``kab kernels``: what there is to boot."""

from typing import TYPE_CHECKING

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import progress_option
from harness.cli.tables import new_table, print_table
from harness.model.guest import MIB
from harness.parse.foreign import printable

if TYPE_CHECKING:
    from harness.model.kernel import AvailableKernel

EPILOG = """\b
Examples:
  kab kernels list --suite trixie
  kab kernels fetch debian:7.2
  kab kernels show debian:6.12
  kab kernels ladder debian:6.1 debian:7.3
  kab kernels verify --all
"""

LADDER_EPILOG = """A ladder is ordered by version, but stable branches fork: a fix may be in 6.12.107 and missing in
the next rung, 6.16.3. A change that went into several branches then shows as several edges. --suite keeps to one line.

\b
Examples:
  kab kernels ladder debian:6.1 debian:7.3
  kab kernels ladder debian:6.1 debian:7.3 --suite bookworm-security --suite trixie-security
  kab kernels ladder 'debian:6.12.*'
"""


@click.group(epilog=EPILOG)
def kernels() -> None:
    """List, fetch, show and verify kernels."""


@kernels.command("list")
@click.option(
    "--flavour",
    default=None,
    help="`cloud-amd64`, `arm64`, ... [all for this host's architecture].",
)
@click.option("--suite", "suites", multiple=True, help="Only this suite (may be given again).")
@click.option("--cached", is_flag=True, help="Only those in the cache.")
def list_kernels(flavour: str | None, suites: tuple[str, ...], cached: bool) -> None:
    """List the kernels on offer, ordered by version: those of Debian's suites."""
    from harness.cli.lab import open_lab

    with make_progress(ProgressMode.LINES) as progress, open_lab(progress) as lab:
        table = new_table("version", "spec", "suites", ">MiB", "cached")
        for offer in lab.kernels.offers(flavour, suites):
            kernel = offer.kernel
            if cached and not kernel.cached:
                continue
            table.add_texts(
                kernel.version,
                offer.spec,
                " ".join(kernel.suites),
                _mib(kernel),
                "yes" if kernel.cached else "",
            )
    print_table(table)


@kernels.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@progress_option
def fetch(specs: tuple[str, ...], progress: str) -> None:
    """Bring kernels into the cache."""
    from harness.cli.lab import open_lab

    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        for spec in specs:
            kernel = lab.resolve(spec)
            click.echo(f"{printable(spec)}  {printable(kernel.release)}  {kernel.digest[:16]}")


@kernels.command()
@click.argument("spec")
def show(spec: str) -> None:
    """Show what SPEC names, without fetching it."""
    from harness.cli.lab import open_lab
    from harness.model.kernel import Kernel

    with make_progress(ProgressMode.LINES) as progress, open_lab(progress) as lab:
        found = lab.kernels.show(spec)
    if isinstance(found, Kernel):
        facts = {
            "release": found.release,
            "version": found.version,
            "source": found.source,
            "cached": "yes",
            "digest": found.digest,
            "folder": str(found.directory),
            **found.provenance,
        }
    else:
        # What the source does not have, or does not know yet, is left out.
        told = {
            "release": found.release,
            "version": found.version,
            "flavour": found.flavour,
            "suites": " ".join(found.suites),
            "cached": "no",
            "packages": " ".join(f"{package.name}={package.version}" for package in found.packages),
            "download": f"{_mib(found)} MiB" if found.packages else "",
        }
        facts = {name: value for name, value in told.items() if value}
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {printable(value)}")


@kernels.command()
@click.argument("specs", metavar="[SPEC]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All kernels of the cache, and the guest image [where no SPEC is].")
def verify(specs: tuple[str, ...], every: bool) -> int:
    """Read all content of cached kernels, and remove what is damaged: it is made anew when it is named again.

    Each run does the same for its kernels before their first boot. The exit status is 131 where something is damaged.
    """
    from harness.cli.lab import open_lab
    from harness.errors import ExitCode

    if specs and every:
        raise click.UsageError("SPEC and --all exclude one another.")
    told: list[tuple[str, str, str]] = []
    with make_progress(ProgressMode.LINES) as progress, open_lab(progress) as lab:
        for found in lab.verify(specs):
            state = f"damaged: {found.damage}" if found.damage else "fine"
            if found.damage:
                state += "; removed" if found.removed else "; another kab uses it: end that one, and verify again"
            told.append((found.name, found.digest[:16], state))
    table = new_table("kernel or image", "digest", "state")
    for row in told:
        table.add_texts(*row)
    if told:
        print_table(table)
    else:
        click.echo("The cache is empty.", err=True)
    bad = sum(state != "fine" for _, _, state in told)
    if not bad:
        return ExitCode.GOOD
    click.echo(
        f"kab: {bad} of {len(told)} damaged. What was removed is fetched or built again when it is next named; look "
        "after the disk if it happens again.",
        err=True,
    )
    return ExitCode.HOST


@kernels.command(epilog=LADDER_EPILOG)
@click.argument("ends", metavar="FROM TO | 'GLOB'", nargs=-1, required=True)
@click.option(
    "--flavour",
    default=None,
    help="`cloud-amd64`, `arm64`, ... [that of the ends, else the cloud flavour].",
)
@click.option("--suite", "suites", multiple=True, help="Only this suite (may be given again).")
@click.option("--every", is_flag=True, help="All packages of an upstream version, not only the newest.")
def ladder(ends: tuple[str, ...], flavour: str | None, suites: tuple[str, ...], every: bool) -> None:
    """List the kernels between two specs, or of a pattern, as a search runs over them.

    A spec names one kernel, the newest where it fits several: the ladder from debian:6.1 begins with the newest 6.1.
    """
    from harness.cli.lab import open_lab

    with make_progress(ProgressMode.LINES) as progress, open_lab(progress) as lab:
        found = lab.kernels.ladder(ends, flavour=flavour, suites=suites, every=every)
    table = new_table(">rung", "version", "spec", "suites", ">MiB", "cached")
    for index, rung in enumerate(found.rungs):
        table.add_texts(
            str(index),
            rung.kernel.version,
            rung.spec,
            " ".join(rung.kernel.suites),
            _mib(rung.kernel),
            "yes" if rung.kernel.cached else "",
        )
    print_table(table)
    if found.left_out:
        click.echo(f"left out, of the same upstream versions: {found.left_out} (--every shows them)", err=True)


def _mib(kernel: "AvailableKernel") -> str:
    """What is to be downloaded; empty where it is not known."""
    return f"{kernel.size_bytes / MIB:.0f}" if kernel.packages else ""
