"""What a store does, on a file and on a PostgreSQL server alike; and how it fails on a server."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from uuid import uuid4

import factories
import pytest
from alembic import command
from daemons import no_postgres_server, postgres_server
from hypothesis import HealthCheck, given, settings
from ladders import World, loop, request
from nightly import ALARM
from olddatabases import VERSIONS, put_old, read_then, told
from sqlalchemy import Engine, ExceptionContext, MetaData, create_engine, event, insert, select, text
from strategies import block_places, decisions, rung_places, runs, trials

from harness.errors import ConfigError, HostError, TransientHostError
from harness.model.bisection import BisectionPlan, IdenticalBuild, Mark, PlannedRung
from harness.model.experiment import Arm, RungPlace
from harness.model.matrix import Cell, MatrixOutcome, MatrixPlan
from harness.model.run import RUNG_VERBS, Parent, Run, RunState, SubrunRole
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision
from harness.store import SqlStore
from harness.store.copying import Copied, copy_store
from harness.store.damage import DamagedError
from harness.store.failures import AwayError
from harness.store.migrate import alembic_config
from harness.store.schema import SCHEMA_VERSION

pytestmark = pytest.mark.integration

NUMBERS = count()
PLAN = MatrixPlan(
    title="nightly",
    cells=tuple(
        Cell(name=f"debian:7.2/{fs}", axes={"series": "debian:7.2", "fs": fs}, experiment=factories.experiment())
        for fs in ("btrfs", "ext4")
    ),
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, with ``{}`` for a database."""
    if no_postgres_server:
        pytest.skip(no_postgres_server)
    with postgres_server() as url:
        yield url


