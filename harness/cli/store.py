"""``kab store``: databases of results, and what is brought from one to another."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from harness.cli.tables import new_table, print_table
from harness.errors import ExitCode
from harness.model.guest import MIB
from harness.parse.foreign import printable

if TYPE_CHECKING:
    from harness.lab.stores import Copied

EPILOG = """A database is a file, or a URL as postgresql://USER@HOST/NAME. A run is known by its id: one that is there
already is skipped, one that went on since is brought up to that, another one of the same id is refused and named. What
was broken off is repeated by the same command.

\b
Examples:
  kab store info
  kab store copy ~/.local/state/kab/results.sqlite postgresql://kab@db/results
  kab store copy postgresql://kab@db/results ./of-today.sqlite
  kab store deliver
"""
# Runs of which so many are listed by name.
_LISTED = 20


@click.group(epilog=EPILOG)
def store() -> None:
    """Look into databases of results; copy runs between them; deliver what waits for one."""


@store.command("info")
@click.argument("database", required=False)
def info(database: str | None) -> None:
    """Tell what is in a DATABASE [that of the settings]."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        found, kept = lab.store_contents(database)
    table = new_table("what", "")
    rows = {
        "database": found.name,
        "kind": found.kind,
        "schema": str(found.schema),
        "size": f"{found.size_bytes / MIB:,.1f} MiB",
        "runs": ", ".join(f"{number} {verb}" for verb, number in found.runs.items()) or "none",
        "open": str(found.open_runs),
        "boots": f"{found.trials:,}",
        "samples": f"{found.samples:,}",
        "alarms": str(found.alarms),
        "first run": found.first,
        "last run": found.last,
    }
    if kept.runs or kept.refused:
        rows["waiting here"] = f"{kept.trials} boots of {kept.runs} runs, since {kept.since}"
        rows["refused"] = ", ".join(kept.refused)
    for name, value in rows.items():
        if value:
            table.add_texts(name, value)
    print_table(table)


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> int:
    """Bring the runs, with all that belongs to them, and the alarms of one database into another.

    Exit status 0, or 131 where something was refused.
    """
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        copied = lab.copy_store(source, target, _counter("runs"))
    return _told(copied)


@store.command("deliver")
def deliver() -> int:
    """Bring what was kept on this host, while the server of the settings was away, to it.

    Every kab that uses the server does so at its start; this says what came of it. Exit status 0, or 131 where the
    server is away, or refused something.
    """
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        return _told(lab.deliver(_counter("runs")))


def _counter(what: str) -> Callable[[int, int], None]:
    """Shows how many are done, on a terminal."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done:,} of {total:,} {what}", nl=done >= total, err=True)

    return show


def _told(copied: "Copied") -> int:
    click.echo(
        f"{copied.runs} runs are new, {copied.extended} went on, {copied.there} were there already; "
        f"{copied.trials} boots and {copied.alarms} alarms are new."
    )
    if not copied.refused:
        return ExitCode.GOOD
    listed = ", ".join(map(printable, copied.refused[:_LISTED]))
    more = f" and {len(copied.refused) - _LISTED} more" if len(copied.refused) > _LISTED else ""
    click.echo(
        f"kab: refused, as there are others of the same id: {listed}{more}. Both databases keep theirs.", err=True
    )
    return ExitCode.HOST
