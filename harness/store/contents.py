"""What is in a database, counted."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from harness.model.run import RunState
from harness.store.engine import bare_engine, display_name
from harness.store.failures import translated
from harness.store.schema import alarms, runs, samples, trials
from harness.store.sql import SqlStore
from harness.store.version import checked_version


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContents:
    """What is in a database."""

    name: str
    # "SQLite" or "PostgreSQL".
    kind: str
    schema: int
    # Of the file, its log included, or of the database on its server.
    size_bytes: int
    # Verb -> runs, those inside others included.
    runs: dict[str, int] = field(default_factory=dict)
    open_runs: int = 0
    trials: int = 0
    samples: int = 0
    alarms: int = 0
    # When the first and the last run were made, as it is stored; "" where there is none.
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLook:
    """What a look at a database tells that makes and changes nothing in it."""

    name: str
    # None: there are no tables yet.
    schema: int | None
    runs: int = 0


def look_at(where: Path | str) -> StoreLook:
    """Look at a file that there is, or at what a URL names. Raises as SqlStore does."""
    engine = bare_engine(where)
    name = display_name(engine.url)
    try:
        with translated(name), engine.connect() as connection:
            version = checked_version(connection, name)
            if version is None:
                return StoreLook(name=name, schema=None)
            number = connection.execute(select(func.count()).select_from(runs)).scalar_one()
            return StoreLook(name=name, schema=version, runs=number)
    finally:
        engine.dispose()


def contents_of(store: SqlStore) -> StoreContents:
    """Count what there is. Raises HostError as stores do."""
    with store.reading() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            rows = connection.exec_driver_sql("PRAGMA database_list").all()
            file = next((row.file for row in rows if row.name == "main"), "")
            paths = [Path(f"{file}{suffix}") for suffix in ("", "-wal")] if file else []
            size_bytes = sum(path.stat().st_size for path in paths if path.exists())
        else:
            size_bytes = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        verbs = connection.execute(select(runs.c.verb, func.count()).group_by(runs.c.verb).order_by(runs.c.verb)).all()
        is_open = runs.c.state == RunState.OPEN.value
        first, last = connection.execute(select(func.min(runs.c.created), func.max(runs.c.created))).one()
        return StoreContents(
            name=store.name,
            kind="SQLite" if sqlite else "PostgreSQL",
            schema=checked_version(connection, store.name) or 0,
            size_bytes=size_bytes,
            runs={str(verb): number for verb, number in verbs},
            open_runs=connection.execute(select(func.count()).select_from(runs).where(is_open)).scalar_one(),
            trials=connection.execute(select(func.count()).select_from(trials)).scalar_one(),
            samples=connection.execute(select(func.count()).select_from(samples)).scalar_one(),
            alarms=connection.execute(select(func.count()).select_from(alarms)).scalar_one(),
            first=str(first or ""),
            last=str(last or ""),
        )
