"""The store gives back exactly what it was given, finds runs by name, and fails in words."""

import os
import sqlite3
import time
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import factories
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from strategies import block_places, decisions, rung_places, runs, trials

from harness.errors import ConfigError, HostError, TransientHostError
from harness.interfaces import Store
from harness.model.experiment import Arm, BlockPlace, RungPlace, TrialSpec
from harness.model.run import RUNG_VERBS, Parent, Run, RunState, SubrunRole
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision
from harness.store import SqlStore, new_run_id
from harness.store.damage import DamagedError
from harness.store.schema import metadata

pytestmark = pytest.mark.unit

SPEC = factories.block_spec(0, 0, Arm.BASELINE)


@pytest.fixture
def store(tmp_path):
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with SqlStore(tmp_path_factory.mktemp("store") / "results.sqlite") as opened:
        yield opened


def bare(trial: Trial) -> Trial:
    return replace(trial, artifacts={})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs("x"), trial=trials(block_places() | rung_places()), decision=decisions())
def test_everything_comes_back_as_it_was(shared: SqlStore, run: Run, trial: Trial, decision: Decision) -> None:
    run = replace(run, id=uuid4().hex)
    if isinstance(trial.place, RungPlace) or run.verb in RUNG_VERBS:
        run = replace(run, verb="bisect" if isinstance(trial.place, RungPlace) else "ab")
    shared.create_run(run)
    assert shared.run(run.id) == run
    assert shared.decision(run.id) is None
    shared.append_trial(run.id, trial)
    [stored] = shared.run(run.id).trials
    assert stored == bare(trial)
    assert list(stored.samples) == list(trial.samples)
    assert shared.artifacts(run.id, trial.spec) == trial.artifacts
    assert all(shared.artifact(run.id, trial.spec, name) == trial.artifacts[name] for name in trial.artifacts)
    shared.finish(run.id, decision)
    assert shared.decision(run.id) == decision
    closed = shared.run(run.id)
    assert closed.finished is not None
    assert closed == replace(run, trials=(bare(trial),), state=RunState.FINISHED, finished=closed.finished)


def test_a_new_field_needs_a_column() -> None:
    """The store names fields one by one: this fails when the model grows one that would be dropped in silence."""
    assert {field.name for field in fields(Trial)} == {
        "spec", "kernel_digest", "outcome", "message", "samples", "stage_s", "findings", "environment", "artifacts",
        "started", "duration_s",
    }  # fmt: skip
    assert {field.name for field in fields(TrialSpec)} == {"place", "seed"}
    assert {field.name for field in fields(BlockPlace)} == {"block", "order", "arm", "attempt"}
    assert {field.name for field in fields(RungPlace)} == {"rung", "boot"}
    assert {field.name for field in fields(Run)} == {
        "id", "verb", "digest", "experiment", "baseline", "candidate", "seed", "conditions", "host", "command",
        "kab_version", "created", "state", "finished", "parent", "trials",
    }  # fmt: skip


def test_it_is_a_store(store: SqlStore) -> None:
    as_protocol: Store = store
    assert as_protocol.runs() == []


def test_not_a_number_comes_back(store: SqlStore) -> None:
    store.create_run(factories.run())
    store.append_trial(
        "20261122-1934-k7f3",
        Trial(spec=SPEC, kernel_digest="d", outcome=Outcome.OK, samples={"m": (float("nan"), float("inf"), 1.5)}),
    )
    [stored] = store.run("last").trials
    assert str(stored.samples) == "{'m': (nan, inf, 1.5)}"


def test_trials_come_back_in_the_order_they_were_stored(store: SqlStore) -> None:
    some = factories.blocks(3)
    store.create_run(factories.run(some[:1]))
    for trial in some[1:]:
        store.append_trial("20261122-1934-k7f3", trial)
    assert store.run("last").trials == tuple(bare(trial) for trial in some)


