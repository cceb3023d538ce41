"""Version 3: a run knows the run that it is a part of, by a column instead of a table and a condition's text.

A part that was noted and never made is dropped: the search makes it again. Digests stay what they are, so that parts
that are open are found again (harness.plan adds the text that is taken out here).
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# The name of the condition.
PART_OF = "part of"

RUNS = sa.table("runs", *(sa.column(name) for name in ("key", "id", "conditions", "parent", "role", "place")))
PARTS = sa.table("bisection_parts", *(sa.column(name) for name in ("run_key", "role", "before", "after", "part_id")))
SCHEMA = sa.table("kab_schema", sa.column("version"))


def upgrade() -> None:
    """Add the columns, fill them from the table, and drop it."""
    parent = sa.ForeignKey("runs.id", ondelete="CASCADE")
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("parent", sa.String(64), parent), inline_references=True)
        runs.add_column(sa.Column("role", sa.String(32)))
        runs.add_column(sa.Column("place", sa.String(255)))
    _move()
    op.create_index("one_run_per_place", "runs", ["parent", "role", "place"], unique=True)
    op.drop_table("bisection_parts")
    # From here on Alembic's own table counts. A kab of before it reads this one, and says that it is too old.
    op.execute(sa.update(SCHEMA).values(version=3))


def _move() -> None:
    connection = op.get_bind()
    search = RUNS.alias("search")
    query = (
        sa.select(RUNS.c.key, RUNS.c.conditions, search.c.id, PARTS.c.role, PARTS.c.before, PARTS.c.after)
        .select_from(PARTS)
        .join(RUNS, RUNS.c.id == PARTS.c.part_id)
        .join(search, search.c.key == PARTS.c.run_key)
    )
    for row in connection.execute(query).all():
        place = f"{row.before}-{row.after}"
        connection.execute(
            sa.update(RUNS)
            .where(RUNS.c.key == row.key)
            .values(parent=row.id, role=row.role, place=place, conditions=_without(row.conditions))
        )


def _without(conditions: object) -> object:
    """The conditions' text without that one; text that is no JSON as it is: what is damaged is told when it is read."""
    try:
        found = json.loads(conditions)  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return conditions
    if not isinstance(found, dict) or PART_OF not in found:
        return conditions
    del found[PART_OF]
    return json.dumps(found, ensure_ascii=True, separators=(",", ":"))
