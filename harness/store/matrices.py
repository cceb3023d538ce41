"""What the store keeps of a matrix besides its run: its plan, its outcome, and which runs are its cells."""

from sqlalchemy import select, update

from harness.model.matrix import MatrixOutcome, MatrixPlan
from harness.model.run import SubrunRole
from harness.parse.plainjson import decode, to_plain
from harness.store.damage import readable
from harness.store.failures import again
from harness.store.plans import SqlPlans
from harness.store.schema import matrices, runs


class SqlMatrices(SqlPlans[MatrixPlan, MatrixOutcome]):
    """Plans and outcomes of matrices, and which runs are inside. Implements harness.interfaces.Matrices."""

    table = matrices
    plan_type = MatrixPlan
    outcome_type = MatrixOutcome
    called = "matrix"

    @again
    def replan(self, run_id: str, plan: MatrixPlan) -> None:
        """Store another plan of the same identity: other waivers. Raises ConfigError for an unknown run."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(update(matrices).where(matrices.c.run_key == key).values(plan=to_plain(plan)))

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
        with self._readable("cells", run_id):
            return {decode(str, row.place): decode(str, row.id) for row in rows}

    def newest(self, *, verb: str | None = None) -> str | None:
        """Id of the newest matrix, or of the newest of a verb."""
        query = self._newest_first()
        if verb is not None:
            query = query.where(runs.c.verb == verb)
        with self._reading() as connection:
            found: str | None = connection.execute(query.limit(1)).scalar()
        return found

    def ids(self, limit: int) -> tuple[str, ...]:
        """Ids of the newest matrices, newest first."""
        with self._reading() as connection:
            rows = connection.execute(self._newest_first().limit(limit)).scalars().all()
        with readable("the list of matrices", self._name):
            return tuple(decode(str, row) for row in rows)
