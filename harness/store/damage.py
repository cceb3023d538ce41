"""Rows that do not hold what kab wrote there: named, with what can be done, and never a reason to lose the others."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.errors import ConfigError, HostError
from harness.parse.foreign import printable

# What reading a value as something that it is not can raise.
UNFIT = (
    ConfigError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
)
_REASON_CHARS = 300


class DamagedError(HostError):
    """Something stored cannot be read, while the database around it can."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a stored JSON text that is none, until somebody asks for it."""

    reason: str


def document(value: Any) -> Any:
    """A JSON column's value. Raises ValueError where the text was none."""
    if isinstance(value, Unreadable):
        raise ValueError(value.reason)  # noqa: TRY004 - it is about the value
    return value


@contextmanager
def readable(what: str, database: str, *, remove: str = "") -> Iterator[None]:
    """Raise DamagedError, naming `what` and the `database`, for what cannot be read inside.

    `remove`: an SQL statement that removes it, for the remedy.
    """
    try:
        yield
    except UNFIT as error:
        said = error.message if isinstance(error, ConfigError) else str(error) or type(error).__name__
        # A database behind an URL is looked after by people who know how.
        words = ("sqlite3", database, f"PRAGMA foreign_keys = ON; {remove}")
        how = f"\nTo remove it, and the runs inside it: {shlex.join(words)}" if remove and "://" not in database else ""
        raise DamagedError(
            f"{what} in {database} is damaged: {printable(said, limit=_REASON_CHARS)}",
            remedy="Nothing else there is touched by it. If a newer kab wrote it, use that one; else take the database "
            f"back from a copy.{how}",
        ) from error
