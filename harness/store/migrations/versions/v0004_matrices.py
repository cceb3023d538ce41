"""Version 4: matrices, runs whose trials are those of the runs inside them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "matrices",
        sa.Column("run_key", KEY, sa.ForeignKey("runs.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
    )
