"""A database of an older schema version brought to today's, in one transaction, by Alembic; a copy is kept before.

Imported only where that is due: nothing else needs Alembic.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from harness.errors import HostError, TransientHostError
from harness.store.failures import translated
from harness.store.schema import SCHEMA_VERSION, WRITES, revision_of
from harness.store.version import checked_version

SCRIPTS = Path(__file__).parent / "migrations"
# The last version that was no revision of Alembic's yet.
_LAST_UNSTAMPED = 2


def migrate(engine: Engine, name: str, version: int, note: Callable[[str], None]) -> None:
    """Bring the database, found to have schema `version`, to SCHEMA_VERSION, unless another process is first.

    All or nothing: killed at any moment it leaves the database as it was, for an older kab, too. Of a SQLite file a
    copy is made first, which `note` hears of. Raises HostError; TransientHostError while another process writes.
    """
    try:
        with translated(name), _alone(engine) as connection:
            # Looked at again under the lock.
            found = checked_version(connection, name, lock=True)
            if found is None or found >= SCHEMA_VERSION:
                return
            backup = _back_up(engine, connection, found)
            config = alembic_config(connection)
            if found <= _LAST_UNSTAMPED:
                command.stamp(config, revision_of(found))
            command.upgrade(config, "head")
    except TransientHostError:
        raise
    except HostError as error:
        raise HostError(
            f"{error.message}; its schema is version {version}, and this kab needs {SCHEMA_VERSION}",
            remedy=f"{error.remedy} Until then it is as it was, and the kab that wrote it reads it.",
        ) from error
    kept = f"; as it was before, it is kept in {backup}" if backup else ""
    note(f"the results database {name} was brought from schema version {found} to {SCHEMA_VERSION}{kept}")


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings for our migrations on `connection`, in its transaction."""
    config = Config()
    # A percent sign would be an interpolation.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction of its own, that holds the lock of those who write."""
    with engine.connect().execution_options(**{WRITES: True}) as connection:
        if engine.dialect.name == "sqlite":
            # A table that is made anew is dropped in between, which would take all rows that refer to it along. Cannot
            # be set inside of a transaction; the connection ends with this one.
            connection.detach()
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            yield connection


def _back_up(engine: Engine, connection: Connection, version: int) -> Path | None:
    """A copy of a SQLite database beside it, made while `connection` keeps others from writing. Raises HostError.

    None for databases in memory and behind a server, which have means of their own.
    """
    if engine.dialect.name != "sqlite":
        return None
    file = next((row.file for row in connection.exec_driver_sql("PRAGMA database_list") if row.name == "main"), "")
    if not file:
        return None
    path = _free(Path(f"{file}.schema-{version}.backup"))
    # What a killed kab left of it; none other can be at it now.
    part = Path(f"{file}.schema-{version}.backup.part")
    try:
        mode = Path(file).stat().st_mode & 0o777
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        try:
            _copy(engine, part)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise HostError(
            f"the results database {file} cannot be copied to {path.name} beside it before it is changed: {error}",
            remedy="Make the folder writable, and make room there for a second copy.",
        ) from error
    return path


def _free(path: Path) -> Path:
    """`path`, or where there is something already, the first of its numbered names that is free."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _copy(engine: Engine, part: Path) -> None:
    """Page by page, what is in the write-ahead log included; durable when it returns."""
    with closing(engine.raw_connection()) as source, closing(sqlite3.connect(part)) as target:
        driver: Any = source.driver_connection
        driver.backup(target)
    # Of the mode that the copied header names, and empty: they are not needed to open it.
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{part}{suffix}").unlink()
    _sync(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