def test_a_trial_is_stored_once(store: SqlStore) -> None:
    trial = factories.blocks(1)[0]
    store.create_run(factories.run())
    store.append_trial("20261122-1934-k7f3", trial)
    with pytest.raises(HostError, match="boot 0 of block 0") as raised:
        store.append_trial("20261122-1934-k7f3", trial)
    assert "Two processes" in raised.value.remedy
    assert len(store.run("last").trials) == 1
    store.append_trial("20261122-1934-k7f3", factories.another_try(trial))
    assert [t.place.attempt for t in store.run("last").trials] == [0, 1]


OLD_TRIAL = (
    "INSERT INTO trials (run_key, block, position, arm, attempt, seed, kernel_digest, outcome, message, metrics,"
    " stage_s, findings, environment, duration_s)"
    " VALUES (1, ?, ?, ?, ?, '99', 'd', 'ok', '\"\"', '[]', '{}', '[]', '{}', 20.0)"
)


@pytest.mark.parametrize("verb", ["ab", "bisect", "test"])
def test_rows_of_before_places_had_types_are_read_as_what_they_are(tmp_path: Path, verb: str) -> None:
    """Rows as they always were, by hand: the run's verb says whether a block is a block or a rung."""
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run(verb=verb))
    with sqlite3.connect(path) as database:
        database.execute(OLD_TRIAL, (12, 0, "candidate", 3))
    database.close()
    with SqlStore(path) as store:
        run = store.run("last")
    [trial] = run.trials
    assert trial.spec.seed == 99
    if verb == "ab":
        assert trial.place == BlockPlace(block=12, order=0, arm=Arm.CANDIDATE, attempt=3)
        assert run.block_trials == (trial,)
        with pytest.raises(ConfigError, match="no search but a `kab ab`"):
            run.rung_trials  # noqa: B018
    else:
        assert trial.place == RungPlace(rung=12, boot=3)
        assert run.rung_trials == (trial,)
        with pytest.raises(ConfigError, match=f"no A/B run but a `kab {verb}`"):
            run.block_trials  # noqa: B018


def test_a_boot_of_a_rung_has_the_columns_that_it_always_had(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        run = factories.run(verb="bisect")
        store.create_run(run)
        spec = factories.rung_spec(12, 3, seed=99)
        trial = Trial(spec=spec, kernel_digest="d", outcome=Outcome.OK, artifacts={"console.log": b"it ran"})
        store.append_trial(run.id, trial)
        assert store.artifact(run.id, spec, "console.log") == b"it ran"
        with pytest.raises(HostError, match=r"boot 0 of block 12 \(attempt 3\) already"):
            store.append_trial(run.id, trial)
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT block, position, arm, attempt, seed FROM trials").fetchall()
    database.close()
    assert rows == [(12, 0, "candidate", 3, "99")]


@pytest.mark.parametrize("columns", [(12, 1, "candidate", 3), (12, 0, "baseline", 3)])
def test_what_no_boot_of_a_rung_is_written_as_is_damaged(tmp_path: Path, columns: tuple[int, int, str, int]) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run(verb="bisect"))
    with sqlite3.connect(path) as database:
        database.execute(OLD_TRIAL, columns)
    database.close()
    with SqlStore(path) as store, pytest.raises(DamagedError, match="in block 12 is none of a rung"):
        store.run("last")


def test_equal_content_is_kept_once(store: SqlStore, tmp_path: Path) -> None:
    big = os.urandom(300_000)
    store.create_run(factories.run())
    for trial in factories.blocks(5):
        store.append_trial("20261122-1934-k7f3", replace(trial, artifacts={"domain.xml": big, "again": big}))
    store.close()
    assert (tmp_path / "results.sqlite").stat().st_size < 2 * len(big)
    with sqlite3.connect(tmp_path / "results.sqlite") as raw:
        assert raw.execute("select count(*) from artifacts").fetchone() == (20,)
        assert raw.execute("select count(*) from blobs").fetchone() == (1,)
    raw.close()


def test_text_is_compressed(store: SqlStore, tmp_path: Path) -> None:
    store.create_run(factories.run())
    trial = replace(factories.blocks(1)[0], artifacts={"console.log": b"[    1.0] the same line\n" * 20_000})
    store.append_trial("20261122-1934-k7f3", trial)
    assert store.artifact("20261122-1934-k7f3", trial.spec, "console.log") == trial.artifacts["console.log"]
    store.close()
    assert (tmp_path / "results.sqlite").stat().st_size < 150_000


