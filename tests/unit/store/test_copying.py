"""Runs of one database in another one: merged by their ids, again and again, nothing lost or doubled or overwritten."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import factories
import pytest
from ladders import World, loop, request
from nightly import ALARM, SERIES

from harness.errors import HostError
from harness.model.alarm import AlarmEvent, AlarmState, Asked, Change
from harness.model.bisection import IdenticalBuild, Mark
from harness.model.matrix import Cell, MatrixOutcome, MatrixPlan
from harness.model.run import Parent, SubrunRole
from harness.store import SqlStore, copying
from harness.store.copying import Copied, copy_store
from harness.store.schema import metadata

pytestmark = pytest.mark.unit

PLAN = MatrixPlan(
    title="nightly \0 \ud800",
    cells=tuple(Cell(name=f"cell-{n}", axes={}, experiment=factories.experiment()) for n in range(3)),
)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    with SqlStore(tmp_path / "a.sqlite") as one, SqlStore(tmp_path / "b.sqlite") as other:
        yield one, other


def fill(store: SqlStore, *, finished: bool = True) -> None:
    """One of each kind of run."""
    loop(store, World()).execute(request())
    search = next(run.id for run in store.runs(100) if run.verb == "bisect")
    store.bisections.add_mark(search, Mark(rung=3, skip=True, reason="\0 \ud800"))
    with suppress(HostError):
        store.bisections.add_identical_build(search, IdenticalBuild(rung=3, of=2))
    store.matrices.create(factories.run(id="matrix", verb="nightly"), PLAN)
    for number, cell in enumerate(PLAN.cells):
        parent = Parent(run_id="matrix", role=SubrunRole.CELL, place=cell.name)
        store.create_run(factories.run(factories.blocks(2, seed=number), id=f"cell-{number}", parent=parent))
        store.finish(f"cell-{number}", factories.decide(factories.blocks(2)))
    if finished:
        store.matrices.finish("matrix", MatrixOutcome(cells=(), boots=12))
    store.create_run(factories.run(factories.blocks(1), id="open", seed=2**100))


def content(store: SqlStore) -> dict[str, object]:
    """All that can be read of it."""
    found: dict[str, object] = {}
    for run in store.runs(1000):
        kept, matrix = store.bisections, store.matrices
        found[run.id] = (
            store.with_artifacts(store.run(run.id)),
            store.decision(run.id),
            *(kept.plan(run.id), kept.outcome(run.id), kept.marks(run.id), kept.identical_builds(run.id)),
            *(matrix.plan(run.id), matrix.outcome(run.id), matrix.cells(run.id)),
            kept.subruns(run.id) if run.verb == "bisect" else (),
        )
    found["history"] = {metric: store.history.nights(metric=metric) for metric in ("write_iops", "queue_depth")}
    return found


def test_everything_is_there_and_a_second_time_nothing_is_new(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    fill(one)
    other.create_run(factories.run(id="own"))
    seen: list[tuple[int, int]] = []
    copied = copy_store(one, other, progress=lambda done, total: seen.append((done, total)))
    runs = len(one.runs(1000))
    boots = sum(len(one.run(run.id).trials) for run in one.runs(1000))
    assert copied == Copied(runs=runs, trials=boots)
    assert seen[-1] == (runs, runs)
    found = content(other)
    assert "own" in found
    del found["own"]
    assert found == content(one)
    assert list(found)[:-1] == [run.id for run in one.runs(1000)], "in the order in which they were made"
    assert copy_store(one, other) == Copied(there=runs)
    assert copy_store(other, one) == Copied(runs=1, there=runs)
    assert content(one) == content(other)


def test_in_small_batches(stores: tuple[SqlStore, SqlStore], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_BATCH", 1)
    monkeypatch.setattr(copying, "_BLOBS", 1)
    one, other = stores
    fill(one)
    copy_store(one, other)
    assert content(other) == content(one)


def test_broken_off_it_is_repeated(stores: tuple[SqlStore, SqlStore], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_BATCH", 2)
    one, other = stores
    fill(one)

    def stop(done: int, _total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(one, other, progress=stop)
    assert len(other.runs(1000)) == 4
    copied = copy_store(one, other)
    assert (copied.there, copied.runs) == (4, len(one.runs(1000)) - 4)
    assert content(other) == content(one)


def test_an_open_run_that_went_on_is_brought_up_to_that(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    some = factories.blocks(3)
    one.matrices.create(factories.run(id="matrix", verb="nightly"), PLAN)
    parent = Parent(run_id="matrix", role=SubrunRole.CELL, place="cell-0")
    one.create_run(factories.run(some[:2], id="cell", parent=parent))
    copy_store(one, other)
    for trial in some[2:]:
        one.append_trial("cell", trial)
    assert copy_store(other, one) == Copied(there=2), "what is older takes nothing away"
    one.finish("cell", factories.decide(some))
    one.matrices.finish("matrix", MatrixOutcome(cells=(), boots=6))
    assert copy_store(one, other) == Copied(extended=2, trials=4)
    assert content(other) == content(one)
    assert copy_store(other, one) == Copied(there=2)


def test_a_matrix_that_was_planned_anew(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    again = replace(PLAN, title="another")
    one.matrices.create(factories.run(id="matrix", verb="run"), PLAN)
    copy_store(one, other)
    one.matrices.replan("matrix", again)
    assert copy_store(one, other, own=True) == Copied(extended=1)
    assert other.matrices.plan("matrix") == again
    one.matrices.replan("matrix", PLAN)
    one.matrices.finish("matrix", MatrixOutcome(cells=()))
    assert copy_store(one, other) == Copied(extended=1)
    assert other.matrices.plan("matrix") == PLAN
    one.matrices.replan("matrix", again)
    assert copy_store(one, other) == Copied(refused=("matrix",))


def test_a_search_that_went_on(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    for boots in range(2, 30, 9):
        with suppress(KeyboardInterrupt):
            loop(one, World(kill_after=boots)).execute(request())
        copy_store(one, other)
        assert content(other) == content(one)
    loop(one, World()).execute(request())
    copied = copy_store(one, other)
    assert copied.refused == ()
    assert content(other) == content(one)


CHANGES = {
    "a sample": "UPDATE samples SET value = value + 1 WHERE trial_key = (SELECT max(key) FROM trials)",
    "an artifact": "UPDATE artifacts SET name = 'other' WHERE name = 'domain.xml'",
    "a seed": "UPDATE runs SET seed = '1' WHERE id = 'one'",
    "a decision": "UPDATE decisions SET verdict = 'same'",
    "an outcome": "UPDATE trials SET outcome = 'lost' WHERE key = 1",
    "when it ended": "UPDATE runs SET finished = '2020-01-01T00:00:00+00:00' WHERE id = 'one'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_of_the_same_id_is_refused_and_named(stores: tuple[SqlStore, SqlStore], change: str) -> None:
    one, other = stores
    for store in stores:
        store.create_run(factories.run(id="sound", digest="x"))
    some = factories.blocks(2)
    one.create_run(factories.run(some, id="one"))
    one.finish("one", factories.decide(some))
    copy_store(one, other)
    one.create_run(factories.run(id="inside", parent=Parent(run_id="one", role=SubrunRole.ENDS, place="0-1")))
    one.create_run(factories.run(id="after"))
    with closing(sqlite3.connect(other._name, isolation_level=None)) as raw:
        assert raw.execute(CHANGES[change]).rowcount
    before = content(other)
    assert copy_store(one, other) == Copied(runs=1, there=1, refused=("one", "inside"))
    found = content(other)
    assert found.pop("after") is not None
    assert found == before


def test_two_that_went_apart_are_refused(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    some = factories.blocks(2)
    for store, which in zip(stores, (some[:1], some[1:]), strict=True):
        store.create_run(factories.run(which, id="run"))
    assert copy_store(one, other).refused == ("run",)
    assert len(other.run("run").trials) == 3


def test_what_is_damaged_is_copied_as_it_is(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    fill(one)
    with closing(sqlite3.connect(one._name, isolation_level=None)) as raw:
        raw.execute("UPDATE runs SET conditions = '{' WHERE id = 'open'")
        raw.execute("UPDATE nights SET matrix = '{' WHERE run_key = (SELECT key FROM runs WHERE id = 'cell-0')")
    assert copy_store(one, other).refused == ()
    assert [error.message.replace("a.sqlite", "b.sqlite") for error in one.damaged()] == [
        error.message for error in other.damaged()
    ]


def test_alarms_come_along(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    one.alarms.tell(ALARM)
    change = Change(index=30, before=ALARM.before, after=ALARM.after, ratio=0.95, worse=True, score=8.25)
    asked = Asked(name=SERIES, change=change, run_id="x", at=factories.STARTED, confirmed=True)
    one.alarms.ask(asked)
    assert copy_store(one, other) == Copied(alarms=1)
    one.alarms.append(ALARM.id, AlarmEvent(state=AlarmState.FIXED, at=factories.STARTED))
    assert copy_store(one, other) == copy_store(other, one) == Copied()
    for store in stores:
        assert len(store.alarms.alarm(ALARM.id).events) == 2
        assert store.alarms.asked() == (asked,)
    one.alarms.append(ALARM.id, AlarmEvent(state=AlarmState.NEW, at=factories.STARTED, note="here"))
    other.alarms.append(ALARM.id, AlarmEvent(state=AlarmState.NEW, at=factories.STARTED, note="there"))
    assert copy_store(one, other) == Copied(refused=(f"alarm {ALARM.id}",))


def test_no_table_is_forgotten() -> None:
    handled = {
        "kab_schema", "alembic_version", "runs", "trials", "samples", "blobs", "artifacts", "series", "boot_values",
        "alarms", "alarm_events", "suspicions", *(table.name for table in (*copying.SINGLE, *copying.LISTED)),
    }  # fmt: skip
    assert set(metadata.tables) == handled
