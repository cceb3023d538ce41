"""Which schema version a database has; what is not ours, damaged or newer is refused."""

from sqlalchemy import Connection, inspect, select

from harness.errors import ConfigError, HostError
from harness.store.schema import MIGRATED, SCHEMA_VERSION, revisions, runs, schema


def checked_version(connection: Connection, name: str, *, lock: bool = False) -> int | None:
    """The schema version of our tables; None when there are none yet. ``lock`` it, where the database locks rows.

    Raises ConfigError for what is not ours or of a newer kab, HostError for what is damaged.
    """
    inspector = inspect(connection)
    if not inspector.has_table(schema.name):
        if inspector.has_table(runs.name):
            raise ConfigError(
                f"the database {name} has a table `{runs.name}` that is not kab's", remedy="Name another database."
            )
        return None
    query = select(schema.c.version)
    version = connection.execute(query.with_for_update() if lock else query).scalar()
    if version == MIGRATED:
        version = _number(connection.execute(select(revisions.c.version_num)).scalar())
    if not isinstance(version, int):
        raise HostError(
            f"the results database {name} is damaged: its schema version is {version!r}",
            remedy="Take it back from a copy, or move it away (kab makes a new one).",
        )
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"the results database {name} has schema version {version}, this kab knows {SCHEMA_VERSION}",
            remedy="It was written by a newer kab: use that one, or name another database.",
        )
    if version < 1:
        raise ConfigError(
            f"the results database {name} has schema version {version}, older than any that kab has ever written",
            remedy="Name another database.",
        )
    return version


def _number(revision: object) -> object:
    """The version that a revision stands for; what is no revision of ours, as it is."""
    return int(revision) if isinstance(revision, str) and revision.isascii() and revision.isdigit() else revision