def test_damaged_artifacts_are_noticed(store: SqlStore, tmp_path: Path) -> None:
    store.create_run(factories.run(factories.blocks(1)))
    with sqlite3.connect(tmp_path / "results.sqlite") as raw:
        raw.execute("update blobs set zstd = substr(zstd, 1, 12)")
    raw.close()
    with pytest.raises(HostError, match=r"artifact console\.log .* damaged"):
        store.with_artifacts(store.run("last"))


def test_missing_things(store: SqlStore) -> None:
    with pytest.raises(ConfigError, match="no runs yet"):
        store.run("last")
    for call in (
        lambda: store.run("2026"),
        lambda: store.decision("nope"),
        lambda: store.append_trial("nope", factories.blocks(1)[0]),
        lambda: store.finish("nope", factories.decide(())),
        lambda: store.artifact("nope", SPEC, "domain.xml"),
    ):
        with pytest.raises(ConfigError, match="no"):
            call()
    store.create_run(factories.run(factories.blocks(1)))
    with pytest.raises(ConfigError, match=r"no core\.gz"):
        store.artifact("20261122-1934-k7f3", SPEC, "core.gz")


def test_runs_by_name(store: SqlStore) -> None:
    for name in ("20261122-1934-aaaa", "20261122-1934-aabb", "20261123-0000-0000", "20261122-1934-aa"):
        store.create_run(factories.run(id=name))
    assert store.run("last").id == "20261122-1934-aa"
    assert store.run("20261123").id == "20261123-0000-0000"
    assert store.run("20261122-1934-aab").id == "20261122-1934-aabb"
    assert store.run("20261122-1934-aa").id == "20261122-1934-aa", "an exact id is never ambiguous"
    with pytest.raises(ConfigError, match=r"3 runs begin with '20261122': .*aaaa"):
        store.run("20261122")
    with pytest.raises(ConfigError, match="no run 2026%"):
        store.run("2026%")
    assert [run.id[-4:] for run in store.runs(limit=3)] == ["4-aa", "0000", "aabb"]


def test_the_newest_run_is_no_part_of_a_search(store: SqlStore) -> None:
    store.create_run(factories.run(id="search"))
    inside = factories.run(id="ends", parent=Parent(run_id="search", role=SubrunRole.ENDS, place="0-5"))
    store.create_run(inside)
    assert store.run("last").id == "search"
    assert store.run("ends") == inside
    assert [run.parent for run in store.runs()] == [inside.parent, None]


def test_a_place_in_a_parent_is_taken_once(store: SqlStore) -> None:
    for name in ("one", "two"):
        store.create_run(factories.run(id=name))
    parent = Parent(run_id="one", role=SubrunRole.PROOF, place="3-4")
    store.create_run(factories.run(id="a", parent=parent))
    with pytest.raises(HostError, match="another process") as raised:
        store.create_run(factories.run(id="b", parent=parent))
    assert "Two processes" in raised.value.remedy
    for number, other in enumerate(
        (replace(parent, run_id="two"), replace(parent, role=SubrunRole.ENDS), replace(parent, place="3-5"))
    ):
        store.create_run(factories.run(id=f"other-{number}", parent=other))
    assert len(store.runs()) == 6


def test_a_parent_that_there_is_not(store: SqlStore) -> None:
    with pytest.raises(ConfigError, match="no run nobody"):
        store.create_run(factories.run(parent=Parent(run_id="nobody", role=SubrunRole.ENDS, place="0-5")))
    assert store.runs() == []


def test_a_taken_id_is_refused(store: SqlStore) -> None:
    store.create_run(factories.run())
    with pytest.raises(HostError, match="already"):
        store.create_run(factories.run())


