"""Version 2: what a search has besides its run. Some databases of version 1 have all of these tables but the twins'."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables that there are not yet."""
    op.create_table(
        "bisections",
        sa.Column("run_key", KEY, _run(), primary_key=True, autoincrement=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "bisection_marks",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("run_key", KEY, _run(), nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("marks_by_run", "bisection_marks", ["run_key"], if_not_exists=True)
    op.create_table(
        "bisection_twins",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("run_key", KEY, _run(), nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("run_key", "rung", name="one_twin_per_rung"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_table(
        "bisection_parts",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("run_key", KEY, _run(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("before", sa.Integer, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("part_id", sa.String(64), nullable=False),
        sa.UniqueConstraint("run_key", "role", "before", "after", name="one_part_per_place"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.execute(sa.update(sa.table("kab_schema", sa.column("version", sa.Integer))).values(version=2))


def _run() -> sa.ForeignKey:
    return sa.ForeignKey("runs.key", ondelete="CASCADE")
