"""Version 1: runs, trials, samples, artifacts and decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, in a database that has none."""
    version = op.create_table(
        "kab_schema", sa.Column("version", sa.Integer, primary_key=True, autoincrement=False), if_not_exists=True
    )
    assert version is not None, "made on a connection"
    op.bulk_insert(version, [{"version": 1}])
    op.create_table(
        "runs",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        *_texts("experiment", "baseline", "candidate"),
        sa.Column("seed", sa.String(80), nullable=False),
        *_texts("conditions", "host", "command"),
        sa.Column("kab_version", sa.String(64), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("finished", sa.String(40)),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_by_digest", "runs", ["digest", "state"])
    _trials()
    op.create_table(
        "decisions",
        sa.Column("run_key", KEY, sa.ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("metric", sa.String(64)),
        *_texts("document"),
    )


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("run_key", KEY, sa.ForeignKey("runs.key", ondelete="CASCADE"), nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("arm", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("seed", sa.String(80), nullable=False),
        sa.Column("kernel_digest", sa.String(128), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        *_texts("message", "metrics", "stage_s", "findings", "environment"),
        sa.Column("started", sa.String(40)),
        sa.Column("duration_s", sa.Float(53), nullable=False),
        sa.UniqueConstraint("run_key", "block", "position", "attempt", name="one_trial_per_place"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "samples",
        _of_trial(),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("iteration", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Float(53)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("zstd", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "artifacts",
        _of_trial(),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("blobs.sha256"), nullable=False),
        sqlite_with_rowid=False,
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _of_trial() -> sa.Column[int]:
    key = sa.ForeignKey("trials.key", ondelete="CASCADE")
    return sa.Column("trial_key", KEY, key, primary_key=True, autoincrement=False)
