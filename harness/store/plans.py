"""What the store keeps of a run that has others inside it: its plan and, once it is over, its outcome."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, insert, select, update

from harness.errors import ConfigError, HostError
from harness.model.run import Run, RunState
from harness.parse.foreign import printable
from harness.parse.plainjson import from_plain, to_plain
from harness.store.damage import document, readable
from harness.store.failures import again
from harness.store.rows import run_row
from harness.store.schema import runs

Transaction = Callable[[], AbstractContextManager[Connection]]
_Plan = TypeVar("_Plan")
_Outcome = TypeVar("_Outcome")


class SqlPlans(Generic[_Plan, _Outcome]):
    """Plans and outcomes of one kind of run. Made by SqlStore, whose transactions it uses. Raises HostError as it does.

    A kind names its table (columns run_key, plan, outcome), the types of both, and what people call it.
    """

    table: Table
    plan_type: type[Any]
    outcome_type: type[Any]
    called: str

    def __init__(self, reading: Transaction, writing: Transaction, name: str) -> None:
        self._reading = reading
        self._writing = writing
        self._name = name

    @again
    def create(self, run: Run, plan: _Plan) -> None:
        """Store a new open run together with its plan. Raises HostError when its id is taken."""
        with self._writing() as connection:
            if connection.execute(select(runs.c.key).where(runs.c.id == run.id)).first() is not None:
                raise HostError(f"there is a run {run.id} in {self._name} already", remedy="Run the command again.")
            connection.execute(insert(runs).values(run_row(run)))
            key = self._key(connection, run.id)
            connection.execute(insert(self.table).values(run_key=key, plan=to_plain(plan), outcome=None))

    def plan(self, run_id: str) -> _Plan | None:
        """The plan of a run, None when it is none of this kind. Raises ConfigError for an unknown run."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(self.table.c.plan).where(self.table.c.run_key == key)).scalar()
        with self._readable("plan", run_id):
            return None if found is None else from_plain(self.plan_type, document(found))

    @again
    def finish(self, run_id: str, outcome: _Outcome) -> None:
        """Store the outcome and close the run; a second time replaces the outcome."""
        with self._writing() as connection:
            key = self._key(connection, run_id)
            connection.execute(update(self.table).where(self.table.c.run_key == key).values(outcome=to_plain(outcome)))
            closed = {"state": RunState.FINISHED.value, "finished": datetime.now(UTC).isoformat()}
            connection.execute(update(runs).where(runs.c.key == key).values(closed))

    def outcome(self, run_id: str) -> _Outcome | None:
        """What the run came to, None while it is open."""
        with self._reading() as connection:
            key = self._key(connection, run_id)
            found = connection.execute(select(self.table.c.outcome).where(self.table.c.run_key == key)).scalar()
        with self._readable("outcome", run_id):
            plain = None if found is None else document(found)
            return None if plain is None else from_plain(self.outcome_type, plain)

    def _newest_first(self) -> Select[Any]:
        """Ids of the runs of this kind."""
        query = select(runs.c.id).join(self.table, self.table.c.run_key == runs.c.key)
        return query.order_by(runs.c.key.desc())

    def _readable(self, what: str, run_id: str) -> AbstractContextManager[None]:
        return readable(f"the {what} of {self.called} {printable(run_id)}", self._name)

    def _key(self, connection: Connection, run_id: str) -> int:
        key: int | None = connection.execute(select(runs.c.key).where(runs.c.id == run_id)).scalar()
        if key is None:
            raise ConfigError(f"there is no run {run_id} in {self._name}", remedy="`kab runs` lists what there is.")
        return key
