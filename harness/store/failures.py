"""SQLAlchemy's exceptions to ours, in words that say which database and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from harness.errors import HostError, TransientHostError

# First words of SQLite's extended error names -> what it means, and what to do.
_SQLITE: tuple[tuple[str, str, str], ...] = (
    ("SQLITE_READONLY", "is read-only", "Make the file and its folder writable for this user."),
    ("SQLITE_PERM", "may not be opened", "Make the file and its folder writable for this user."),
    ("SQLITE_AUTH", "may not be opened", "Make the file and its folder writable for this user."),
    ("SQLITE_FULL", "cannot grow: its disk is full", "Make room there, then run the same command again."),
    ("SQLITE_CANTOPEN", "cannot be opened", "Check that its folder exists and is writable for this user."),
    (
        "SQLITE_CORRUPT",
        "is damaged",
        "Move the file away (kab makes a new one); `sqlite3 FILE .recover` may save what is in it.",
    ),
    ("SQLITE_NOTADB", "is not a database", "Move the file away (kab makes a new one), or name another database."),
    ("SQLITE_IOERR", "cannot be read or written: its disk failed or is full", "See the host's kernel log and `df`."),
)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise HostError, naming the database `where`, for whatever SQLAlchemy raises inside."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _host_error(where, error) from error


def _host_error(where: str, error: SQLAlchemyError) -> HostError:
    original = getattr(error, "orig", None)
    # DB-API modules name the cause each in their own way; sqlite3 (3.11+) has the name of the extended code.
    name = str(getattr(original, "sqlite_errorname", ""))
    detail = str(original or error).strip().splitlines()[0]
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or isinstance(error, PoolTimeoutError):
        return TransientHostError(
            f"the results database {where} is locked by another process ({detail})",
            remedy="Wait until the other process is done, or end it, then run the same command again.",
        )
    for start, meaning, remedy in _SQLITE:
        if name.startswith(start):
            return HostError(f"the results database {where} {meaning} ({detail})", remedy=remedy)
    if isinstance(error, IntegrityError):
        return HostError(
            f"the results database {where} refused what another process has stored already ({detail})",
            remedy="Two processes seem to work on the same run: end one, then run the same command again.",
        )
    return HostError(f"the results database {where} failed: {detail}", remedy="Check that it is up and reachable.")
