"""What bisections keep besides their run; implements harness.interfaces.Bisections."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from harness.errors import ConfigError, HostError
from harness.model.bisection import BisectionOutcome, BisectionPlan, IdenticalBuild, Mark, Subrun
from harness.model.run import Parent, Run, RunState, SubrunRole
from harness.parse.foreign import printable
from harness.parse.plainjson import decode, from_plain, to_plain
from harness.store.damage import document, readable
from harness.store.failures import again
from harness.store.rows import run_row
from harness.store.schema import bisections, identical_builds, marks, runs

_Transaction = Callable[[], AbstractContextManager[Connection]]


class SqlBisections:
    """Plans, marks, identical builds and outcomes, and which runs are inside.

    Made by SqlStore, whose transactions it uses. Raises HostError as it does.
    """

    def __init__(self, reading: _Transaction, writing: _Transaction, name: str) -> None:
        self._reading = reading
        self._writing = writing
        self._name = name

    @again
    def create(self, run: Run, plan: BisectionPlan) -> None:
        """Store a new open run together with its plan. Raises HostError when its id is taken."""
        with self._writing() as connection:
            if connection.execute(select(runs.c.key).where(runs.c.id == run.id)).first() is not None:
                raise HostError(f"there is a run {run.id} in {self._name} already", remedy="Run the command again.")
            connection.execute(insert(runs).values(run_row(run)))
            key = self._key(connection, run.id)
            connection.execute(insert(bisections).values(run_key=key, plan=to_plain(plan), outcome=None))

    def plan(self, run_id: str) -> BisectionPlan | None:
        """The plan of a run, None when it is no bisection. Raises ConfigError for an unknown run."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(bisections.c.plan).where(bisections.c.run_key == key)).scalar()
        with self._readable("plan", run_id):
            return None if found is None else from_plain(BisectionPlan, document(found))

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

    @again
    def finish(self, run_id: str, outcome: BisectionOutcome) -> None:
        """Store the outcome and close the run; a second time replaces the outcome."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(update(bisections).where(bisections.c.run_key == key).values(outcome=to_plain(outcome)))
            connection.execute(
                update(runs)
                .where(runs.c.key == key)
                .values(state=RunState.FINISHED.value, finished=datetime.now(UTC).isoformat())
            )

    def outcome(self, run_id: str) -> BisectionOutcome | None:
        """What the search came to, None while it is open."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(bisections.c.outcome).where(bisections.c.run_key == key)).scalar()
        with self._readable("outcome", run_id):
            plain = None if found is None else document(found)
            return None if plain is None else from_plain(BisectionOutcome, plain)

    def newest(self, *, unfinished: bool = False) -> str | None:
        """Id of the newest bisection, or of the newest that is not finished."""
        query = select(runs.c.id).join(bisections, bisections.c.run_key == runs.c.key).order_by(runs.c.key.desc())
        if unfinished:
            query = query.where(runs.c.state == RunState.OPEN.value)
        with self._reading() as connection:
            found: str | None = connection.execute(query.limit(1)).scalar()
        return found

    def _readable(self, what: str, run_id: str) -> AbstractContextManager[None]:
        return readable(f"the {what} of search {printable(run_id)}", self._name)

    def _key(self, connection: Connection, run_id: str) -> int:
        key: int | None = connection.execute(select(runs.c.key).where(runs.c.id == run_id)).scalar()
        if key is None:
            raise ConfigError(f"there is no run {run_id} in {self._name}", remedy="`kab runs` lists what there is.")
        return key
