"""``kab alarms``: confirmed changes of nightly series, and what becomes of them."""

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import click

from harness.cli.tables import new_table, print_table
from harness.parse.foreign import printable

if TYPE_CHECKING:
    from harness.model.alarm import Alarm

EPILOG = """A nightly run suspects a change, and an A/B of both kernels confirms it: only then there is an alarm, once.
It is new, acknowledged by an owner until a day, and in the end fixed or not-a-bug. A fixed one is new again when a
later night confirms it once more; an acknowledged one whose day is over is listed as overdue.

\b
Examples:
  kab alarms
  kab alarms show a1b2
  kab alarms acknowledge a1b2 --owner qa@example.org --due 2026-12-04 --note "asked the list"
  kab alarms close a1b2 --as fixed --note "6.12.40 has the fix"
"""


class _DefaultList(click.Group):
    """``kab alarms`` is ``kab alarms list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before words that begin with no verb."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultList, epilog=EPILOG)
def alarms() -> None:
    """List confirmed changes of nightly series; say who looks after each, and how it ended."""


@alarms.command("list")
@click.option("--all", "closed", is_flag=True, help="Those that are fixed or not a bug, too.")
def list_alarms(closed: bool) -> None:
    """List the alarms that are open, oldest first."""
    from harness.cli.lab import open_lab
    from harness.report.history.alarmtext import change_words, kernels_words, state_words

    with open_lab() as lab:
        listing = lab.alarms(closed=closed)
    now = datetime.now(UTC)
    table = new_table("alarm", "told", "cell", "series", "kernels", "change", "state")
    for alarm in listing.alarms:
        table.add_texts(
            alarm.id,
            f"{alarm.events[0].at.astimezone():%Y-%m-%d}",
            alarm.name.cell,
            alarm.name.series,
            kernels_words(alarm),
            change_words(alarm),
            state_words(alarm, now),
        )
    if listing.alarms:
        print_table(table)
    elif not listing.damaged:
        click.echo(f"No alarm is {'stored' if closed else 'open'}; `kab nightly` makes them.", err=True)
    for told in listing.damaged:
        click.echo(f"kab: {printable(told.message)}\n{told.remedy}", err=True)


@alarms.command()
@click.argument("alarm", metavar="ID")
def show(alarm: str) -> None:
    """Show an alarm: what changed, what became of it, how to find the change, how to repeat the comparison."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        text = lab.alarm(alarm).text()
    click.echo(text)


@alarms.command()
@click.argument("alarm", metavar="ID")
@click.option("--owner", required=True, metavar="NAME", help="Who looks after it.")
@click.option(
    "--due",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The day at whose end the owner is asked again, such as 2026-12-04 [in three working days].",
)
@click.option("--note", default="", metavar="TEXT", help="What is known, or where it is talked about.")
def acknowledge(alarm: str, owner: str, due: datetime | None, note: str) -> None:
    """Say who looks after an alarm, and until when."""
    from harness.cli.lab import open_lab

    ends = None if due is None else datetime.combine(due, time(23, 59, 59)).astimezone(UTC)
    with open_lab() as lab:
        changed = lab.acknowledge(alarm, owner=owner, due=ends, note=note)
    _tell(changed)


@alarms.command()
@click.argument("alarm", metavar="ID")
@click.option(
    "--as",
    "ending",
    required=True,
    type=click.Choice(["fixed", "not-a-bug"]),
    help="`fixed`: later nights are compared with those before it; `not-a-bug`: that is how it is from now on.",
)
@click.option("--note", required=True, metavar="TEXT", help="By what, or why.")
def close(alarm: str, ending: str, note: str) -> None:
    """Say how an alarm ended."""
    from harness.cli.lab import open_lab
    from harness.model.alarm import AlarmState

    with open_lab() as lab:
        changed = lab.close_alarm(alarm, state=AlarmState(ending), note=note)
    _tell(changed)


def _tell(alarm: "Alarm") -> None:
    from harness.report.history.alarmtext import change_words, state_words

    words = f"alarm {alarm.id}: {change_words(alarm)}: {state_words(alarm, datetime.now(UTC))}"
    click.echo(printable(words))
