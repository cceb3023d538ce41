"""What bisections keep besides their run; implements harness.interfaces.Bisections."""

from sqlalchemy import insert, select

from harness.model.bisection import BisectionOutcome, BisectionPlan, IdenticalBuild, Mark, Subrun
from harness.model.run import Parent, RunState, SubrunRole
from harness.parse.plainjson import decode, from_plain, to_plain
from harness.store.damage import document
from harness.store.failures import again
from harness.store.plans import SqlPlans
from harness.store.schema import bisections, identical_builds, marks, runs


class SqlBisections(SqlPlans[BisectionPlan, BisectionOutcome]):
    """Plans, marks, identical builds and outcomes, and which runs are inside."""

    table = bisections
    plan_type = BisectionPlan
    outcome_type = BisectionOutcome
    called = "search"

    @again
    def add_mark(self, run_id: str, mark: Mark) -> None:
        """Take a rung out, or put it back."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(insert(marks).values(run_key=key, rung=mark.rung, document=to_plain(mark)))

    def marks(self, run_id: str) -> tuple[Mark, ...]:
        """All marks, in the order they were made."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            query = select(marks.c.document).where(marks.c.run_key == key).order_by(marks.c.key)
            found = connection.execute(query).scalars().all()
        with self._readable("marks", run_id):
            return tuple(from_plain(Mark, document(mark)) for mark in found)

    @again
    def add_identical_build(self, run_id: str, identical: IdenticalBuild) -> None:
        """Note that a rung's kernel is that of another one. Raises HostError when that has been noted of it already."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(
                insert(identical_builds).values(run_key=key, rung=identical.rung, document=to_plain(identical))
            )

    def identical_builds(self, run_id: str) -> tuple[IdenticalBuild, ...]:
        """All identical builds, in the order they were found."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            query = (
                select(identical_builds.c.document)
                .where(identical_builds.c.run_key == key)
                .order_by(identical_builds.c.key)
            )
            found = connection.execute(query).scalars().all()
        with self._readable("identical builds", run_id):
            return tuple(from_plain(IdenticalBuild, document(identical)) for identical in found)

    def subruns(self, run_id: str) -> tuple[Subrun, ...]:
        """The A/B runs inside it, in the order they were made."""
        query = select(runs.c.id, runs.c.role, runs.c.place).where(runs.c.parent == run_id).order_by(runs.c.key)
        with self._reading() as connection:
            self._key(connection, run_id)
            rows = connection.execute(query).all()
        with self._readable("subruns", run_id):
            return tuple(
                Subrun.of(decode(str, row.id), Parent(run_id=run_id, role=SubrunRole(row.role), place=row.place))
                for row in rows
            )

    def newest(self, *, unfinished: bool = False) -> str | None:
        """Id of the newest bisection, or of the newest that is not finished."""
        query = self._newest_first()
        if unfinished:
            query = query.where(runs.c.state == RunState.OPEN.value)
        with self._reading() as connection:
            found: str | None = connection.execute(query.limit(1)).scalar()
        return found
