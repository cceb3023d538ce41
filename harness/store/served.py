"""Results on a server that may go away: what cannot be written there is kept in a file here, and delivered later.

The *outbox* is a database of this host, with the same tables. Whatever is written to a run is written to the server and
then to its copy in the outbox, so that a loop goes on with the copy alone once the server does not answer: from then
on everything is written to the outbox only, and marked there in the same transaction, until all of it was delivered.
Delivering copies rows and compares what is there already, so that it may be done again, whatever it was broken off by:
a boot has one place in its run, and is stored there once.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, delete, insert, select, update

from harness.errors import HostError, TransientHostError
from harness.host.locks import try_lock
from harness.model.experiment import Place, TrialSpec
from harness.model.run import Run, RunState
from harness.model.trial import Trial
from harness.model.verdict import Decision
from harness.store.copying import Copied, copy_store
from harness.store.damage import DamagedError
from harness.store.engine import BUSY_TIMEOUT_S, database_url, display_name
from harness.store.failures import AwayError
from harness.store.schema import artifacts, blobs, runs
from harness.store.sql import NEWEST, SqlStore

Result = TypeVar("Result")

# How long a server that does not answer is left alone: doubled each time, so that a run of many short boots is not
# mostly waiting for it.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 120.0
# Methods of a store's parts that write; their first argument is a run or the id of one.
WRITES = frozenset({"create", "replan", "add_mark", "add_identical_build", "finish"})

# Of an outbox's file, made of the server's name.
_NAME_CHARS = 12

_METADATA = MetaData()
# In the outbox only. The run's id, because what belongs to a run is delivered together.
_WAITING = Table(
    "outbox_waiting",
    _METADATA,
    Column("run_id", String(64), primary_key=True),
    Column("trials", Integer, nullable=False),
    # Counts the writes, so that a mark goes away only with all that it stands for.
    Column("writes", Integer, nullable=False),
    Column("since", String(40), nullable=False),
    # Why the server took it not, and never will; "" for what only waits.
    Column("refused", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is kept here for the server."""

    runs: int = 0
    trials: int = 0
    since: str = ""
    # Ids of runs of which the server has others; they stay here.
    refused: tuple[str, ...] = ()


