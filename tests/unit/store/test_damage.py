"""A row that does not hold what kab wrote: it is named, it is the host's fault, and the others are there."""

import contextlib
import sqlite3
from dataclasses import replace

import factories
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli.errors import run_command
from harness.errors import ConfigError, HostError
from harness.model.bisection import BisectionPlan, IdenticalBuild, Mark, PlannedRung
from harness.model.experiment import RungPlace
from harness.model.run import Parent, SubrunRole
from harness.model.trial import placed
from harness.store import SqlStore
from harness.store.damage import DamagedError

pytestmark = pytest.mark.unit

SOUND, DAMAGED = "20261122-1934-k7f3", "20261123-0815-damaged"
ENDS = {SOUND: "20261124-0000-ends", DAMAGED: "20261124-0001-ends"}
PLAN = BisectionPlan(
    rungs=tuple(PlannedRung(spec=f"debian:6.{n}", release=f"6.{n}", version=f"6.{n}-1") for n in range(3))
)

JSON_COLUMNS = [
    *[("runs", name) for name in ("experiment", "baseline", "candidate", "conditions", "host", "command")],
    *[("trials", name) for name in ("message", "metrics", "stage_s", "findings", "environment")],
    ("decisions", "document"),
    ("bisections", "plan"),
    ("bisections", "outcome"),
    ("bisection_marks", "document"),
    ("bisection_twins", "document"),
]
ALL_COLUMNS = [
    *JSON_COLUMNS,
    *[("runs", name) for name in ("verb", "digest", "seed", "kab_version", "created", "state", "finished")],
    *[("trials", name) for name in ("arm", "seed", "kernel_digest", "outcome", "started", "duration_s")],
    ("samples", "value"),
    ("blobs", "size_bytes"),
    ("blobs", "zstd"),
    ("subruns", "parent"),
    ("subruns", "role"),
    ("subruns", "place"),
    ("subruns", "id"),
]


def fill(path):
    """Two searches with all that can belong to one; the newer one is going to be damaged."""
    with SqlStore(path) as store:
        for name in (SOUND, DAMAGED):
            some = factories.blocks(2)
            store.bisections.create(factories.run(id=name, verb="bisect"), PLAN)
            for rung, trial in enumerate(some):
                of_rung = placed(trial, RungPlace(rung=rung, boot=0))
                store.append_trial(name, replace(of_rung, findings=(factories.PANIC,)))
            store.bisections.add_mark(name, Mark(rung=1, skip=True, reason="x"))
            store.bisections.add_identical_build(name, IdenticalBuild(rung=1, of=0))
            parent = Parent(run_id=name, role=SubrunRole.ENDS, place="0-2")
            store.create_run(factories.run(id=ENDS[name], parent=parent))
            store.finish(name, factories.decide(some))


def read_all(store, name):
    """All that is kept of a run."""
    run = store.run(name)
    store.decision(name)
    store.with_artifacts(run)
    kept = store.bisections
    inside = [store.run(subrun.run_id) for subrun in kept.subruns(name)]
    return run, kept.plan(name), kept.marks(name), kept.identical_builds(name), inside, kept.outcome(name)


def searches(store):
    return [run.id for run in store.runs() if run.parent is None]


