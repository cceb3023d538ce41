"""Alarms come back as they were told, with what became of them; events are appended only."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nightly import ALARM, FIRST_NIGHT, SERIES, kernel
from sqlalchemy import update

from harness.errors import ConfigError
from harness.model.alarm import AlarmEvent, AlarmState, Asked, Change, due_after
from harness.store import SqlStore
from harness.store.alarms import alarm_id
from harness.store.schema import alarm_events, alarms, suspicions

pytestmark = pytest.mark.unit

CHANGE = Change(index=30, before=kernel(29), after=kernel(30), ratio=0.95, worse=True, score=8.25)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def event(state: AlarmState, days: int = 1, **more: object) -> AlarmEvent:
    return AlarmEvent(state=state, at=FIRST_NIGHT + timedelta(days=days), **more)


def test_an_alarm_comes_back_as_it_was_told(store: SqlStore) -> None:
    assert store.alarms.tell(ALARM)
    assert store.alarms.alarm(ALARM.id) == ALARM
    assert store.alarms.alarm(ALARM.id[:3]) == ALARM
    assert store.alarms.all().alarms == (ALARM,)
    assert store.alarms.all(matrix=SERIES.matrix, cell=SERIES.cell, series=SERIES.series).alarms == (ALARM,)
    assert store.alarms.all(cell="another").alarms == ()


def test_one_change_is_told_once(store: SqlStore) -> None:
    store.alarms.tell(ALARM)
    assert not store.alarms.tell(replace(ALARM, confirmed_by="another"))
    assert store.alarms.all().alarms == (ALARM,)
    assert alarm_id(SERIES, kernel(1), kernel(2), worse=True) == alarm_id(
        replace(SERIES, metric="clat_p99"), kernel(1), kernel(2), worse=True
    )
    others = {
        alarm_id(SERIES, kernel(1), kernel(2), worse=True),
        alarm_id(SERIES, kernel(1), kernel(2), worse=False),
        alarm_id(SERIES, kernel(1), kernel(3), worse=True),
        alarm_id(replace(SERIES, cell="another"), kernel(1), kernel(2), worse=True),
    }
    assert len(others) == 4


def test_what_became_of_it(store: SqlStore) -> None:
    store.alarms.tell(ALARM)
    mine = event(AlarmState.ACKNOWLEDGED, owner="qa@example.org", note="é \x00 \udcff", due=FIRST_NIGHT)
    fixed, again = event(AlarmState.FIXED, 2, note="6.12.40"), event(AlarmState.NEW, 3)
    for number, one in enumerate((mine, fixed, again)):
        assert store.alarms.append(ALARM.id, one).events[-1] == one
        assert len(store.alarms.alarm(ALARM.id).events) == number + 2
    assert store.alarms.alarm(ALARM.id).events == (*ALARM.events, mine, fixed, again)
    assert store.alarms.alarm(ALARM.id).state is AlarmState.NEW


def test_states_that_cannot_follow(store: SqlStore) -> None:
    store.alarms.tell(ALARM)
    with pytest.raises(ConfigError, match="is new and cannot become new"):
        store.alarms.append(ALARM.id, event(AlarmState.NEW))
    store.alarms.append(ALARM.id, event(AlarmState.NOT_A_BUG))
    for state in AlarmState:
        with pytest.raises(ConfigError, match="cannot become"):
            store.alarms.append(ALARM.id, event(state))
    assert len(store.alarms.alarm(ALARM.id).events) == 2


def test_ids_that_name_none_or_several(store: SqlStore) -> None:
    with pytest.raises(ConfigError, match="there is no alarm"):
        store.alarms.alarm("ab")
    store.alarms.tell(replace(ALARM, id="abc1"))
    store.alarms.tell(replace(ALARM, id="abc2"))
    with pytest.raises(ConfigError, match="2 alarms begin with 'abc': abc2, abc1"):
        store.alarms.alarm("abc")
    for wanted in ("", "%", "_bc1"):
        with pytest.raises(ConfigError, match="there is no alarm"):
            store.alarms.alarm(wanted)


def test_suspicions_are_remembered(store: SqlStore) -> None:
    first = Asked(name=SERIES, change=CHANGE, run_id="ab-1", at=FIRST_NIGHT, confirmed=False)
    second = replace(first, name=replace(SERIES, cell="another"), confirmed=True)
    store.alarms.ask(first)
    store.alarms.ask(second)
    assert store.alarms.asked() == (first, second)
    assert store.alarms.asked(matrix="nightly", cell="another") == (second,)


def test_names_may_hold_anything(store: SqlStore) -> None:
    name = replace(SERIES, matrix="n\x00\udcff'\"" + "x" * 3000)
    store.alarms.tell(replace(ALARM, name=name))
    assert store.alarms.all(matrix=name.matrix).alarms[0].name == name


def test_what_is_damaged_hides_nothing_else(store: SqlStore) -> None:
    store.alarms.tell(ALARM)
    store.alarms.tell(replace(ALARM, id="other"))
    store.alarms.ask(Asked(name=SERIES, change=CHANGE, run_id="ab-1", at=FIRST_NIGHT, confirmed=False))
    with store.writing() as connection:
        connection.execute(update(alarms).where(alarms.c.id == "other").values(document={"id": 1}))
        connection.execute(update(suspicions).values(document="?"))
    listing = store.alarms.all()
    assert listing.alarms == (ALARM,)
    [damaged] = listing.damaged
    assert "alarm other" in damaged.message
    assert store.alarms.asked() == ()
    with store.writing() as connection:
        connection.execute(update(alarm_events).values(document=[]))
    assert len(store.alarms.all().damaged) == 2


def test_three_working_days() -> None:
    """A clock that runs over a weekend would ask people on Sundays."""
    thursday = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
    assert due_after(thursday) == datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    assert due_after(datetime(2026, 11, 28, 1, 0, tzinfo=UTC)) == datetime(2026, 12, 2, 1, 0, tzinfo=UTC)
    assert due_after(datetime(2026, 11, 23, 1, 0, tzinfo=UTC)) == datetime(2026, 11, 26, 1, 0, tzinfo=UTC)


def test_an_acknowledging_outlives_nothing() -> None:
    mine = replace(ALARM, events=(*ALARM.events, event(AlarmState.ACKNOWLEDGED, due=FIRST_NIGHT + timedelta(days=4))))
    assert not mine.overdue(FIRST_NIGHT + timedelta(days=3))
    assert mine.overdue(FIRST_NIGHT + timedelta(days=5))
    assert not replace(mine, events=(*mine.events, event(AlarmState.FIXED, 2))).overdue(FIRST_NIGHT + timedelta(days=5))
    assert not ALARM.overdue(FIRST_NIGHT + timedelta(days=500))