@contextmanager
def administrator(server: str, database: str = "postgres") -> Iterator[Callable[[str], None]]:
    """Executes statements outside of transactions."""
    engine = create_engine(server.format(database), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield lambda statement: connection.exec_driver_sql(statement) and None
    finally:
        engine.dispose()


def new_database(server: str) -> str:
    """The URL of an empty one."""
    name = f"kab{next(NUMBERS)}"
    with administrator(server) as execute:
        execute(f"CREATE DATABASE {name}")
    return server.format(name)


@pytest.fixture(params=["file", "server"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "file":
        return str(tmp_path / "results.sqlite")
    return new_database(request.getfixturevalue("server"))


@pytest.fixture
def store(where: str) -> Iterator[SqlStore]:
    with SqlStore(where) as opened:
        yield opened


@pytest.fixture(scope="module", params=["file", "server"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    if request.param == "file":
        where = str(tmp_path_factory.mktemp("store") / "results.sqlite")
    else:
        where = new_database(request.getfixturevalue("server"))
    with SqlStore(where) as opened:
        yield opened


def bare(trial: Trial) -> Trial:
    return replace(trial, artifacts={})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs("x"), trial=trials(block_places() | rung_places()), decision=decisions())
def test_everything_comes_back_as_it_was(shared: SqlStore, run: Run, trial: Trial, decision: Decision) -> None:
    """NUL bytes and lone surrogates in texts, seeds of many bits, not-a-numbers."""
    run = replace(run, id=uuid4().hex)
    if isinstance(trial.place, RungPlace) or run.verb in RUNG_VERBS:
        run = replace(run, verb="bisect" if isinstance(trial.place, RungPlace) else "ab")
    shared.create_run(run)
    shared.append_trial(run.id, trial)
    shared.finish(run.id, decision)
    assert shared.decision(run.id) == decision
    closed = shared.run(run.id)
    assert closed == replace(run, trials=(bare(trial),), state=RunState.FINISHED, finished=closed.finished)
    assert shared.artifacts(run.id, trial.spec) == trial.artifacts


def test_whatever_a_guest_prints(store: SqlStore) -> None:
    odd = "\0 \ud800 \x1b[2J ü 💥"
    trial = replace(
        factories.failed(factories.block_spec(0, 0, Arm.CANDIDATE, seed=2**200 + 1), Outcome.CRASHED, odd),
        environment={odd: odd}, samples={"m": (float("nan"), float("inf"), 5e-324)}, artifacts={"x": b"\0\xff"},
    )  # fmt: skip
    run = factories.run(seed=-(2**130), conditions={odd: odd}, host={odd: odd}, command=(odd,))
    store.create_run(run)
    store.append_trial(run.id, trial)
    found = store.run(run.id)
    assert str(found.trials[0].samples) == str(trial.samples)
    assert replace(found.trials[0], samples={}) == replace(bare(trial), samples={})
    assert replace(found, trials=()) == run


def test_runs_by_name_and_state(store: SqlStore) -> None:
    some = factories.blocks(2)
    for name in ("20261122-1934-aaaa", "20261122-1934-aabb", "20261123-0000-0000"):
        store.create_run(factories.run(some[:1], id=name, digest="d"))
    assert store.run("last").id == "20261123-0000-0000"
    assert store.run("20261122-1934-aab").id == "20261122-1934-aabb"
    with pytest.raises(ConfigError, match="2 runs begin with '20261122'"):
        store.run("20261122")
    with pytest.raises(ConfigError, match="no run 2026%"):
        store.run("2026%")
    store.finish("20261123-0000-0000", factories.decide(some))
    found = store.unfinished("d")
    assert found is not None
    assert found.id == "20261122-1934-aabb"
    assert [run.id[-4:] for run in store.runs(limit=2)] == ["0000", "aabb"]


def test_what_is_there_already_is_refused(store: SqlStore) -> None:
    some = factories.blocks(1)
    parent = Parent(run_id="one", role=SubrunRole.PROOF, place="3-4")
    store.create_run(factories.run(some, id="one"))
    with pytest.raises(HostError, match=r"a run one in .* already"):
        store.create_run(factories.run(id="one"))
    with pytest.raises(HostError, match="boot 0 of block 0") as raised:
        store.append_trial("one", some[0])
    assert "Two processes" in raised.value.remedy
    store.create_run(factories.run(id="two", parent=parent))
    with pytest.raises(HostError, match="another process") as raised:
        store.create_run(factories.run(id="three", parent=parent))
    assert "Two processes" in raised.value.remedy
    with pytest.raises(ConfigError, match="no run nobody"):
        store.create_run(factories.run(id="four", parent=replace(parent, run_id="nobody")))
    assert [run.id for run in store.runs()] == ["two", "one"]


def test_searches(store: SqlStore) -> None:
    plan = BisectionPlan(
        rungs=tuple(PlannedRung(spec=f"debian:6.{n}", release=f"6.{n}", version=f"6.{n}-1") for n in range(3))
    )
    store.bisections.create(factories.run(id="search", verb="bisect"), plan)
    store.bisections.add_mark("search", Mark(rung=1, skip=True, reason="\0 \ud800"))
    store.bisections.add_identical_build("search", IdenticalBuild(rung=2, of=1))
    with pytest.raises(HostError, match="another process"):
        store.bisections.add_identical_build("search", IdenticalBuild(rung=2, of=0))
    store.create_run(factories.run(id="ends", parent=Parent(run_id="search", role=SubrunRole.ENDS, place="0-2")))
    kept = store.bisections
    assert (kept.plan("search"), kept.outcome("search")) == (plan, None)
    assert kept.marks("search") == (Mark(rung=1, skip=True, reason="\0 \ud800"),)
    assert kept.identical_builds("search") == (IdenticalBuild(rung=2, of=1),)
    assert [part.run_id for part in kept.subruns("search")] == ["ends"]
    assert kept.newest(unfinished=True) == "search"


def test_matrices_and_their_nights(store: SqlStore) -> None:
    outcome = MatrixOutcome(cells=(), boots=8)
    store.matrices.create(factories.run(id="night", verb="nightly"), PLAN)
    for number, cell in enumerate(PLAN.cells):
        parent = Parent(run_id="night", role=SubrunRole.CELL, place=cell.name)
        store.create_run(factories.run(id=f"cell-{number}", parent=parent))
        for trial in factories.blocks(3):
            store.append_trial(f"cell-{number}", trial)
    store.matrices.finish("night", outcome)
    assert (store.matrices.plan("night"), store.matrices.outcome("night")) == (PLAN, outcome)
    assert list(store.matrices.cells("night")) == [cell.name for cell in PLAN.cells]
    found = store.history.nights(metric="write_iops")
    assert [(name.cell, name.series) for name in found] == [("btrfs", "debian:7.2"), ("ext4", "debian:7.2")]
    made = store.run("cell-0").trials
    values = [sorted(one.samples["write_iops"])[1] for one in made if one.place.written.arm is Arm.CANDIDATE]
    [[first], [second]] = found.values()
    assert (first.run_id, second.run_id) == ("cell-0", "cell-1")
    assert list(first.values) == values


@pytest.mark.parametrize(
    ("table", "column"),
    [("runs", "conditions"), ("runs", "created"), ("trials", "findings"), ("decisions", "document")],
)
def test_a_damaged_row_hides_no_other(store: SqlStore, table: str, column: str) -> None:
    some = factories.blocks(1)
    for name in ("sound", "damaged"):
        store.create_run(factories.run(some, id=name))
        store.finish(name, factories.decide(some))
    key = "key" if table == "runs" else "run_key"
    with store._engine.begin() as connection:
        which = select(text("key")).select_from(text("runs")).where(text("id = 'damaged'"))
        connection.execute(text(f"UPDATE {table} SET {column} = '{{' WHERE {key} = ({which})"))
    read = store.decision if table == "decisions" else store.run
    with pytest.raises(DamagedError, match=r"damaged in .* is damaged"):
        read("damaged")
    assert "sound" in {run.id for run in store.runs()}
    assert len(store.damaged()) == (table == "runs")
    assert store.run("sound").trials == tuple(map(bare, some))


def test_a_damaged_artifact(store: SqlStore) -> None:
    store.create_run(factories.run(factories.blocks(1)))
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE blobs SET zstd = substr(zstd, 1, 12)"))
    with pytest.raises(HostError, match=r"artifact console\.log .* damaged"):
        store.with_artifacts(store.run("last"))


def test_a_failed_call_leaves_nothing(store: SqlStore) -> None:
    store.create_run(factories.run())
    trial = replace(factories.blocks(1)[0], artifacts={"x" * 300: b"x", "broken": "text"})
    with pytest.raises(TypeError):
        store.append_trial("20261122-1934-k7f3", trial)
    with store._engine.connect() as connection:
        for table in ("trials", "samples", "artifacts", "blobs"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


def moved(path: Path, version: int, url: str) -> None:
    """What is in the file of that version, on a server, in tables as they were then."""
    source, target = create_engine(f"sqlite:///{path}"), create_engine(url)
    with source.connect() as old, target.begin() as new:
        command.upgrade(alembic_config(new), f"{version:04}")
        tables = MetaData()
        tables.reflect(old)
        for table in tables.sorted_tables:
            if table.name == "alembic_version":
                continue
            # Some of version 1 have tables of the next one.
            table.create(new, checkfirst=True)
            new.execute(table.delete())
            if rows := [dict(row) for row in old.execute(select(table)).mappings()]:
                new.execute(insert(table), rows)
            if "key" in table.columns:
                new.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'key'), 1000)")
        if version < 3:
            new.exec_driver_sql("DROP TABLE alembic_version")
    source.dispose()
    target.dispose()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_migrates_as_a_file_does(server: str, tmp_path: Path, version: int) -> None:
    path, url = put_old(version, tmp_path / "results.sqlite"), new_database(server)
    moved(path, version, url)
    notes: list[str] = []
    with SqlStore(path) as file, SqlStore(url, note=notes.append) as store:
        said = [f"brought from schema version {version} to {SCHEMA_VERSION}"]
        assert [note.rpartition(" was ")[2] for note in notes] == said
        assert [run.id for run in reversed(store.runs(1000))] == list(read_then(version)["runs"])
        assert store.runs(1000) == file.runs(1000)
        for run in store.runs(1000):
            assert told(store, store.run(run.id)) == told(file, file.run(run.id))
            assert store.bisections.subruns(run.id) == file.bisections.subruns(run.id)
            assert store.bisections.marks(run.id) == file.bisections.marks(run.id)
        # What is migrated takes more.
        store.create_run(factories.run(factories.blocks(1), id="new"))
        assert store.run("last").id == "new"


# No server ever had version 1: what `moved` makes of those tables of the next one that some files have is its own.
@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_migrated_server_has_the_tables_of_a_new_one(server: str, tmp_path: Path, version: int) -> None:
    migrated, new = new_database(server), new_database(server)
    moved(put_old(version, tmp_path / "results.sqlite"), version, migrated)
    found = []
    for url in (migrated, new):
        with SqlStore(url) as store, store.reading() as connection:
            columns = connection.exec_driver_sql(
                "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable"
                " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            ).all()
            indexes = connection.exec_driver_sql(
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
            ).all()
            keys = connection.exec_driver_sql(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
            ).all()
        found.append((columns, indexes, keys))
    assert found[0] == found[1]


def openers(where: str, number: int) -> list[str]:
    """What so many processes say that open it at once: what they note, and how many runs there are."""
    code = (
        "import sys; from harness.store import SqlStore\n"
        "with SqlStore(sys.argv[1], note=print) as store: print(len(store.runs(1000)))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    found = []
    for one in started:
        said, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
        found.append(said)
    return found


def test_several_make_it_at_once(where: str) -> None:
    assert openers(where, 5) == ["0\n"] * 5


def test_several_migrate_a_server_at_once(server: str, tmp_path: Path) -> None:
    url = new_database(server)
    moved(put_old(3, tmp_path / "results.sqlite"), 3, url)
    said = openers(url, 4)
    assert sorted(len(lines.splitlines()) for lines in said) == [1, 1, 1, 2]
    assert {lines.splitlines()[-1] for lines in said} == {str(len(read_then(3)["runs"]))}


def test_it_is_copied_to_the_other_kind_and_back(store: SqlStore, tmp_path: Path, server: str) -> None:
    """From each to each; a run that goes on meanwhile is brought up to that."""
    kind = store._engine.dialect.name
    there = str(tmp_path / "other.sqlite") if kind == "postgresql" else new_database(server)
    loop(store, World()).execute(request())
    store.matrices.create(factories.run(id="night", verb="nightly"), PLAN)
    parent = Parent(run_id="night", role=SubrunRole.CELL, place=PLAN.cells[0].name)
    store.create_run(factories.run(factories.blocks(2), id="cell", parent=parent, conditions={"odd": "\0 \ud800"}))
    store.alarms.tell(ALARM)
    with SqlStore(there) as other, SqlStore(tmp_path / "back.sqlite") as back:
        first = copy_store(store, other)
        assert (first.runs, first.alarms, first.refused) == (len(store.runs(100)), 1, ())
        store.append_trial("cell", factories.blocks(3)[5])
        store.finish("cell", factories.decide(factories.blocks(2)))
        assert copy_store(store, other) == Copied(extended=1, trials=1, there=first.runs - 1)
        copy_store(other, back)
        for one in (other, back):
            for run in store.runs(100):
                assert one.with_artifacts(one.run(run.id)) == store.with_artifacts(store.run(run.id))
                assert one.decision(run.id) == store.decision(run.id)
                assert one.bisections.outcome(run.id) == store.bisections.outcome(run.id)
            assert one.history.nights(metric="write_iops") == store.history.nights(metric="write_iops")
            assert one.alarms.all() == store.alarms.all()
        # What was copied goes on there.
        other.create_run(factories.run(id="new"))
        assert other.run("last").id == "new"


# A writer of its own: appends COUNT trials to a run, each with an artifact that all writers have.
WRITER = """
import random, sys
from dataclasses import replace
import factories
from harness.store import SqlStore
where, run_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(run_id)
with SqlStore(where) as store:
    for block in range(count):
        trial = factories.trial(factories.Arm.CANDIDATE, block, 0, rng=rng)
        shared = {f"shared-{n}": b"%d of %d" % (n, block) * 50 for n in range(8)}
        store.append_trial(run_id, replace(trial, artifacts={**shared, "own": run_id.encode()}))
"""


def writer(where: str, run_id: str, boots: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{Path(factories.__file__).parent}"}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, where, run_id, str(boots)], stderr=subprocess.PIPE, text=True, env=environment
    )


def test_processes_write_the_same_blobs_and_series_at_once(store: SqlStore, where: str) -> None:
    """Cells of one matrix: each writer makes the same series, and the same blobs."""
    cells = tuple(Cell(name=f"cell-{number}", axes={}, experiment=factories.experiment()) for number in range(4))
    store.matrices.create(factories.run(id="matrix", verb="run"), MatrixPlan(title="m", cells=cells))
    names = [f"run-{number}" for number in range(4)]
    for name, cell in zip(names, cells, strict=True):
        parent = Parent(run_id="matrix", role=SubrunRole.CELL, place=cell.name)
        store.create_run(factories.run(id=name, parent=parent))
    writers = [writer(where, name, 15) for name in names]
    for one in writers:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    for name in names:
        run = store.with_artifacts(store.run(name))
        assert [trial.place.written.block for trial in run.trials] == list(range(15))
        assert {len(trial.artifacts) for trial in run.trials} == {9}
    with store._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM blobs")).scalar() == 8 * 15 + 4
    assert len(store.history.nights(metric="queue_depth")) == 4


def test_two_writers_of_one_run(store: SqlStore, where: str) -> None:
    store.create_run(factories.run(id="one"))
    writers = [writer(where, "one", 20) for _ in range(2)]
    errors = [one.communicate(timeout=120)[1] for one in writers]
    refused = [said for said in errors if said]
    assert all("Two processes seem to work on" in said for said in refused)
    assert [trial.place.written.block for trial in store.run("one").trials] == list(range(20))


def test_a_deadlock_is_undone_and_made_again(server: str) -> None:
    """A transaction that holds what ours waits for, and then waits for what ours holds."""
    url = new_database(server)
    by_hash = {hashlib.sha256(content).hexdigest(): content for content in (b"first", b"second")}
    hashes = sorted(by_hash)
    put = "INSERT INTO blobs VALUES (%s, 1, '') ON CONFLICT DO NOTHING"
    trial = replace(factories.blocks(1)[0], artifacts={"a": by_hash[hashes[0]], "b": by_hash[hashes[1]]})
    engine, met = create_engine(url), []

    @event.listens_for(Engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        met.append(getattr(context.original_exception, "sqlstate", "") == "40P01")

    with SqlStore(url) as store, engine.connect() as other:
        store.create_run(factories.run(id="one"))
        # Ours is the one that looks first, and is the one that is ended.
        other.exec_driver_sql("SET deadlock_timeout = '30s'")
        other.exec_driver_sql(put, (hashes[1],))
        ours = threading.Thread(target=store.append_trial, args=("one", trial))
        ours.start()
        deadline = time.monotonic() + 60
        while not other.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        other.exec_driver_sql(put, (hashes[0],))
        other.rollback()
        ours.join(timeout=30)
        assert not ours.is_alive()
        assert store.artifacts("one", trial.spec) == trial.artifacts
    assert met == [1]
    event.remove(Engine, "handle_error", failed)
    engine.dispose()


def test_a_lock_is_waited_for_no_longer_than_was_said(server: str) -> None:
    url = new_database(server)
    engine = create_engine(url)
    with SqlStore(url, busy_timeout_s=0.3) as store, engine.connect() as other:
        store.create_run(factories.run())
        other.exec_driver_sql("LOCK TABLE trials IN EXCLUSIVE MODE")
        with pytest.raises(TransientHostError, match="locked by another process"):
            store.append_trial(store.run("last").id, factories.blocks(1)[0])
        other.rollback()
        store.append_trial(store.run("last").id, factories.blocks(1)[0])
    engine.dispose()


def test_the_usual_way_to_write_its_url(server: str) -> None:
    url = new_database(server)
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        with SqlStore(url.replace("postgresql+psycopg", scheme)) as store:
            assert "postgresql://kab@/" in store._name
            assert store.runs() == []


def refused(url: str, kind: type[Exception], meaning: str, remedy: str) -> None:
    with pytest.raises(kind, match=meaning) as raised:
        SqlStore(url).close()
    assert remedy in raised.value.remedy  # type: ignore[attr-defined]
    assert "sesame" not in str(raised.value)
    assert "+psycopg" not in str(raised.value)


def test_no_such_database(server: str) -> None:
    refused(server.format("nothing"), ConfigError, "is not there", "CREATE DATABASE")


def test_no_such_user(server: str) -> None:
    refused(server.format("postgres").replace("kab@", "nobody:sesame@"), ConfigError, "no such user", "CREATE USER")


def test_a_server_that_is_away(tmp_path: Path) -> None:
    refused(f"postgresql://kab:sesame@/kab?host={tmp_path}", AwayError, "does not answer", "Start its server")
    refused("postgresql://kab:sesame@127.0.0.1:9/kab", AwayError, "does not answer", "Start its server")
    refused("postgresql://127.0.0.1:9/kab?user=kab&password=sesame", AwayError, "does not answer", "Start its server")


def test_an_option_that_there_is_not(server: str) -> None:
    refused(server.format("postgres") + "&colour=sesame", ConfigError, "as its URL says", "KAB_DATABASE")


def test_a_user_who_may_only_read(server: str) -> None:
    url = new_database(server)
    reader = url.replace("kab@", "reader@")
    with administrator(server) as execute:
        execute("CREATE USER reader")
    refused(reader, HostError, "may not be written by this user", "GRANT")
    with SqlStore(url) as store:
        store.create_run(factories.run(factories.blocks(1)))
    with administrator(server, url.partition("?")[0].rpartition("/")[2]) as execute:
        execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with SqlStore(reader) as store:
        assert len(store.run("last").trials) == 2
        with pytest.raises(HostError, match="may not be written by this user"):
            store.finish(store.run("last").id, factories.decide(()))


def test_a_wrong_password() -> None:
    if no_postgres_server:
        pytest.skip(no_postgres_server)
    with postgres_server(password="open") as url:
        SqlStore(url.format("postgres").replace("kab@", "kab:open@")).close()
        refused(
            url.format("postgres").replace("kab@", "kab:sesame@"), ConfigError, "refused user or password", "pgpass"
        )


def test_without_its_driver(tmp_path: Path) -> None:
    code = "import sys; sys.modules['psycopg'] = None; from harness.store import SqlStore; SqlStore(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, "postgresql://kab:sesame@db/kab"], capture_output=True, text=True, check=False
    )
    assert "pip install 'kab[postgres]'" in done.stderr
    assert "sesame" not in done.stderr.splitlines()[-2] + done.stderr.splitlines()[-1]