class _Outbox(SqlStore):
    """The database of this host."""

    def __init__(self, path: Path, *, note: Callable[[str], None]) -> None:
        self._marking: tuple[str, int] | None = None
        super().__init__(path, note=note)
        with self._engine.begin() as connection:
            _METADATA.create_all(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """As that of any store; the mark goes in with what it stands for."""
        with super().writing() as connection:
            yield connection
            if self._marking is not None:
                _mark(connection, *self._marking)

    @contextmanager
    def marking(self, run_id: str, boots: int) -> Iterator[None]:
        """What is written meanwhile waits for the server."""
        self._marking = (run_id, boots)
        try:
            yield
        finally:
            self._marking = None

    def has(self, run_id: str) -> bool:
        """Whether there is a run of exactly this id."""
        with self.reading() as connection:
            return connection.execute(select(runs.c.key).where(runs.c.id == run_id)).first() is not None

    def waiting(self) -> Waiting:
        """What waits."""
        with self.reading() as connection:
            rows = connection.execute(select(_WAITING).order_by(_WAITING.c.run_id)).all()
        open_ = [row for row in rows if not row.refused]
        return Waiting(
            runs=len(open_),
            trials=sum(row.trials for row in open_),
            since=min((row.since for row in open_), default=""),
            refused=tuple(row.run_id for row in rows if row.refused),
        )

    def deliver(self, server: SqlStore, progress: Callable[[int, int], None]) -> Copied:
        """Everything that waits. Raises as copying does."""
        with self.reading() as connection:
            marks = connection.execute(select(_WAITING).where(_WAITING.c.refused == "")).all()
            parents = {row.id: row.parent for row in connection.execute(select(runs.c.id, runs.c.parent))}
        if not marks:
            return Copied()
        # With what they are inside of: a server that was taken back from a copy may lack it.
        wanted = set[str]()
        for row in marks:
            run_id: str | None = row.run_id
            while run_id is not None and run_id not in wanted:
                wanted.add(run_id)
                run_id = parents.get(run_id)
        found = copy_store(self, server, only=wanted, own=True, progress=progress)
        with self.writing() as connection:
            for row in marks:
                if row.run_id in found.refused:
                    refused = update(_WAITING).where(_WAITING.c.run_id == row.run_id)
                    connection.execute(refused.values(refused="another run of this id is there"))
                else:
                    # What was written meanwhile waits for the next time.
                    same = (_WAITING.c.run_id == row.run_id, _WAITING.c.writes == row.writes)
                    connection.execute(delete(_WAITING).where(*same))
        return found

    def tidy(self) -> None:
        """Remove copies of whole runs that are finished, where nothing waits and nothing was refused."""
        finished = (runs.c.parent.is_(None), runs.c.state == RunState.FINISHED.value)
        with self.reading() as connection:
            if connection.execute(select(runs.c.key).where(*finished).limit(1)).first() is None:
                return
        with self.writing() as connection:
            # Under the lock: nobody marks anything now.
            if connection.execute(select(_WAITING.c.run_id).limit(1)).first() is None:
                connection.execute(delete(runs).where(*finished))
                connection.execute(delete(blobs).where(blobs.c.sha256.not_in(select(artifacts.c.sha256))))


def _mark(connection: Connection, run_id: str, boots: int) -> None:
    found = connection.execute(select(_WAITING).where(_WAITING.c.run_id == run_id)).first()
    if found is None:
        row = {"run_id": run_id, "trials": boots, "writes": 1, "since": datetime.now(UTC).isoformat(), "refused": ""}
        connection.execute(insert(_WAITING).values(row))
    else:
        more = {"trials": found.trials + boots, "writes": found.writes + 1}
        connection.execute(update(_WAITING).where(_WAITING.c.run_id == run_id).values(more))


class _Part:
    """Bisections or matrices of a served store: each call goes where the store's own calls go."""

    def __init__(self, store: "ServedStore", name: str) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._call, method)

    def _call(self, method: str, *words: Any, **options: Any) -> Any:
        def call(store: SqlStore) -> Any:
            return getattr(getattr(store, self._name), method)(*words, **options)

        if method in WRITES:
            of = words[0]
            return self._store.write(
                of.id if isinstance(of, Run) else of, call, new=of if isinstance(of, Run) else None
            )
        return self._store.read(call, words[0] if words else None)


