"""What the store keeps of a matrix besides its run: its plan, its outcome, and which runs are its cells."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from harness.errors import ConfigError, HostError
from harness.model.matrix import MatrixOutcome, MatrixPlan
from harness.model.run import Run, RunState, SubrunRole
from harness.parse.foreign import printable
from harness.parse.plainjson import decode, from_plain, to_plain
from harness.store.damage import document, readable
from harness.store.failures import again
from harness.store.rows import run_row
from harness.store.schema import matrices, runs

_Transaction = Callable[[], AbstractContextManager[Connection]]


class SqlMatrices:
    """Plans and outcomes of matrices, and which runs are inside.

    Made by SqlStore, whose transactions it uses. Raises HostError as it does.
    """

    def __init__(self, reading: _Transaction, writing: _Transaction, name: str) -> None:
        self._reading = reading
        self._writing = writing
        self._name = name

    @again
    def create(self, run: Run, plan: MatrixPlan) -> None:
        """Store a new open run together with its plan. Raises HostError when its id is taken."""
        with self._writing() as connection:
            if connection.execute(select(runs.c.key).where(runs.c.id == run.id)).first() is not None:
                raise HostError(f"there is a run {run.id} in {self._name} already", remedy="Run the command again.")
            connection.execute(insert(runs).values(run_row(run)))
            key = self._key(connection, run.id)
            connection.execute(insert(matrices).values(run_key=key, plan=to_plain(plan), outcome=None))

    @again
    def replan(self, run_id: str, plan: MatrixPlan) -> None:
        """Store another plan of the same identity: other waivers. Raises ConfigError for an unknown run."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(update(matrices).where(matrices.c.run_key == key).values(plan=to_plain(plan)))

    def plan(self, run_id: str) -> MatrixPlan | None:
        """The plan of a run, None when it is no matrix. Raises ConfigError for an unknown run."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(matrices.c.plan).where(matrices.c.run_key == key)).scalar()
        with readable(f"the plan of matrix {printable(run_id)}", self._name):
            return None if found is None else from_plain(MatrixPlan, document(found))

    def cells(self, run_id: str, role: SubrunRole = SubrunRole.CELL) -> dict[str, str]:
        """Place -> id of the runs inside it that have this role, in the order they were made."""
        query = (
            select(runs.c.place, runs.c.id)
            .where(runs.c.parent == run_id, runs.c.role == role.value)
            .order_by(runs.c.key)
        )
        with self._reading() as connection:
            self._key(connection, run_id)
            rows = connection.execute(query).all()
        with readable(f"the cells of matrix {printable(run_id)}", self._name):
            return {decode(str, row.place): decode(str, row.id) for row in rows}

    @again
    def finish(self, run_id: str, outcome: MatrixOutcome) -> None:
        """Store the outcome and close the run; a second time replaces the outcome."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(update(matrices).where(matrices.c.run_key == key).values(outcome=to_plain(outcome)))
            connection.execute(
                update(runs)
                .where(runs.c.key == key)
                .values(state=RunState.FINISHED.value, finished=datetime.now(UTC).isoformat())
            )

    def outcome(self, run_id: str) -> MatrixOutcome | None:
        """What the matrix came to, None while it is open."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(matrices.c.outcome).where(matrices.c.run_key == key)).scalar()
        with readable(f"the outcome of matrix {printable(run_id)}", self._name):
            plain = None if found is None else document(found)
            return None if plain is None else from_plain(MatrixOutcome, plain)

    def newest(self, *, verb: str | None = None) -> str | None:
        """Id of the newest matrix, or of the newest of a verb."""
        query = select(runs.c.id).join(matrices, matrices.c.run_key == runs.c.key).order_by(runs.c.key.desc())
        if verb is not None:
            query = query.where(runs.c.verb == verb)
        with self._reading() as connection:
            found: str | None = connection.execute(query.limit(1)).scalar()
        return found

    def ids(self, limit: int) -> tuple[str, ...]:
        """Ids of the newest matrices, newest first."""
        query = select(runs.c.id).join(matrices, matrices.c.run_key == runs.c.key).order_by(runs.c.key.desc())
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit)).scalars().all()
        with readable("the list of matrices", self._name):
            return tuple(decode(str, row) for row in rows)

    def _key(self, connection: Connection, run_id: str) -> int:
        key: int | None = connection.execute(select(runs.c.key).where(runs.c.id == run_id)).scalar()
        if key is None:
            raise ConfigError(f"there is no run {run_id} in {self._name}", remedy="`kab runs` lists what there is.")
        return key
