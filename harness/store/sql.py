"""The store on a SQL database; implements harness.interfaces.Store. Each call is one durable transaction."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard
from sqlalchemy import Connection, RowMapping, Select, delete, insert, or_, select, update

from harness.errors import ConfigError, HostError
from harness.model.experiment import Place, TrialSpec
from harness.model.run import MATRIX_ROLES, Run, RunState
from harness.model.trial import Trial
from harness.model.verdict import Decision
from harness.parse.foreign import printable
from harness.parse.plainjson import from_plain, to_plain
from harness.store.alarms import SqlAlarms
from harness.store.bisections import SqlBisections
from harness.store.damage import DamagedError, document, readable
from harness.store.engine import BUSY_TIMEOUT_S, display_name, open_engine
from harness.store.failures import again, translated
from harness.store.history import SqlHistory, note_boot, note_night
from harness.store.inserting import insert_new
from harness.store.matrices import SqlMatrices
from harness.store.rows import run_from_row, run_row, sample_rows, samples_by_trial, trial_from_row, trial_row
from harness.store.schema import WRITES, artifacts, blobs, decisions, runs, samples, trials

NEWEST = "last"
_ZSTD_LEVEL = 9
# How many candidates an ambiguous prefix lists.
_LISTED = 10


class SqlStore:
    """Runs and trials in a SQLite file (made if missing) or behind any SQLAlchemy URL.

    A database of an older kab is brought to today's tables, once, which `note` hears of. Raises ConfigError and
    HostError as harness.store.engine.open_engine does; every method raises HostError when the database fails
    (TransientHostError when it stays locked for `busy_timeout_s` seconds). Safe for several processes.
    """

    def __init__(
        self,
        where: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        note: Callable[[str], None] = lambda _message: None,
    ) -> None:
        self._engine = open_engine(where, note=note, busy_timeout_s=busy_timeout_s)
        self._name = display_name(self._engine.url)
        # What bisections keep besides their run.
        self.bisections = SqlBisections(self.reading, self.writing, self._name)
        # The same for matrices.
        self.matrices = SqlMatrices(self.reading, self.writing, self._name)
        # What is followed over the nights.
        self.history = SqlHistory(self.reading, self._name)
        # Confirmed changes of nightly series, and what was suspected.
        self.alarms = SqlAlarms(self.reading, self.writing, self._name)

    @property
    def name(self) -> str:
        """For messages: the file's path, or the URL without what is secret."""
        return self._name

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @again
    def create_run(self, run: Run) -> None:
        """Store a new run, with the trials that it has already.

        Raises HostError when its id is taken, or its place in its parent; ConfigError for a parent that there is not.
        """
        with self.writing() as connection:
            if connection.execute(select(runs.c.key).where(runs.c.id == run.id)).first() is not None:
                raise HostError(f"there is a run {run.id} in {self._name} already", remedy="Run the command again.")
            if run.parent is not None:
                _run_key(connection, run.parent.run_id, self._name)
            connection.execute(insert(runs).values(run_row(run)))
            key = _run_key(connection, run.id, self._name)
            note_night(connection, key, run)
            for trial in run.trials:
                _insert_trial(connection, key, trial)

    def unfinished(self, digest: str) -> Run | None:
        """The newest open run with this digest, trials included (artifacts left out), or None."""
        query = select(runs).where(runs.c.digest == digest, runs.c.state == RunState.OPEN.value)
        with self.reading() as connection:
            return _newest(connection, query, self._name)

    @again
    def append_trial(self, run_id: str, trial: Trial[Place]) -> None:
        """Store one trial with its artifacts. Raises ConfigError for an unknown run, HostError for a second time."""
        place = trial.place.written
        with self.writing() as connection:
            key = _run_key(connection, run_id, self._name)
            if connection.execute(_trial_query(run_id, trial.spec)).first() is not None:
                raise HostError(
                    f"run {run_id} has boot {place.order} of block {place.block} (attempt {place.attempt}) already",
                    remedy="Two processes seem to work on this run: end one, then run the same command again.",
                )
            _insert_trial(connection, key, trial)

    @again
    def finish(self, run_id: str, decision: Decision) -> None:
        """Store the decision and close the run; a second time replaces the decision."""
        with self.writing() as connection:
            key = _run_key(connection, run_id, self._name)
            connection.execute(delete(decisions).where(decisions.c.run_key == key))
            connection.execute(
                insert(decisions).values(
                    run_key=key,
                    verdict=decision.verdict.value,
                    metric=decision.metric,
                    document=to_plain(decision),
                )
            )
            connection.execute(
                update(runs)
                .where(runs.c.key == key)
                .values(state=RunState.FINISHED.value, finished=datetime.now(UTC).isoformat())
            )

    def run(self, run_id: str) -> Run:
        """A run by id or unique prefix ("last": the newest that has no parent), trials without artifacts.

        Raises ConfigError when there is none, or when several runs begin so, DamagedError for what cannot be read.
        """
        with self.reading() as connection:
            wanted = runs.c.parent.is_(None) if run_id == NEWEST else runs.c.id == run_id
            exact = _newest(connection, select(runs).where(wanted), self._name)
            if exact is not None:
                return exact
            found = (
                connection.execute(
                    select(runs.c.id).where(runs.c.id.startswith(run_id, autoescape=True)).order_by(runs.c.key.desc())
                )
                .scalars()
                .all()
            )
            if run_id == NEWEST or not found:
                missing = "no runs yet" if run_id == NEWEST else f"no run {run_id}"
                raise ConfigError(f"there is {missing} in {self._name}", remedy="`kab runs` lists what there is.")
            if len(found) > 1:
                more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
                raise ConfigError(
                    f"{len(found)} runs begin with {run_id!r}: {', '.join(found[:_LISTED])}{more}",
                    remedy="Give more of the id.",
                )
            return _one(_newest(connection, select(runs).where(runs.c.id == found[0]), self._name))

    def decision(self, run_id: str) -> Decision | None:
        """What the run decided, or None while it is open. Raises ConfigError for an unknown run, DamagedError."""
        with self.reading() as connection:
            key = _run_key(connection, run_id, self._name)
            found = connection.execute(select(decisions.c.document).where(decisions.c.run_key == key)).scalar()
        with readable(f"the decision of run {printable(run_id)}", self._name):
            return None if found is None else from_plain(Decision, document(found))

    def runs(self, limit: int = 50, *, cells: bool = True) -> list[Run]:
        """Newest first, without trials, those left out that ``damaged`` tells of; `cells`: those of matrices, too."""
        return [run for run in self._listed(limit, cells=cells) if isinstance(run, Run)]

    def damaged(self, limit: int = 50, *, cells: bool = True) -> list[DamagedError]:
        """What there is to say of those of the newest `limit` runs that cannot be read."""
        return [error for error in self._listed(limit, cells=cells) if isinstance(error, DamagedError)]

    def _listed(self, limit: int, *, cells: bool) -> Iterator[Run | DamagedError]:
        query = select(runs).order_by(runs.c.key.desc()).limit(limit)
        if not cells:
            query = query.where(or_(runs.c.role.is_(None), runs.c.role.not_in(MATRIX_ROLES)))
        with self.reading() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            try:
                with _readable_run(row, self._name):
                    run = run_from_row(row)
            except DamagedError as error:
                yield error
            else:
                yield run

    def artifact(self, run_id: str, spec: TrialSpec[Place], name: str) -> bytes:
        """One artifact of a trial. Raises ConfigError when there is none."""
        found = self.artifacts(run_id, spec, (name,))
        if name not in found:
            place = spec.place.written
            raise ConfigError(f"run {run_id} keeps no {name} for boot {place.order} of block {place.block}")
        return found[name]

    def artifacts(self, run_id: str, spec: TrialSpec[Place], names: Collection[str] | None = None) -> dict[str, bytes]:
        """Artifacts of a trial by name: those of `names` that there are, or all. Raises HostError for a damaged one."""
        query = (
            select(artifacts.c.name, artifacts.c.sha256, blobs.c.size_bytes, blobs.c.zstd)
            .join(blobs, blobs.c.sha256 == artifacts.c.sha256)
            .where(artifacts.c.trial_key == _trial_query(run_id, spec).scalar_subquery())
            .order_by(artifacts.c.name)
        )
        if names is not None:
            query = query.where(artifacts.c.name.in_(list(names)))
        place = spec.place.written
        what = f"an artifact of boot {place.order} of block {place.block} of run {printable(run_id)}"
        with readable(what, self._name), self.reading() as connection:
            rows = connection.execute(query).all()
            return {row.name: self._unpacked(row.name, row.sha256, row.size_bytes, row.zstd) for row in rows}

    def with_artifacts(self, run: Run, names: Collection[str] | None = None) -> Run:
        """`run` with the named artifacts (or all) in its trials, as the HTML report wants it."""
        return replace(
            run,
            trials=tuple(replace(trial, artifacts=self.artifacts(run.id, trial.spec, names)) for trial in run.trials),
        )

    def _unpacked(self, name: str, sha256: str, size_bytes: int, packed: bytes) -> bytes:
        try:
            content = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size_bytes)
        except zstandard.ZstdError as error:
            raise HostError(f"artifact {name} in {self._name} is damaged: {error}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise HostError(f"artifact {name} in {self._name} is damaged: its hash differs")
        return content

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, for modules of this package."""
        with translated(self._name), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, for modules of this package."""
        with (
            translated(self._name),
            self._engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection


def _run_key(connection: Connection, run_id: str, name: str) -> int:
    key: int | None = connection.execute(select(runs.c.key).where(runs.c.id == run_id)).scalar()
    if key is None:
        raise ConfigError(f"there is no run {run_id} in {name}", remedy="`kab runs` lists what there is.")
    return key


def _trial_query(run_id: str, spec: TrialSpec[Place]) -> Select[tuple[int]]:
    place = spec.place.written
    return (
        select(trials.c.key)
        .join(runs, runs.c.key == trials.c.run_key)
        .where(
            runs.c.id == run_id,
            trials.c.block == place.block,
            trials.c.position == place.order,
            trials.c.attempt == place.attempt,
        )
    )


def _readable_run(row: RowMapping, name: str) -> AbstractContextManager[None]:
    # What belongs to the run goes with it, runs inside it included.
    remove = f"DELETE FROM runs WHERE key = {row['key']}"  # noqa: S608 - for people, and a number
    return readable(f"run {printable(str(row['id']))}", name, remove=remove)


def _newest(connection: Connection, query: Select[tuple[object, ...]], name: str) -> Run | None:
    row = connection.execute(query.order_by(runs.c.key.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    rows = connection.execute(select(trials).where(trials.c.run_key == row["key"]).order_by(trials.c.key))
    values = samples_by_trial(
        connection.execute(
            select(samples)
            .join(trials, trials.c.key == samples.c.trial_key)
            .where(trials.c.run_key == row["key"])
            .order_by(samples.c.trial_key, samples.c.metric, samples.c.iteration)
        ).mappings()
    )
    with _readable_run(row, name):
        found = [trial_from_row(item, values.get(item["key"], {}), verb=row["verb"]) for item in rows.mappings()]
        return run_from_row(row, found)


def _one(run: Run | None) -> Run:
    assert run is not None, "found in the same transaction"
    return run


def _insert_trial(connection: Connection, run_key: int, trial: Trial[Place]) -> None:
    inserted = connection.execute(insert(trials).values(trial_row(run_key, trial)))
    assert inserted.inserted_primary_key is not None
    trial_key = inserted.inserted_primary_key[0]
    values = sample_rows(trial_key, trial.samples)
    if values:
        connection.execute(insert(samples), values)
    note_boot(connection, run_key, trial_key, trial)
    _insert_artifacts(connection, trial_key, trial.artifacts)


def _insert_artifacts(connection: Connection, trial_key: int, contents: Mapping[str, bytes]) -> None:
    if not contents:
        return
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    by_hash = {sha256: contents[name] for name, sha256 in found.items()}
    there = set(connection.execute(select(blobs.c.sha256).where(blobs.c.sha256.in_(sorted(by_hash)))).scalars())
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    rows = [
        {"sha256": sha256, "size_bytes": len(by_hash[sha256]), "zstd": compressor.compress(by_hash[sha256])}
        for sha256 in sorted(by_hash.keys() - there)
    ]
    # Another process may store the same one now.
    insert_new(connection, blobs, rows)
    connection.execute(
        insert(artifacts), [{"trial_key": trial_key, "name": name, "sha256": found[name]} for name in contents]
    )
