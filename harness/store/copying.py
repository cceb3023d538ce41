"""Runs of one database in another one: merged, in batches, as they are stored.

What makes two runs the same is their id. Rows are read and written as they are stored, so that what is damaged is
copied as it is, and numbers of rows ("keys"), which differ from database to database, are translated.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, Table, Text, literal, select, type_coerce, update

from harness.model.experiment import Arm
from harness.model.run import RunState
from harness.model.trial import Outcome
from harness.stats.blocks import middle
from harness.store.failures import again
from harness.store.history import BootValues, note_values
from harness.store.inserting import insert_new, insert_stored
from harness.store.schema import (
    JsonText,
    alarm_events,
    alarms,
    artifacts,
    bisections,
    blobs,
    decisions,
    identical_builds,
    marks,
    matrices,
    nights,
    runs,
    samples,
    suspicions,
    trials,
)
from harness.store.sql import SqlStore

# Runs in a transaction: some thousand boots. What was copied stays when the next one is broken off.
_BATCH = 50
# Contents of artifacts that are in memory at once.
_BLOBS = 64
# Of a run that goes on: what its row says otherwise later.
_CHANGING = ("state", "finished")

# What a run has at most one row of in each, and how many of in each, in order. A unit test compares this with the
# tables that refer to runs.
SINGLE = (decisions, bisections, matrices, nights)
LISTED = (marks, identical_builds)
# JSON null, as an open search or matrix has it for its outcome.
_OPEN = "null"

Row = tuple[Any, ...]


def _columns(table: Table, *without: str) -> list[str]:
    """All but the key that counts up, and but those in `without`."""
    return [column.name for column in table.columns if column.name not in {"key", *without}]


_NIGHT = _columns(nights, "run_key")
# Where in a boot's row a column is.
_PLACE = {name: place for place, name in enumerate(_columns(trials, "run_key"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What came of a copy."""

    # Runs that are new there, and those that had more of since they were copied before.
    runs: int = 0
    extended: int = 0
    # Runs that were there already.
    there: int = 0
    # Boots that are new there.
    trials: int = 0
    alarms: int = 0
    # Ids of runs and alarms of which there is another one of the same id, or which belong to such a one; untouched.
    refused: tuple[str, ...] = ()

    def plus(self, other: "Copied") -> "Copied":
        """Both together."""
        return Copied(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


@dataclass(slots=True)
class _Trial:
    """A boot as it is stored."""

    row: Row
    samples: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)

    @property
    def place(self) -> Row:
        """Where it stands in its run."""
        return tuple(self.row[_PLACE[name]] for name in ("block", "position", "attempt"))

    def values(self) -> dict[str, float]:
        """One for each metric, where the boot is followed over the nights."""
        if self.row[_PLACE["outcome"]] != Outcome.OK or self.row[_PLACE["arm"]] != Arm.CANDIDATE:
            return {}
        found: dict[str, list[Any]] = defaultdict(list)
        for metric, _, value in self.samples:
            if isinstance(value, float):
                found[metric].append(value)
        made = {metric: middle(values) for metric, values in found.items()}
        return {metric: value for metric, value in made.items() if value is not None}


@dataclass(slots=True)
class _Run:
    """A run as it is stored."""

    key: int
    row: dict[str, Any]
    # By place, in the order in which they were stored.
    trials: dict[Row, _Trial] = field(default_factory=dict)
    # Table -> rows without their keys.
    listed: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def night(self) -> dict[str, Any]:
        """What its boots are values of; nothing where they are of none, or it is damaged: nobody follows them then."""
        with suppress(ValueError, TypeError):
            for row in self.listed[nights.name]:
                return {name: json.loads(text) for name, text in zip(_NIGHT, row, strict=True)}
        return {}


