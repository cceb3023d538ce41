"""Many rows at once, and rows that may be there already, put there by another process at the same time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of `rows` whose unique key is not there yet.

    Two processes that wait for each other's rows would be a deadlock: sort rows by their key.
    """
    if rows:
        make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(make(table).on_conflict_do_nothing(), [dict(row) for row in rows])


def insert_stored(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows as they are stored, JSON as its text, in the fastest way that the database has."""
    found = [tuple(row) for row in rows]
    if not found:
        return
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, found)
        return
    driver: Any = connection.connection.driver_connection
    statement = f'COPY "{table.name}" ({names}) FROM STDIN'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in found:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy, which knows no COPY, would have said it so.
        raise DBAPIError.instance(
            statement,
            None,
            error,
            connection.dialect.loaded_dbapi.Error,
            connection_invalidated=driver.closed,
            dialect=connection.dialect,
        ) from error