def put(path, table, column, value):
    """Write `value` where the newer run has its own, or its subrun (blobs are shared by all)."""
    if table == "subruns":
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute(f"update runs set {column} = ? where id = '{ENDS[DAMAGED]}'", (value,))
        return
    key = {"runs": "key", "samples": "trial_key in (select key from trials where run_key", "blobs": "1 or 2"}
    where = f"{key.get(table, 'run_key')} = (select key from runs where id = '{DAMAGED}')"
    where += ")" if table == "samples" else ""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(f"update {table} set {column} = ? where {where}", (value,))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "results.sqlite"
    fill(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("pragma journal_mode = delete")
        # Damage is not asked whether it fits the constraints.
        raw.execute("pragma writable_schema = on")
        raw.execute("update sqlite_master set sql = replace(sql, ' NOT NULL', '')")
    return path.read_bytes()


@pytest.fixture
def path(pristine, tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_bytes(pristine)
    return path


def test_all_is_sound_before(path):
    with SqlStore(path) as store:
        for name in (SOUND, DAMAGED):
            assert read_all(store, name)[1] == PLAN
        assert searches(store) == [DAMAGED, SOUND]


NO_DOCUMENTS = ["{", "", "[" * 100_000, "17", '"text"', b"\xff\xfe", 5, None, '{"a": 1}', "9" * 10_000]


@pytest.mark.parametrize(("table", "column"), JSON_COLUMNS)
def test_a_damaged_document(path, table, column):
    with SqlStore(path) as store:
        for value in NO_DOCUMENTS:
            if (table, column, value) == ("trials", "message", '"text"'):
                # Any text is a message.
                continue
            put(path, table, column, value)
            with pytest.raises(DamagedError, match=rf"{DAMAGED} in .* is damaged: ") as raised:
                read_all(store, DAMAGED)
            assert "Nothing else there is touched" in raised.value.remedy
            found = searches(store)
            assert (found, len(store.damaged())) == (([SOUND], 1) if table == "runs" else ([DAMAGED, SOUND], 0))
        assert read_all(store, SOUND)[0].id == SOUND


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "state", "openn"),
        ("runs", "created", "yesterday"),
        ("runs", "created", "0001-01-01T00:00:00+00:00"),
        ("runs", "created", 5),
        ("runs", "finished", "never"),
        ("runs", "seed", "many"),
        ("runs", "seed", 1.5),
        ("runs", "verb", b"ab"),
        ("trials", "outcome", "splendid"),
        ("trials", "arm", "third"),
        ("trials", "duration_s", "long"),
        ("trials", "duration_s", 9e999),
        ("trials", "stage_s", '{"boot": Infinity}'),
        ("trials", "stage_s", '{"lunch": 1.0}'),
        ("trials", "environment", '{"uname": 5}'),
        ("trials", "started", "0000"),
        ("samples", "value", "much"),
        ("blobs", "zstd", "text"),
        ("blobs", "size_bytes", "large"),
        ("subruns", "role", "main"),
        ("subruns", "role", None),
        ("subruns", "place", "0-x"),
        ("subruns", "place", 5),
        ("subruns", "id", b"\xff\x00"),
    ],
)
def test_a_damaged_value(path, table, column, value):
    put(path, table, column, value)
    with SqlStore(path) as store, pytest.raises(HostError, match="damaged"):
        read_all(store, DAMAGED)


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(
        ["[]", "{}", "null", "[null]", '{"version": 1}', '{"version": 1, "experiment": null}', "[[[]]]", "1e999"]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(ALL_COLUMNS), value=VALUES)
def test_any_value_anywhere(pristine, tmp_path, place, value):
    """Whatever is in a column: it is read, or it is the host's fault; never a bug."""
    path = tmp_path / "results.sqlite"
    path.write_bytes(pristine)
    put(path, *place, value)
    with SqlStore(path) as store:
        assert SOUND in searches(store)
        if place[0] != "blobs":
            read_all(store, SOUND)
        with contextlib.suppress(HostError):
            read_all(store, DAMAGED)


def test_a_name_that_is_no_text(path):
    put(path, "runs", "id", b"\xff\x1b[2J")
    with SqlStore(path) as store:
        assert searches(store) == [SOUND]
        assert store.damaged()[0].message.isprintable()
        with pytest.raises(ConfigError):
            store.run(DAMAGED)


def test_the_remedy_removes_the_damaged_run_alone(path):
    put(path, "runs", "state", "openn")
    with SqlStore(path) as store, pytest.raises(DamagedError) as raised:
        store.run("last")
    statement = raised.value.remedy.split(f"sqlite3 {path} ")[1].strip("'")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.executescript(statement)
        assert raw.execute("select count(*) from trials").fetchone() == (4,)
    with SqlStore(path) as store:
        assert store.run("last").id == SOUND


def test_a_schema_version_that_is_none(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("drop table kab_schema")
        raw.execute("create table kab_schema (version)")
        raw.execute("insert into kab_schema values ('two')")
    with pytest.raises(HostError, match="schema version is 'two'"):
        SqlStore(path)


def test_the_others_are_listed_and_the_damaged_one_is_named(path, monkeypatch, capsys):
    for variable in ("KAB_CACHE_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(path.parent / variable))
    monkeypatch.setenv("KAB_STATE_DIR", str(path.parent))
    put(path, "runs", "host", "{")
    assert run_command(["runs"]) == 0
    out, err = capsys.readouterr()
    assert SOUND in out
    assert DAMAGED not in out
    assert f"run {DAMAGED} in {path} is damaged: host: malformed JSON" in err
    assert "To remove it, and the runs inside it: sqlite3" in err
    assert run_command(["report", DAMAGED]) == 131
    put(path, "runs", "host", "{}")
    put(path, "decisions", "document", "{")
    assert run_command(["runs"]) == 0
    out, err = capsys.readouterr()
    [line] = [line for line in out.splitlines() if line.startswith(DAMAGED)]
    assert line.split()[-1] == "damaged"
    assert f"the decision of run {DAMAGED}" in err