def copy_store(
    source: SqlStore,
    target: SqlStore,
    *,
    only: Iterable[str] | None = None,
    own: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Copied:
    """Bring the runs of `source` (or those of the ids in `only`, with whose parents that is up to the caller) to
    `target`, and all alarms where all runs are.

    A run that is in `target` already, the same, is skipped; one that has gone on since in `source` is brought up to
    that; one that has gone on in `target` is left. Where both have what the other has not, or the same boot is not the
    same, it is refused, and runs inside it are. `own`: both are known to be of one process, or of one that went on with
    the other's, so that neither the contents of boots that both have are compared, nor when a run ended. `progress`
    hears how many runs are done, of how many. Each batch is a transaction: broken off, it is repeated. Raises HostError
    and TransientHostError as stores do.
    """
    wanted = None if only is None else set(only)
    with source.reading() as reading:
        listed = reading.execute(select(runs.c.key, runs.c.id).order_by(runs.c.key)).all()
    keys = [row.key for row in listed if wanted is None or row.id in wanted]
    found, refused = Copied(), set[str]()
    for start in range(0, len(keys), _BATCH):
        found = found.plus(_copy_batch(source, target, keys[start : start + _BATCH], refused, own=own))
        progress(min(start + _BATCH, len(keys)), len(keys))
    return found.plus(_copy_alarms(source, target)) if wanted is None else found


@again
def _copy_batch(source: SqlStore, target: SqlStore, keys: Sequence[int], refused: set[str], *, own: bool) -> Copied:
    result = Copied()
    with source.reading() as reading:
        ours = _load(reading, runs.c.key.in_(keys))
        with target.writing() as writing:
            theirs = {run.row["id"]: run for run in _load(writing, runs.c.id.in_([run.row["id"] for run in ours]))}
            batch = _Batch(reading, writing)
            for run in ours:
                there = theirs.get(run.row["id"])
                if run.row["parent"] in refused or (there is not None and not _agree(run, there, own=own)):
                    refused.add(run.row["id"])
                    result = result.plus(Copied(refused=(run.row["id"],)))
                elif there is None:
                    batch.new.append(run)
                    result = result.plus(Copied(runs=1, trials=len(run.trials)))
                elif _has_more(run, there, own=own):
                    new = batch.extend(run, there)
                    result = result.plus(Copied(extended=1, trials=new))
                else:
                    result = result.plus(Copied(there=1))
            batch.insert()
    return result


def _agree(ours: _Run, theirs: _Run, *, own: bool) -> bool:
    """Whether one of both is the other one at a later time."""
    if any(ours.row[name] != theirs.row[name] for name in ours.row if name not in ("key", *_CHANGING)):
        return False
    both = [(trial, theirs.trials[place]) for place, trial in ours.trials.items() if place in theirs.trials]
    if any(not _same(*pair, own=own) for pair in both):
        return False
    longer, shorter = (ours, theirs) if _length(ours) >= _length(theirs) else (theirs, ours)
    if not shorter.trials.keys() <= longer.trials.keys():
        return False
    if (
        not own
        and shorter.row["state"] == longer.row["state"] == RunState.FINISHED
        and ours.row["finished"] != theirs.row["finished"]
    ):
        return False
    for table in SINGLE:
        one, other = shorter.listed[table.name], longer.listed[table.name]
        if one and one != other and not (table in {bisections, matrices} and _goes_on(table, one, other)):
            return False
    return all(
        longer.listed[table.name][: len(shorter.listed[table.name])] == shorter.listed[table.name] for table in LISTED
    )


def _same(ours: _Trial, theirs: _Trial, *, own: bool) -> bool:
    same = (ours.row, ours.samples) == (theirs.row, theirs.samples)
    return same and (own or ours.artifacts == theirs.artifacts)


def _length(run: _Run) -> tuple[int, ...]:
    return (
        int(run.row["state"] == RunState.FINISHED),
        len(run.trials),
        *(len(run.listed[table.name]) for table in (*SINGLE, *LISTED)),
    )


def _goes_on(table: Table, earlier: Sequence[Row], later: Sequence[Row]) -> bool:
    """Whether these are the plan and the outcome of one search or matrix, the first of it while it was open.

    What a matrix does besides measuring (its waivers) may be planned anew while it is open.
    """
    same = table is matrices or (bool(later) and earlier[0][0] == later[0][0])
    return bool(later) and same and earlier[0][1] == _OPEN


def _has_more(ours: _Run, theirs: _Run, *, own: bool) -> bool:
    if _length(ours) != _length(theirs):
        return _length(ours) > _length(theirs)
    return own and ours.listed[matrices.name] != theirs.listed[matrices.name]


class _Batch:
    """What is new in the target, table by table: a statement for each run would wait for the server each time."""

    def __init__(self, source: Connection, target: Connection) -> None:
        self._source, self._target = source, target
        self.new: list[_Run] = []
        # With the key that the run has there; what is new of it.
        self._trials: list[tuple[int, _Run, _Trial]] = []
        self._listed: dict[str, list[Row]] = defaultdict(list)

    def extend(self, ours: _Run, theirs: _Run) -> int:
        """What `ours` has more than `theirs`; the number of new boots."""
        new = [trial for place, trial in ours.trials.items() if place not in theirs.trials]
        self._trials += [(theirs.key, ours, trial) for trial in new]
        for table in (*SINGLE, *LISTED):
            have, had = ours.listed[table.name], theirs.listed[table.name]
            if table in {bisections, matrices} and had and had != have:
                values = dict(zip(("plan", "outcome"), (literal(text, Text) for text in have[0]), strict=True))
                self._target.execute(update(table).where(table.c.run_key == theirs.key).values(values))
            else:
                self._listed[table.name] += [(theirs.key, *row) for row in have[len(had) :]]
        changed = {name: ours.row[name] for name in _CHANGING}
        self._target.execute(update(runs).where(runs.c.key == theirs.key).values(changed))
        return len(new)

    def insert(self) -> None:
        """Everything that is new."""
        columns = [column.name for column in runs.columns if column.name != "key"]
        insert_stored(self._target, runs, columns, [[run.row[name] for name in columns] for run in self.new])
        query = select(runs.c.id, runs.c.key).where(runs.c.id.in_([run.row["id"] for run in self.new]))
        keys = {row.id: row.key for row in self._target.execute(query)}
        for run in self.new:
            key = keys[run.row["id"]]
            self._trials += [(key, run, trial) for trial in run.trials.values()]
            for table in (*SINGLE, *LISTED):
                self._listed[table.name] += [(key, *row) for row in run.listed[table.name]]
        self._insert_trials()
        for table in (*SINGLE, *LISTED):
            insert_stored(self._target, table, ["run_key", *_columns(table, "run_key")], self._listed[table.name])

    def _insert_trials(self) -> None:
        if not self._trials:
            return
        rows = [(key, *trial.row) for key, _, trial in self._trials]
        insert_stored(self._target, trials, ["run_key", *_columns(trials, "run_key")], rows)
        query = select(trials.c.key, trials.c.run_key, trials.c.block, trials.c.position, trials.c.attempt)
        query = query.where(trials.c.run_key.in_(sorted({key for key, _, _ in self._trials})))
        keys = {tuple(place): key for key, *place in self._target.execute(query)}
        new = [(keys[run_key, *trial.place], run_key, run, trial) for run_key, run, trial in self._trials]
        self._bring(row[1] for _, _, _, trial in new for row in trial.artifacts)
        for table, columns, made in (
            (samples, ("trial_key", "metric", "iteration", "value"), ((key, one.samples) for key, _, _, one in new)),
            (artifacts, ("trial_key", "name", "sha256"), ((key, one.artifacts) for key, _, _, one in new)),
        ):
            insert_stored(self._target, table, columns, ((key, *row) for key, found in made for row in found))
        note_values(
            self._target,
            [
                BootValues(run_key=run_key, trial_key=key, night=night, values=trial.values())
                for key, run_key, run, trial in new
                if (night := run.night())
            ],
        )

    def _bring(self, hashes: Iterable[str]) -> None:
        """Contents of artifacts, each once."""
        for some in _parts(sorted(set(hashes)), _BLOBS):
            known = self._target.execute(select(blobs.c.sha256).where(blobs.c.sha256.in_(some))).scalars()
            missing = sorted(set(some) - set(known))
            rows = self._source.execute(select(blobs).where(blobs.c.sha256.in_(missing)).order_by(blobs.c.sha256))
            insert_new(self._target, blobs, [dict(row) for row in rows.mappings()])


def _load(connection: Connection, which: Any) -> list[_Run]:
    """Runs with all that belongs to them, in the order of their keys."""
    found = {
        row["key"]: _Run(key=row["key"], row=dict(row))
        for row in connection.execute(_raw(runs).where(which).order_by(runs.c.key)).mappings()
    }
    keys = list(found)
    by_key: dict[int, _Trial] = {}
    query = _raw(trials, "run_key").add_columns(trials.c.key, trials.c.run_key).where(trials.c.run_key.in_(keys))
    for *row, key, run_key in connection.execute(query.order_by(trials.c.key)):
        trial = by_key[key] = _Trial(tuple(row))
        found[run_key].trials[trial.place] = trial
    if by_key:
        _load_boots(connection, keys, by_key)
    for table in (*SINGLE, *LISTED):
        order = table.c.key if "key" in table.c else table.c.run_key
        rows = connection.execute(
            _raw(table, "run_key").add_columns(table.c.run_key).where(table.c.run_key.in_(keys)).order_by(order)
        )
        for *row, run_key in rows:
            found[run_key].listed[table.name].append(tuple(row))
    return list(found.values())


def _load_boots(connection: Connection, keys: Sequence[int], by_key: Mapping[int, _Trial]) -> None:
    inside = select(trials.c.key).where(trials.c.run_key.in_(keys))
    query = select(samples.c.trial_key, samples.c.metric, samples.c.iteration, samples.c.value)
    query = query.where(samples.c.trial_key.in_(inside))
    for key, *row in connection.execute(query.order_by(samples.c.trial_key, samples.c.metric, samples.c.iteration)):
        by_key[key].samples.append(tuple(row))
    of = select(artifacts.c.trial_key, artifacts.c.name, artifacts.c.sha256).where(artifacts.c.trial_key.in_(inside))
    for key, *row in connection.execute(of.order_by(artifacts.c.trial_key, artifacts.c.name)):
        by_key[key].artifacts.append(tuple(row))


@again
def _copy_alarms(source: SqlStore, target: SqlStore) -> Copied:
    """Alarms with their events; of one that is there, the events that it lacks. And suspicions."""
    found = Copied()
    with source.reading() as reading, target.writing() as writing:
        theirs = {row[0]: (row[1:], events) for _, row, events in _alarms(writing)}
        keys = {row.id: row.key for row in writing.execute(select(alarms.c.id, alarms.c.key))}
        for _, row, events in _alarms(reading):
            rest, had = theirs.get(row[0], (row[1:], []))
            if rest != row[1:] or events[: len(had)] != had[: len(events)]:
                found = found.plus(Copied(refused=(f"alarm {row[0]}",)))
                continue
            if row[0] not in theirs:
                insert_stored(writing, alarms, _columns(alarms), [row])
                keys[row[0]] = writing.execute(select(alarms.c.key).where(alarms.c.id == row[0])).scalar_one()
                found = found.plus(Copied(alarms=1))
            new = [(keys[row[0]], *event) for event in events[len(had) :]]
            insert_stored(writing, alarm_events, ["alarm_key", *_columns(alarm_events, "alarm_key")], new)
        there = {tuple(row) for row in writing.execute(_raw(suspicions))}
        missing = [
            row for row in reading.execute(_raw(suspicions).order_by(suspicions.c.key)) if tuple(row) not in there
        ]
        insert_stored(writing, suspicions, _columns(suspicions), missing)
    return found


def _alarms(connection: Connection) -> Iterator[tuple[int, Row, list[Row]]]:
    """(key, row, events), oldest first."""
    events: dict[int, list[Row]] = defaultdict(list)
    query = _raw(alarm_events, "alarm_key").add_columns(alarm_events.c.alarm_key).order_by(alarm_events.c.key)
    for *row, key in connection.execute(query):
        events[key].append(tuple(row))
    for *row, key in connection.execute(_raw(alarms).add_columns(alarms.c.key).order_by(alarms.c.key)).all():
        yield key, tuple(row), events[key]


def _raw(table: Table, *without: str) -> Select[Any]:
    """Those columns as they are stored; of runs the key, too."""
    names = [column.name for column in runs.columns] if table is runs else _columns(table, *without)
    columns = [table.c[name] for name in names]
    return select(
        *(type_coerce(one, Text).label(one.name) if isinstance(one.type, JsonText) else one for one in columns)
    )


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
