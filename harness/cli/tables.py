"""Tables for people: as wide as the terminal, and as wide as they are for a pipe."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.parse.foreign import printable

# A pipe has no width: rows must not be broken there, for they are grepped.
_UNBOUNDED = 10_000


class PlainTable(Table):
    """A table whose cells are texts from anywhere: neither rich's markup nor a terminal's sequences are obeyed."""

    def add_texts(self, *cells: str) -> None:
        """Add a row."""
        self.add_row(*(Text(printable(cell)) for cell in cells))


def new_table(*titles: str) -> PlainTable:
    """An empty table without lines around it; a title that begins with ``>`` is of a column of figures."""
    table = PlainTable(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table to stdout."""
    Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED).print(table)
