"""The tables. Types are portable (SQLite, PostgreSQL); structured columns hold ASCII JSON."""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from harness.store.damage import Unreadable

# Raised with every change of the tables below, each with a migration in harness.store.migrations that makes it.
SCHEMA_VERSION = 4
# What `kab_schema` holds since Alembic's table says the version: kabs of before read it, and refuse what is newer.
MIGRATED = 3
# Execution option of a transaction that is going to write.
WRITES = "kab_writes"


def revision_of(version: int) -> str:
    """Alembic's name of a schema version."""
    return f"{version:04}"


class JsonText(TypeDecorator[Any]):
    """A JSON value as ASCII text.

    Not the database's own JSON type: PostgreSQL's reorders keys, and neither takes the NUL bytes and lone surrogates
    that a crashing guest writes to its console. Escaped to ASCII, everything comes back as it was.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        """Python to SQL; None becomes JSON's null, never SQL's."""
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """SQL to Python; text that is no JSON becomes Unreadable: one damaged row must not hide the others."""
        if value is None:
            return Unreadable("there is nothing where JSON must be")
        try:
            return json.loads(value)
        except (ValueError, TypeError, RecursionError) as error:
            return Unreadable(f"malformed JSON: {error}")


metadata = MetaData()
# SQLite makes a rowid alias of INTEGER only; elsewhere 64 bits are wanted.
_KEY = BigInteger().with_variant(Integer(), "sqlite")

schema = Table("kab_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

# As Alembic makes it.
revisions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

runs = Table(
    "runs",
    metadata,
    # Counts up: "the newest run" means this, whatever the clock did.
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("verb", String(32), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("experiment", Text, nullable=False),
    Column("baseline", JsonText, nullable=False),
    Column("candidate", JsonText, nullable=False),
    # Decimal text: a seed may have more than 64 bits.
    Column("seed", String(80), nullable=False),
    Column("conditions", JsonText, nullable=False),
    Column("host", JsonText, nullable=False),
    Column("command", JsonText, nullable=False),
    Column("kab_version", String(64), nullable=False),
    # ISO 8601 with offset: no database rounds it or moves it to another zone.
    Column("created", String(40), nullable=False),
    Column("state", String(16), nullable=False),
    Column("finished", String(40)),
    # The run that it was made inside of, as what, and where there; all NULL for a run of its own.
    Column("parent", String(64), ForeignKey("runs.id", ondelete="CASCADE")),
    Column("role", String(32)),
    Column("place", String(255)),
    Index("runs_by_digest", "digest", "state"),
    # A second process that makes the same run is found out here.
    Index("one_run_per_place", "parent", "role", "place", unique=True),
    sqlite_autoincrement=True,
)

trials = Table(
    "trials",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), nullable=False),
    Column("block", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("arm", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seed", String(80), nullable=False),
    Column("kernel_digest", String(128), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("message", JsonText, nullable=False),
    # Names of the metrics, in order: one without samples has no row below.
    Column("metrics", JsonText, nullable=False),
    Column("stage_s", JsonText, nullable=False),
    Column("findings", JsonText, nullable=False),
    Column("environment", JsonText, nullable=False),
    Column("started", String(40)),
    Column("duration_s", Float(53), nullable=False),
    # A trial is stored once: a second process on the same run is found out here.
    UniqueConstraint("run_key", "block", "position", "attempt", name="one_trial_per_place"),
    sqlite_autoincrement=True,
)

samples = Table(
    "samples",
    metadata,
    Column("trial_key", _KEY, ForeignKey("trials.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("metric", String(64), primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    # NULL is "not a number", which SQLite cannot hold otherwise.
    Column("value", Float(53)),
    sqlite_with_rowid=False,
)

# Content by hash: the same domain XML or fio job of forty trials is kept once.
blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("zstd", LargeBinary, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("trial_key", _KEY, ForeignKey("trials.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("name", String(255), primary_key=True),
    Column("sha256", String(64), ForeignKey("blobs.sha256"), nullable=False),
    sqlite_with_rowid=False,
)

decisions = Table(
    "decisions",
    metadata,
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("verdict", String(16), nullable=False),
    Column("metric", String(64)),
    Column("document", JsonText, nullable=False),
)

# A search over a ladder: a run whose trials are boots of rungs (block = rung), and what belongs to it.
bisections = Table(
    "bisections",
    metadata,
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("plan", JsonText, nullable=False),
    # JSON null while the search is open.
    Column("outcome", JsonText, nullable=False),
)

# Kernels taken out of a search, or put back.
marks = Table(
    "bisection_marks",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), nullable=False),
    Column("rung", Integer, nullable=False),
    Column("document", JsonText, nullable=False),
    Index("marks_by_run", "run_key"),
    sqlite_autoincrement=True,
)

# Rungs found to be one and the same kernel.
identical_builds = Table(
    "bisection_twins",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), nullable=False),
    Column("rung", Integer, nullable=False),
    Column("document", JsonText, nullable=False),
    UniqueConstraint("run_key", "rung", name="one_twin_per_rung"),
    sqlite_autoincrement=True,
)

# A matrix: a run without trials of its own, whose cells are A/B runs inside it.
matrices = Table(
    "matrices",
    metadata,
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("plan", JsonText, nullable=False),
    # JSON null while the matrix is open.
    Column("outcome", JsonText, nullable=False),
)

# What the boots of a cell's run are values of: kept apart, and denormalised, so that years of them are read at once.
nights = Table(
    "nights",
    metadata,
    Column("run_key", _KEY, ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("matrix", JsonText, nullable=False),
    Column("cell", JsonText, nullable=False),
    Column("series", JsonText, nullable=False),
    Column("workload", JsonText, nullable=False),
)

# What is followed over the nights. The digest is of all the rest: texts of any length fit into no index.
series = Table(
    "series",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("matrix", JsonText, nullable=False),
    Column("cell", JsonText, nullable=False),
    Column("series", JsonText, nullable=False),
    Column("workload", JsonText, nullable=False),
    Column("metric", JsonText, nullable=False),
    sqlite_autoincrement=True,
)

# One value for each boot of a candidate that ended well: the median over its iterations. In order of the series, so
# that one of them lies together.
boot_values = Table(
    "boot_values",
    metadata,
    Column("series_key", _KEY, ForeignKey("series.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("trial_key", _KEY, ForeignKey("trials.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Of the trial: no join is needed.
    Column("run_key", _KEY, nullable=False),
    Column("value", Float(53), nullable=False),
    sqlite_with_rowid=False,
)
# PostgreSQL keeps rows in the order in which they came, those of a night beside each other: all that is asked of a
# series is in this index, as SQLite's table is one.
Index("values_of_series", *boot_values.columns).ddl_if(dialect="postgresql")

# Confirmed changes of nightly series, each told once. They outlive the runs that they name.
alarms = Table(
    "alarms",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("id", String(16), nullable=False, unique=True),
    # Of the series: JSON, as titles and names may hold anything.
    Column("matrix", JsonText, nullable=False),
    Column("cell", JsonText, nullable=False),
    Column("series", JsonText, nullable=False),
    Column("metric", JsonText, nullable=False),
    # All but its events.
    Column("document", JsonText, nullable=False),
    sqlite_autoincrement=True,
)

# What became of each alarm: appended, never altered.
alarm_events = Table(
    "alarm_events",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("alarm_key", _KEY, ForeignKey("alarms.key", ondelete="CASCADE"), nullable=False),
    Column("document", JsonText, nullable=False),
    Index("events_by_alarm", "alarm_key"),
    sqlite_autoincrement=True,
)

# Suspected changes that an A/B was made for, confirmed or not: none is asked for twice.
suspicions = Table(
    "suspicions",
    metadata,
    Column("key", _KEY, primary_key=True, autoincrement=True),
    Column("matrix", JsonText, nullable=False),
    Column("cell", JsonText, nullable=False),
    Column("series", JsonText, nullable=False),
    Column("metric", JsonText, nullable=False),
    Column("document", JsonText, nullable=False),
    sqlite_autoincrement=True,
)
