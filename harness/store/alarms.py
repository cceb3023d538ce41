"""What the store keeps of alarms: what each is about, what became of it, and what was suspected."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, insert, select

from harness.errors import ConfigError
from harness.model.alarm import NEXT_STATES, Alarm, AlarmEvent, Asked, SeriesName
from harness.model.run import KernelRecord
from harness.parse.foreign import printable
from harness.parse.plainjson import canonical, from_plain, to_plain
from harness.store.damage import DamagedError, document, readable
from harness.store.schema import alarm_events, alarms, suspicions

_Transaction = Callable[[], AbstractContextManager[Connection]]
# Characters of an alarm's id; how many an ambiguous beginning lists.
_ID_CHARS = 8
_LISTED = 10


def alarm_id(name: SeriesName, before: KernelRecord, after: KernelRecord, *, worse: bool) -> str:
    """The id of the alarm of a change: the same for all metrics of a cell, so that two cannot be told of it."""
    about = (name.matrix, name.cell, name.series, before.digest, after.digest, worse)
    return hashlib.sha256(canonical(about).encode()).hexdigest()[:_ID_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmListing:
    """Alarms, oldest first, and what there is to say of those that cannot be read."""

    alarms: tuple[Alarm, ...]
    damaged: tuple[DamagedError, ...] = ()


class SqlAlarms:
    """Alarms and suspicions. Made by SqlStore, whose transactions it uses. Raises HostError as it does."""

    def __init__(self, reading: _Transaction, writing: _Transaction, name: str) -> None:
        self._reading = reading
        self._writing = writing
        self._name = name

    def tell(self, alarm: Alarm) -> bool:
        """Store a new alarm with its events. False where there is one of its id already: nothing is stored then."""
        with self._writing() as connection:
            if connection.execute(select(alarms.c.key).where(alarms.c.id == alarm.id)).first() is not None:
                return False
            plain = to_plain(replace(alarm, events=()))
            connection.execute(insert(alarms).values(id=alarm.id, **_columns(alarm.name), document=plain))
            key = self._key(connection, alarm.id)
            connection.execute(
                insert(alarm_events), [{"alarm_key": key, "document": to_plain(event)} for event in alarm.events]
            )
        return True

    def append(self, alarm: str, event: AlarmEvent) -> Alarm:
        """Store what became of an alarm, which it returns as it stands then.

        `alarm`: its id, or the beginning of one. Raises ConfigError where there is none, where several begin so, and
        where the state cannot follow that which it is in; DamagedError.
        """
        with self._writing() as connection:
            # Two processes that change its state come one after the other.
            found = self._found(connection, alarm, alter=True)
            if event.state not in NEXT_STATES[found.state]:
                closed = "it is closed" if not found.open else "it stands so already"
                raise ConfigError(
                    f"alarm {found.id} is {found.state} and cannot become {event.state}: {closed}",
                    remedy=f"`kab alarms show {found.id}` tells what became of it.",
                )
            key = self._key(connection, found.id)
            connection.execute(insert(alarm_events).values(alarm_key=key, document=to_plain(event)))
        return replace(found, events=(*found.events, event))

    def alarm(self, alarm: str) -> Alarm:
        """An alarm by its id or the beginning of one. Raises ConfigError and DamagedError as `append` does."""
        with self._reading() as connection:
            return self._found(connection, alarm)

    def all(self, *, matrix: str | None = None, cell: str | None = None, series: str | None = None) -> AlarmListing:
        """All alarms, or those of a matrix's title, a cell's name, a series."""
        query = select(alarms).order_by(alarms.c.key)
        for column, value in (("matrix", matrix), ("cell", cell), ("series", series)):
            if value is not None:
                query = query.where(alarms.c[column] == value)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            events = _events(connection, [row.key for row in rows])
        found, damaged = [], []
        for row in rows:
            try:
                found.append(self._read(row, events[row.key]))
            except DamagedError as error:
                damaged.append(error)
        return AlarmListing(alarms=tuple(found), damaged=tuple(damaged))

    def ask(self, asked: Asked) -> None:
        """Store what came of the A/B of a suspected change."""
        with self._writing() as connection:
            connection.execute(insert(suspicions).values(**_columns(asked.name), document=to_plain(asked)))

    def asked(
        self, *, matrix: str | None = None, cell: str | None = None, series: str | None = None
    ) -> tuple[Asked, ...]:
        """Suspected changes that an A/B was made for, oldest first.

        What cannot be read is left out: it is asked anew.
        """
        query = select(suspicions.c.document).order_by(suspicions.c.key)
        for column, value in (("matrix", matrix), ("cell", cell), ("series", series)):
            if value is not None:
                query = query.where(suspicions.c[column] == value)
        with self._reading() as connection:
            documents = connection.execute(query).scalars().all()
        found = []
        for kept in documents:
            try:
                with readable("a suspected change", self._name):
                    found.append(from_plain(Asked, document(kept)))
            except DamagedError:
                continue
        return tuple(found)

    def _found(self, connection: Connection, wanted: str, *, alter: bool = False) -> Alarm:
        query = select(alarms).where(alarms.c.id.startswith(wanted, autoescape=True)).order_by(alarms.c.key.desc())
        rows = connection.execute(query.with_for_update() if alter else query).all()
        exact = [row for row in rows if row.id == wanted] or rows
        if not exact or not wanted:
            raise ConfigError(
                f"there is no alarm {printable(wanted)} in {self._name}", remedy="`kab alarms` lists what there is."
            )
        if len(exact) > 1:
            listed = ", ".join(row.id for row in exact[:_LISTED])
            raise ConfigError(f"{len(exact)} alarms begin with {wanted!r}: {listed}", remedy="Give more of the id.")
        return self._read(exact[0], _events(connection, [exact[0].key])[exact[0].key])

    def _read(self, row: Any, events: Iterable[Any]) -> Alarm:
        with readable(f"alarm {printable(str(row.id))}", self._name):
            alarm = from_plain(Alarm, document(row.document))
            became = tuple(from_plain(AlarmEvent, document(event)) for event in events)
            if not became:
                raise ValueError("it has no state")
            return replace(alarm, events=became)

    @staticmethod
    def _key(connection: Connection, wanted: str) -> int:
        key: int = connection.execute(select(alarms.c.key).where(alarms.c.id == wanted)).scalar_one()
        return key


def _events(connection: Connection, keys: Iterable[int]) -> dict[int, list[Any]]:
    """Alarm's key -> documents of its events, in their order."""
    found: dict[int, list[Any]] = defaultdict(list)
    query = select(alarm_events.c.alarm_key, alarm_events.c.document).order_by(alarm_events.c.key)
    for row in connection.execute(query.where(alarm_events.c.alarm_key.in_(list(keys)))):
        found[row.alarm_key].append(row.document)
    return found


def _columns(name: SeriesName) -> dict[str, str]:
    return {field.name: getattr(name, field.name) for field in fields(name)}
