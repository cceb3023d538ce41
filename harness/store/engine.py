"""Opening a database: its connections, its durability and its schema version."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from harness.errors import ConfigError, HostError, TransientHostError
from harness.store.failures import translated
from harness.store.schema import SCHEMA_VERSION, metadata, runs, schema

BUSY_TIMEOUT_S = 30.0
# Execution option of a transaction that is going to write.
WRITES = "kab_writes"


def open_engine(where: Path | str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """An engine for a SQLite file (text without "://", made if missing) or any SQLAlchemy URL, with our tables in it.

    Raises ConfigError for a URL that is malformed, lacks its driver, or leads to a database of something else or of a
    newer kab; HostError when the database cannot be opened.
    """
    url = _url(where)
    name = display_name(url)
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"cannot use the database {name}: {error}", remedy="Give a file, or a URL whose driver is installed."
        ) from error
    if engine.dialect.name == "sqlite":
        _make_folder(url)
        _prepare_sqlite(engine, busy_timeout_s)
    try:
        _ensure_schema(engine, name, busy_timeout_s)
    except BaseException:
        engine.dispose()
        raise
    return engine


def display_name(url: URL) -> str:
    """A database's name for messages: the file's path, or the URL without its password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.render_as_string(hide_password=True)


def _url(where: Path | str) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        return make_url(where)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"not a database URL: {where}", remedy="Write it as in sqlite:////var/lib/kab/results.sqlite."
        ) from error


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


def _ensure_schema(engine: Engine, name: str, busy_timeout_s: float) -> None:
    # Turning a new file to WAL does not wait for a lock as everything else does: two first runs at once.
    @retry(
        retry=retry_if_exception_type(TransientHostError),
        stop=stop_after_delay(busy_timeout_s),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    def ensure() -> None:
        with translated(name):
            with engine.connect() as connection:
                if _checked_version(connection, name) == SCHEMA_VERSION:
                    return
            with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
                # Looked at again under the lock: another process may have been first.
                version = _checked_version(connection, name)
                if version != SCHEMA_VERSION:
                    # What version 2 has more than 1 is tables.
                    metadata.create_all(connection)
                    connection.execute(delete(schema))
                    connection.execute(insert(schema).values(version=SCHEMA_VERSION))

    ensure()


def _checked_version(connection: Connection, name: str) -> int | None:
    """The schema version of our tables; None when there are none yet. Raises ConfigError for what is not ours."""
    inspector = inspect(connection)
    if not inspector.has_table(schema.name):
        if inspector.has_table(runs.name):
            raise ConfigError(
                f"the database {name} has a table `{runs.name}` that is not kab's", remedy="Name another database."
            )
        return None
    version = connection.execute(select(schema.c.version)).scalar()
    if version is not None and not isinstance(version, int):
        raise HostError(
            f"the results database {name} is damaged: its schema version is {version!r}",
            remedy="Take it back from a copy, or move it away (kab makes a new one).",
        )
    if version is not None and version > SCHEMA_VERSION:
        raise ConfigError(
            f"the results database {name} has schema version {version}, this kab knows {SCHEMA_VERSION}",
            remedy="It was written by a newer kab: use that one, or name another database.",
        )
    if version is not None and version < 1:
        raise ConfigError(
            f"the results database {name} has schema version {version}, older than any that kab has ever written",
            remedy="Name another database.",
        )
    return version