class ServedStore(SqlStore):
    """As SqlStore, for a database behind a server, with an outbox.

    A run can be made, and gone on with, while the server is away: it is found again by its digest in the outbox. What
    concerns more than one run (alarms, nights) is asked of the server only, and raises AwayError meanwhile: what must
    be told once cannot be told from here. Lists hold what the outbox has.
    """

    # Nothing of SqlStore's own set-up: both databases have had it.
    def __init__(
        self,
        connect: Callable[[], SqlStore],
        outbox: Path,
        *,
        name: str,
        note: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """`connect` opens the server's; `outbox` is the file of what waits for it.

        Raises as SqlStore does, but not AwayError.
        """
        self._connect = connect
        self._path = outbox
        self._name = name
        self._note = note
        self._server: SqlStore | None = None
        self._local: _Outbox | None = None
        self._pause_s = 0.0
        self._not_before = 0.0
        self._told = False
        # Runs whose copies this process knows to be whole.
        self._mirrored: set[str] = set()
        self.bisections = cast("Any", _Part(self, "bisections"))
        self.matrices = cast("Any", _Part(self, "matrices"))
        try:
            self._up()
        except AwayError as error:
            self._gone(error)
        self._deliver_now()

    # Those of the server.

    @property
    def history(self) -> Any:  # type: ignore[override]
        """What is followed over the nights. Raises AwayError."""
        return self._up().history

    @property
    def alarms(self) -> Any:  # type: ignore[override]
        """Alarms and suspicions. Raises AwayError."""
        return self._up().alarms

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The server's. Raises AwayError."""
        with self._up().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The server's. Raises AwayError."""
        with self._up().writing() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        for store in (self._server, self._local):
            if store is not None:
                store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What waits.

    def waiting(self) -> Waiting:
        """What waits in the outbox."""
        local = self._kept()
        return local.waiting() if local else Waiting()

    def deliver(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Copied:
        """Bring what waits to the server, now. Raises AwayError; TransientHostError while another process does it."""
        local = self._kept()
        if local is None:
            return Copied()
        server = self._up(now=True)
        with self._delivering() as locked:
            if not locked:
                raise TransientHostError(
                    f"another process delivers to {self._name}", remedy="Wait until it is done; there is nothing to do."
                )
            found = local.deliver(server, progress)
        self._answered()
        return found

    # Where calls go.

    def write(
        self, run_id: str, call: Callable[[SqlStore], Result], *, boots: int = 0, new: Run | None = None
    ) -> Result:
        """Both databases, or the outbox alone while the server is away or something waits for it.

        `new`: the run that the call makes.
        """
        # What must be there already: the run, or what a new one is inside of.
        beside = run_id if new is None else new.parent.run_id if new.parent is not None else None
        if self._holding():
            self._deliver_now()
        if not self._holding():
            try:
                server = self._up()
                if beside is not None:
                    self._mirror(beside)
                result = call(server)
            except AwayError as error:
                self._gone(error)
            else:
                call(self._outbox())
                if new is not None:
                    self._mirrored.add(new.id)
                return result
        local = self._outbox()
        if beside is not None and not local.has(beside):
            # It is on the server only.
            raise self._away()
        with local.marking(run_id, boots):
            return call(local)

    def read(self, call: Callable[[SqlStore], Result], run_id: str | None = None) -> Result:
        """The server's answer, or the outbox's of a run that waits or where the server is away."""
        local = self._kept()
        known = local is not None and (run_id is None or run_id == NEWEST or local.has(run_id))
        if local is not None and known and run_id not in {None, NEWEST} and self._holding():
            return call(local)
        try:
            return call(self._up())
        except AwayError as error:
            self._gone(error)
            if local is None or not known or not local.runs(1):
                raise
            return call(local)

    def _holding(self) -> bool:
        local = self._kept()
        return local is not None and local.waiting().runs > 0

    def _kept(self) -> _Outbox | None:
        """The outbox, None where there was never one."""
        return self._outbox() if self._local is not None or self._path.exists() else None

    def _outbox(self) -> _Outbox:
        if self._local is None:
            self._local = _Outbox(self._path, note=self._note)
        return self._local

    def _up(self, *, now: bool = False) -> SqlStore:
        """The server's database. Raises AwayError, at once where it was away a moment ago."""
        if not now and time.monotonic() < self._not_before:
            raise self._away()
        if self._server is None:
            self._server = self._connect()
        return self._server

    def _away(self) -> AwayError:
        return AwayError(
            f"the results database {self._name} does not answer",
            remedy="Start its server, or mend the network, then run the same command again.",
        )

    def _gone(self, error: AwayError) -> None:
        if time.monotonic() < self._not_before:
            return
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._not_before = time.monotonic() + self._pause_s
        if not self._told:
            self._told = True
            self._note(f"{error.message}; until it does, results are kept in {self._path}")

    def _answered(self) -> None:
        self._pause_s = self._not_before = 0.0
        self._told = False

    def _deliver_now(self) -> None:
        """What waits, if the server answers; else later."""
        local = self._kept()
        if local is None:
            return
        try:
            server = self._up()
            if not local.waiting().runs:
                with self._delivering() as locked:
                    if locked:
                        local.tidy()
                return
            with self._delivering() as locked:
                if not locked:
                    return
                found = local.deliver(server, lambda _done, _total: None)
        except AwayError as error:
            self._gone(error)
            return
        except HostError as error:
            self._note(f"what waits for {self._name} could not be delivered: {error.message}")
            return
        self._answered()
        self._note(f"delivered to {self._name}: {found.trials} boots, {found.runs + found.extended} runs")
        for refused in found.refused:
            self._note(f"{self._name} has another run {refused}; what is here stays in {self._path}")

    @contextmanager
    def _delivering(self) -> Iterator[bool]:
        lock = try_lock(self._path.with_suffix(".lock"))
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.close()

    def _mirror(self, run_id: str) -> None:
        """Have the run, what it is inside of and what is inside of it, in the outbox, too.

        Once in a process: one that was killed between the two writes left the server with a boot more.
        """
        local = self._outbox()
        # What is finished may have been tidied away, by another process too.
        if run_id in self._mirrored and local.has(run_id):
            return
        server = self._up()
        ids = _family(server, run_id)
        copy_store(server, local, only=ids, own=True)
        self._mirrored |= ids

    # As SqlStore.

    def create_run(self, run: Run) -> None:
        """As SqlStore's."""
        self.write(run.id, lambda store: store.create_run(run), boots=len(run.trials), new=run)

    def append_trial(self, run_id: str, trial: Trial[Place]) -> None:
        """As SqlStore's."""
        self.write(run_id, lambda store: store.append_trial(run_id, trial), boots=1)

    def finish(self, run_id: str, decision: Decision) -> None:
        """As SqlStore's."""
        self.write(run_id, lambda store: store.finish(run_id, decision))

    def unfinished(self, digest: str) -> Run | None:
        """As SqlStore's; while the server is away, of what is in the outbox."""
        if self._holding():
            self._deliver_now()
        try:
            found = None if self._holding() else self._up().unfinished(digest)
            if found is not None:
                self._mirror(found.id)
        except AwayError as error:
            self._gone(error)
            found = None
        local = self._kept()
        return found or (local.unfinished(digest) if local else None)

    def run(self, run_id: str) -> Run:
        """As SqlStore's."""
        return self.read(lambda store: store.run(run_id), run_id)

    def decision(self, run_id: str) -> Decision | None:
        """As SqlStore's."""
        return self.read(lambda store: store.decision(run_id), run_id)

    def runs(self, limit: int = 50, *, cells: bool = True) -> list[Run]:
        """As SqlStore's."""
        return self.read(lambda store: store.runs(limit, cells=cells))

    def damaged(self, limit: int = 50, *, cells: bool = True) -> list[DamagedError]:
        """As SqlStore's."""
        return self.read(lambda store: store.damaged(limit, cells=cells))

    def artifacts(self, run_id: str, spec: TrialSpec[Place], names: Collection[str] | None = None) -> dict[str, bytes]:
        """As SqlStore's."""
        return self.read(lambda store: store.artifacts(run_id, spec, names), run_id)


def _family(store: SqlStore, run_id: str) -> set[str]:
    """The run, those around it and those inside the outermost of them."""
    with store.reading() as connection:
        root = run_id
        while parent := connection.execute(select(runs.c.parent).where(runs.c.id == root)).scalar():
            root = parent
        found, inside = set[str](), {root}
        while inside:
            found |= inside
            query = select(runs.c.id).where(runs.c.parent.in_(sorted(inside)))
            inside = set(connection.execute(query).scalars()) - found
    return found


def open_store(
    where: Path | str, *, outboxes: Path, note: Callable[[str], None], busy_timeout_s: float = BUSY_TIMEOUT_S
) -> SqlStore:
    """The store of a file or a URL; for one on a server with its outbox in the folder `outboxes`.

    Raises as SqlStore does, but not for a server that is away.
    """
    url = database_url(where)
    if url.get_backend_name() == "sqlite":
        return SqlStore(where, busy_timeout_s=busy_timeout_s, note=note)
    return ServedStore(
        lambda: SqlStore(where, busy_timeout_s=busy_timeout_s, note=note),
        _outbox_of(where, outboxes),
        name=display_name(url),
        note=note,
    )


def kept_for(where: Path | str, *, outboxes: Path) -> Waiting:
    """What waits for the server of a URL, which is not asked. Raises HostError where the outbox cannot be read."""
    path = _outbox_of(where, outboxes)
    if not path.exists():
        return Waiting()
    with _Outbox(path, note=lambda _message: None) as outbox:
        return outbox.waiting()


def _outbox_of(where: Path | str, outboxes: Path) -> Path:
    name = display_name(database_url(where))
    return outboxes / f"{hashlib.sha256(name.encode()).hexdigest()[:_NAME_CHARS]}.sqlite"
