"""SQLAlchemy's exceptions to ours, in words that say which database and what to do."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from harness.errors import ConfigError, HostError, KabError, TransientHostError
from harness.parse.foreign import printable

Words = ParamSpec("Words")
Result = TypeVar("Result")

_DETAIL_CHARS = 300

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

# SQLSTATEs of PostgreSQL, or their first two letters -> the same.
_SERVER: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("42501", "25006"),
        "may not be written by this user",
        "Let its owner grant that: GRANT ALL ON SCHEMA public, and on its tables and sequences, to this user.",
    ),
    (("53100",), "cannot grow: its disk is full", "Make room on its server, then run the same command again."),
    (("53",), "has no room for us: its server is short of something", "See the server's log."),
    (("XX",), "is damaged", "See the server's log, and take the database back from a copy."),
    (("22",), "cannot hold a value", "That is a bug of kab, or a database that does not speak UTF-8."),
)
# What a connection is refused with has no SQLSTATE here. Pattern of the message -> what it means, and what to do.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"authentication failed|no password supplied|no pg_hba\.conf entry",
        "refused user or password",
        "Mend them in `database` of the settings, in KAB_DATABASE, or in ~/.pgpass, where a password is better kept.",
    ),
    (r"role .* does not exist", "knows no such user", "Mend the user in `database` of the settings, or CREATE USER."),
    (r"database .* does not exist", "is not there", "Let the server's owner make it: CREATE DATABASE."),
    (r"permission denied for database", "refused this user", "Let its owner grant CONNECT to this user."),
    (
        r"invalid (connection option|URI|integer value|sslmode)",
        "cannot be reached as its URL says",
        "Mend `database` of the settings, or KAB_DATABASE.",
    ),
)


class ConflictError(TransientHostError):
    """Two transactions were in each other's way; this one was undone, and may be made again."""


class AwayError(TransientHostError):
    """The database's server does not answer: it is down, or the network between is. What was being written is not
    known to be stored.
    """


def again(call: Callable[Words, Result]) -> Callable[Words, Result]:
    """Make a call that is one transaction again, a few times, where another transaction was in its way."""
    return retry(
        retry=retry_if_exception_type(ConflictError),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )(call)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise HostError, naming the database `where`, for whatever SQLAlchemy raises inside.

    ConfigError for a user, a password or a database that its server does not know; AwayError where that is away.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise _translation(where, error) from error


def _translation(where: str, error: SQLAlchemyError) -> KabError:
    original = getattr(error, "orig", None)
    detail = printable((str(original or error).strip().splitlines() or [type(error).__name__])[0], limit=_DETAIL_CHARS)
    # DB-API modules name the cause each in their own way; sqlite3 (3.11+) has the name of the extended code.
    name = str(getattr(original, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or isinstance(error, PoolTimeoutError):
        return _locked(where, detail)
    for start, meaning, remedy in _SQLITE:
        if name.startswith(start):
            return HostError(f"the results database {where} {meaning} ({detail})", remedy=remedy)
    if isinstance(error, DBAPIError) and hasattr(original, "sqlstate"):
        found = _of_server(where, error, str(getattr(original, "sqlstate", None) or ""), detail)
        if found is not None:
            return found
    if isinstance(error, IntegrityError):
        return HostError(
            f"the results database {where} refused what another process has stored already ({detail})",
            remedy="Two processes seem to work on the same run: end one, then run the same command again.",
        )
    return HostError(f"the results database {where} failed: {detail}", remedy="Check that it is up and reachable.")


def _locked(where: str, detail: str) -> TransientHostError:
    return TransientHostError(
        f"the results database {where} is locked by another process ({detail})",
        remedy="Wait until the other process is done, or end it, then run the same command again.",
    )


def _of_server(where: str, error: DBAPIError, state: str, detail: str) -> KabError | None:
    if state in {"40001", "40P01"}:
        return ConflictError(
            f"the results database {where} had another process in the way ({detail})",
            remedy="Run the same command again.",
        )
    if state == "55P03":
        return _locked(where, detail)
    # 57014, a cancelled statement, is none.
    if error.connection_invalidated or state.startswith(("08", "57P")):
        return _away(where, detail)
    for starts, meaning, remedy in _SERVER:
        if state.startswith(starts):
            return HostError(f"the results database {where} {meaning} ({detail})", remedy=remedy)
    if state:
        return None
    for pattern, meaning, remedy in _REFUSED:
        if re.search(pattern, str(error.orig)):
            return ConfigError(f"the results database {where} {meaning} ({detail})", remedy=remedy)
    return _away(where, detail) if isinstance(error, OperationalError) else None


def _away(where: str, detail: str) -> AwayError:
    return AwayError(
        f"the results database {where} does not answer ({detail})",
        remedy="Start its server, or mend the network, then run the same command again.",
    )
