"""Version 4: matrices, runs whose trials are those of the runs inside them, and what is followed over the nights.

There were no matrices before, so that nothing of what is stored is followed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the new tables."""
    op.create_table("matrices", _of("run_key", "runs.key"), *_texts("plan", "outcome"))
    op.create_table("nights", _of("run_key", "runs.key"), *_texts("matrix", "cell", "series", "workload"))
    op.create_table(
        "series",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        *_texts("matrix", "cell", "series", "workload", "metric"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "boot_values",
        _of("series_key", "series.key"),
        _of("trial_key", "trials.key"),
        sa.Column("run_key", KEY, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("values_of_series", "boot_values", ["series_key", "trial_key", "run_key", "value"])
    _alarms()


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _of(name: str, refers_to: str) -> sa.Column[int]:
    return sa.Column(name, KEY, sa.ForeignKey(refers_to, ondelete="CASCADE"), primary_key=True, autoincrement=False)


def _alarms() -> None:
    series = ("matrix", "cell", "series", "metric")
    op.create_table(
        "alarms",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(16), nullable=False, unique=True),
        *_texts(*series),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alarm_events",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("alarm_key", KEY, sa.ForeignKey("alarms.key", ondelete="CASCADE"), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Index("events_by_alarm", "alarm_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "suspicions",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        *_texts(*series),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
