"""Plain text that fits a mail: wrapped sentences and columns."""

import textwrap
from collections.abc import Collection, Sequence

WIDTH = 96


def wrap(text: str, *, indent: str = "", hang: str | None = None, width: int = WIDTH) -> list[str]:
    """Lines of at most `width` characters, but for what must not be broken; `hang` indents all but the first."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]], *, left: Collection[int]) -> list[str]:
    """Rows with their cells under each other; those of the columns `left` to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