def test_unfinished_is_the_newest_open_one(store: SqlStore) -> None:
    assert store.unfinished("d") is None
    some = factories.blocks(2)
    store.create_run(factories.run(some[:1], id="one", digest="d"))
    store.create_run(factories.run(some, id="two", digest="d"))
    store.create_run(factories.run(id="three", digest="other"))
    found = store.unfinished("d")
    assert found is not None
    assert (found.id, len(found.trials)) == ("two", 4)
    store.finish("two", factories.decide(some))
    found = store.unfinished("d")
    assert found is not None
    assert found.id == "one"


def test_run_ids_sort_by_time_and_differ() -> None:
    start = datetime(2026, 11, 22, 19, 34, tzinfo=UTC)
    names = [new_run_id(start + timedelta(seconds=second)) for second in range(0, 7200, 7)]
    assert names == sorted(names)
    assert len({new_run_id(start) for _ in range(20)}) > 1
    assert names[0].startswith("20261122-1934-0")
    assert len(names[0]) == len("20261122-1934-k7f3")


def test_opening_is_quick(tmp_path: Path) -> None:
    SqlStore(tmp_path / "results.sqlite").close()
    took = []
    for _ in range(5):
        since = time.perf_counter()
        SqlStore(tmp_path / "results.sqlite").close()
        took.append(time.perf_counter() - since)
    assert min(took) < 0.1


def test_durable_and_strict(store: SqlStore) -> None:
    with store._engine.connect() as connection:
        settings_ = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings_ == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_the_tables_are_portable() -> None:
    for table in metadata.sorted_tables:
        assert f"CREATE TABLE {table.name}" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite") as raw:
        raw.execute("create table runs (a)")
    raw.close()
    with pytest.raises(ConfigError, match="not kab's"):
        SqlStore(tmp_path / "x.sqlite")


@pytest.mark.parametrize("url", ["://", "nosuch://x/y", "sqlite+nosuch:///x", "postgresql://db:port/kab"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(ConfigError):
        SqlStore(url)


def test_an_url_of_sqlite(tmp_path: Path) -> None:
    with SqlStore(f"sqlite:///{tmp_path}/a/b.sqlite") as store:
        store.create_run(factories.run())
    for where in (tmp_path / "a" / "b.sqlite", str(tmp_path / "a" / "b.sqlite")):
        with SqlStore(where) as store:
            assert store.run("last").id == "20261122-1934-k7f3"


def test_passwords_stay_out_of_messages() -> None:
    with pytest.raises(ConfigError) as raised:
        SqlStore("nosuch://me:sesame@db/kab")
    assert "sesame" not in str(raised.value)


def test_garbage_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(HostError, match=rf"{path} is not a database"):
        SqlStore(path)


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run([replace(t, artifacts={"x": os.urandom(20_000)}) for t in factories.blocks(8)]))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(HostError, match=r"is damaged") as raised, SqlStore(path) as store:
        store.run("last")
    assert "Move the file away" in raised.value.remedy


def test_a_locked_database(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path, busy_timeout_s=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        assert store.runs() == [], "readers do not wait for writers"
        with pytest.raises(TransientHostError, match="locked by another process"):
            store.create_run(factories.run())
        other.execute("rollback")
        other.close()
        store.create_run(factories.run())


def test_a_read_only_database(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run())
    with SqlStore(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        assert store.run("last").id == "20261122-1934-k7f3"
        with pytest.raises(HostError, match="is read-only") as raised:
            store.append_trial("20261122-1934-k7f3", factories.blocks(1)[0])
    assert "writable" in raised.value.remedy


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot make the folder"):
        SqlStore(tmp_path / "file" / "results.sqlite")
    with pytest.raises(HostError, match="cannot be opened"):
        SqlStore(tmp_path)


def test_a_failed_call_leaves_nothing(store: SqlStore) -> None:
    """A value that breaks off a trial half-way takes the first half with it."""
    store.create_run(factories.run())
    trial = replace(factories.blocks(1)[0], artifacts={"domain.xml": b"x", "broken": "text"})
    with pytest.raises(TypeError):
        store.append_trial("20261122-1934-k7f3", trial)
    assert store.run("last").trials == ()
    with store._engine.connect() as connection:
        for table in ("samples", "artifacts", "blobs"):
            assert connection.exec_driver_sql(f"select count(*) from {table}").scalar() == 0
