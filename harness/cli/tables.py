"""Tables for people: as wide as the terminal, and as wide as they are for a pipe."""

import sys

from rich.console import Console
from rich.table import Table

# A pipe has no width: rows must not be broken there, for they are grepped.
_UNBOUNDED = 10_000


def new_table(*titles: str) -> Table:
    """An empty table without lines around it; a title that begins with ``>`` is of a column of figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table to stdout."""
    Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED).print(table)
