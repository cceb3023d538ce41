"""Opening a database: its connections, their durability, and its tables, made or brought to today's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from tenacity import (
    retry,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from harness.errors import ConfigError, HostError, TransientHostError
from harness.parse.foreign import printable
from harness.store.failures import AwayError, translated
from harness.store.postgres import prepare_server
from harness.store.schema import MIGRATED, SCHEMA_VERSION, WRITES, metadata, revision_of, revisions, schema
from harness.store.version import checked_version

BUSY_TIMEOUT_S = 30.0
# The lock of those who make the tables, a number of our own: "kab".
_MAKING = 0x6B6162


def open_engine(where: Path | str, *, note: Callable[[str], None], busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """An engine for a SQLite file (text without "://", made if missing) or any SQLAlchemy URL, with our tables in it.

    A database of an older kab is migrated, which `note` hears of. Raises ConfigError for a URL that is malformed, lacks
    its driver, or leads to a database of something else or of a newer kab; HostError when the database cannot be
    opened, or must be migrated and cannot be written; AwayError where its server does not answer.
    """
    engine = bare_engine(where, busy_timeout_s=busy_timeout_s)
    try:
        _ensure_schema(engine, display_name(engine.url), busy_timeout_s, note)
    except BaseException:
        engine.dispose()
        raise
    return engine


def bare_engine(where: Path | str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """As open_engine, with nothing looked at and nothing made in it yet."""
    url = database_url(where)
    name = display_name(url)
    try:
        # A connection of before its server was started again is told from one that is good.
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except ImportError as error:
        raise ConfigError(
            f"cannot use the database {name}: its driver is not installed ({error})",
            remedy="Install it: pip install 'kab[postgres]'.",
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"cannot use the database {name}: {error}", remedy="Give a file, or a URL as postgresql://USER@HOST/NAME."
        ) from error
    if engine.dialect.name == "sqlite":
        _make_folder(url)
        _prepare_sqlite(engine, busy_timeout_s)
    elif engine.dialect.name == "postgresql":
        prepare_server(engine, busy_timeout_s)
    else:
        raise ConfigError(
            f"cannot use the database {name}: kab knows SQLite and PostgreSQL",
            remedy="Give a file, or a URL as postgresql://USER@HOST/NAME.",
        )
    return engine


def display_name(url: URL) -> str:
    """A database's name for messages: the file's path, or the URL without its password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    # Of its options only where the server is: any other may hold a password.
    shown = url.difference_update_query([option for option in url.query if option not in {"host", "port"}])
    # The driver is ours to choose.
    return shown.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def database_url(where: Path | str) -> URL:
    """The URL of a file (text without "://") or of what a URL names, with our driver. Raises ConfigError."""
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            # What cannot be taken apart may hold a password anywhere.
            f"not a database URL: {printable(where.partition('://')[0])}://...",
            remedy="Write it as in sqlite:////var/lib/kab/results.sqlite, or postgresql://USER@HOST/NAME.",
        ) from error
    # As libpq and everybody else writes it; without more, SQLAlchemy takes a driver of before.
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgres", "postgresql"} else url


def _make_folder(url: URL) -> None:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make the folder {folder} of the results database: {error.strerror}",
            remedy="Make it writable for this user, or set KAB_STATE_DIR.",
        ) from error


def _prepare_sqlite(engine: Engine, busy_timeout_s: float) -> None:
    """Make each connection durable and strict, and let each transaction say at its start whether it writes."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # None: the driver begins no transactions of its own; "begin" below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")
            cursor.execute("PRAGMA foreign_keys = ON")
            # FULL, not WAL's usual NORMAL: a trial must survive a power cut once append_trial has returned.
            cursor.execute("PRAGMA synchronous = FULL")
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
                cursor.execute("PRAGMA journal_mode = WAL")
        finally:
            cursor.close()
        # Bytes that are no UTF-8 are in damaged rows only; by themselves they would fail the whole query.
        connection.text_factory = lambda text: text.decode(errors="backslashreplace")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A writer takes its lock at once: turning a read lock into a write lock later fails without waiting.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _ensure_schema(engine: Engine, name: str, busy_timeout_s: float, note: Callable[[str], None]) -> None:
    # Turning a new file to WAL does not wait for a lock as everything else does: two first runs at once.
    @retry(
        retry=retry_if_exception_type(TransientHostError) & retry_if_not_exception_type(AwayError),
        stop=stop_after_delay(busy_timeout_s),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    def ensure() -> None:
        with translated(name), engine.connect() as connection:
            version = checked_version(connection, name)
        if version is None:
            _create(engine, name)
        elif version < SCHEMA_VERSION:
            # Alembic takes a while to load, and is needed once in a version's life.
            from harness.store.migrate import migrate

            migrate(engine, name, version, note)

    ensure()


def _create(engine: Engine, name: str) -> None:
    with (
        translated(name),
        engine.connect().execution_options(**{WRITES: True}) as connection,
        connection.begin(),
    ):
        if engine.dialect.name == "postgresql":
            # There is no table yet to lock.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")
        # Looked at again under the lock: another process may have been first.
        if checked_version(connection, name) is None:
            metadata.create_all(connection)
            connection.execute(insert(schema).values(version=MIGRATED))
            connection.execute(insert(revisions).values(version_num=revision_of(SCHEMA_VERSION)))
