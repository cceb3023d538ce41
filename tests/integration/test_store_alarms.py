"""Alarms in PostgreSQL: the same as in a file, and events from two processes at once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from daemons import no_postgres_server, postgres_server
from nightly import ALARM, FIRST_NIGHT, SERIES, kernel
from sqlalchemy import create_engine, text

from harness.errors import ConfigError
from harness.model.alarm import AlarmEvent, AlarmState, Asked, Change
from harness.store import SqlStore

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(no_postgres_server), reason=no_postgres_server or "there is one"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_server() as server:
        engine = create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE alarms"))
        engine.dispose()
        yield server.format("alarms")


def test_alarms_in_postgresql(url: str) -> None:
    told = replace(ALARM, name=replace(SERIES, matrix="n\x00\udcff'\"" + "x" * 3000))
    asked = Asked(
        name=told.name,
        change=Change(index=30, before=kernel(29), after=kernel(30), ratio=0.95, worse=True, score=8.25),
        run_id="ab-1",
        at=FIRST_NIGHT,
        confirmed=True,
    )
    fixed = AlarmEvent(state=AlarmState.FIXED, at=FIRST_NIGHT, note="é \x00")
    with SqlStore(url) as store, SqlStore(url) as other:
        assert store.alarms.tell(told)
        assert not other.alarms.tell(told)
        other.alarms.append(told.id, fixed)
        with pytest.raises(ConfigError, match="cannot become"):
            store.alarms.append(told.id, fixed)
        store.alarms.ask(asked)
        assert other.alarms.alarm(told.id[:4]) == replace(told, events=(*told.events, fixed))
        assert other.alarms.all(matrix=told.name.matrix).alarms == (replace(told, events=(*told.events, fixed)),)
        assert other.alarms.all(cell="another").alarms == ()
        assert other.alarms.asked(matrix=told.name.matrix) == (asked,)
