"""A database of an older kab, migrated: the same runs, searches and identities; a copy is kept; all or nothing."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ladders import VERSIONS as KERNELS
from ladders import World, kernel, loop, request
from olddatabases import VERSIONS, dumped, put_old, read_then, told
from sqlalchemy import create_engine

from harness.bisect.evidence import Evidence
from harness.bisect.fold import stand
from harness.bisect.view import view_of
from harness.config import build_experiment, find_experiment, load_experiment, load_workloads, request_from_options
from harness.errors import ConfigError, HostError
from harness.model.bisection import Answer, BisectionOutcome, BisectionPlan, IdenticalBuild, Mark
from harness.model.run import RunState, SubrunRole
from harness.parse.plainjson import from_plain, to_plain
from harness.plan import experiment_digest
from harness.render.jobidentity import job_condition
from harness.report.search.bisectlog import read_log, write_log
from harness.run.ab import AbRequest
from harness.run.bisect import BisectRequest
from harness.run.evidence import stored_evidence
from harness.store import SqlStore
from harness.store.migrate import alembic_config
from harness.store.schema import SCHEMA_VERSION, metadata, revision_of
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

OPEN_AB, OPEN_SEARCH, NOTED = "20261122-0102-open-0", "20261122-0104-open-0", "20261122-0105-noted-0"
COMMITS = "20261122-0106-commits-0"
CONDITIONS = {"accelerator": "tcg", "image": "trixie-fio 4fd1c0", "kab": "0.2.0"}


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def path(version, tmp_path):
    return put_old(version, tmp_path / "results.sqlite")


@pytest.fixture
def second(tmp_path):
    """One of version 2."""
    return put_old(2, tmp_path / "results.sqlite")


def parts_of(then):
    """Run -> the search that it was noted in, role and place."""
    return {
        part["run_id"]: (search, part["role"], f"{part['before']}-{part['after']}")
        for search, kept in then["searches"].items()
        for part in kept["parts"]
    }


def test_runs_are_what_they_were(version: int, path: Path) -> None:
    then = read_then(version)
    parts = parts_of(then)
    with SqlStore(path) as store:
        assert [run.id for run in reversed(store.runs(1000))] == list(then["runs"])
        assert store.run("last").id == then["last"]
        for name, expected in then["runs"].items():
            run = store.run(name)
            assert (run.parent is None) == (name not in parts)
            if run.parent is not None:
                assert (run.parent.run_id, run.parent.role, run.parent.place) == parts[name]
                # Up to version 2 it stood there.
                said = expected["conditions"].pop("part of") if version < 3 else None
                assert said is None or said == f"{run.parent.run_id} ({run.parent.role})"
            assert told(store, run) == expected


def test_searches_are_what_they_were(version: int, path: Path) -> None:
    then = read_then(version)
    with SqlStore(path) as store:
        kept = store.bisections
        for name, expected in then["searches"].items():
            assert kept.plan(name) == from_plain(BisectionPlan, expected["plan"])
            outcome = expected["outcome"] and from_plain(BisectionOutcome, expected["outcome"])
            assert kept.outcome(name) == outcome
            assert kept.marks(name) == tuple(from_plain(Mark, mark) for mark in expected["marks"])
            assert kept.identical_builds(name) == tuple(from_plain(IdenticalBuild, one) for one in expected["twins"])
            # What was noted and never made is made again.
            made = [part for part in expected["parts"] if part["run_id"] in then["runs"]]
            assert to_plain(kept.subruns(name)) == made
    assert len(then["searches"]) == (3 if version == 1 else 4)


def shown(evidence: Evidence):
    """Where a search stands; without probabilities, and with them."""
    view = to_plain(view_of(evidence.plan, stand(evidence, METRICS)))
    del view["plan"]
    del view["blocked"]
    upcoming = view.pop("next")
    return split({**view, "next_rung": upcoming and upcoming["rung"]})


def split(view):
    floats = [view.pop("probability"), *((0 if one is None else one) for one in view.pop("slow"))]
    return view, floats


def then_shown(view):
    # The sentence, which has figures in it, is reports' now.
    said, floats = split({name: value for name, value in view.items() if name != "reason"})
    return said, pytest.approx(floats, abs=1e-6)


def test_searches_stand_where_they_stood(second: Path) -> None:
    with SqlStore(second) as store:
        for name, expected in read_then(2)["searches"].items():
            run, plan = store.run(name), store.bisections.plan(name)
            assert plan is not None
            evidence = stored_evidence(store, store.bisections, run, plan)
            assert shown(evidence) == then_shown(expected["view"])
            assert read_log(write_log(name, evidence)) == read_log(expected["log"])


def test_logs_of_searches_are_read() -> None:
    for expected in read_then(2)["searches"].values():
        read = read_log(expected["log"])
        assert shown(read) == then_shown(expected["view"])
        assert read_log(write_log("x", read)) == read
    for expected in read_then(1)["searches"].values():
        read = read_log(expected["log"])
        assert read.plan == from_plain(BisectionPlan, expected["plan"])
        proofs = [(part["role"], part["before"], part["after"]) for part in expected["parts"]]
        assert {(str(part.role), part.before, part.after) for part, _, _ in read.proofs} <= set(map(tuple, proofs))


def test_the_same_experiment_has_the_same_identity(version: int, path: Path) -> None:
    """Of every run: what is stored of it gives, today, the digest that it was stored with."""
    compared: set[tuple[str, str | None, str]] = set()
    with SqlStore(path) as store:
        for run in store.runs(1000):
            kernels = [replace(kernel(side.spec), digest=side.digest) for side in (run.baseline, run.candidate)]
            if run.verb == "ab":
                found = AbRequest(
                    experiment=run.experiment, baseline=kernels[0], candidate=kernels[1], conditions=run.conditions,
                    host={}, command=(), parent=run.parent,
                ).digest  # fmt: skip
            elif run.verb == "bisect" and version == 1:
                # Plans have had more in them since, so that the identity of searches changed with version 2.
                continue
            elif run.verb == "bisect":
                plan = store.bisections.plan(run.id)
                assert plan is not None
                found = BisectRequest(
                    experiment=run.experiment, plan=plan, first=kernels[0], last=kernels[1], conditions=run.conditions,
                    host={}, command=(), repeat=lambda _: (), max_boots=60,
                ).digest  # fmt: skip
            else:
                found = experiment_digest(
                    run.experiment,
                    baseline_digest="20261122-0101-done-0",
                    candidate_digest=run.candidate.digest,
                    conditions=run.conditions,
                )
            assert found == run.digest, run.id
            compared.add((run.verb, run.parent and run.parent.role, run.state))
            if run.state is RunState.OPEN:
                again = store.unfinished(found)
                assert again is not None
                assert again.id == run.id
    assert {
        ("ab", None, RunState.OPEN),
        ("ab", SubrunRole.PROOF, RunState.OPEN),
        *([("bisect", None, RunState.OPEN)] if version > 1 else []),
        ("test", None, RunState.FINISHED),
        ("ab", SubrunRole.ENDS, RunState.FINISHED),
    } <= compared


@pytest.mark.parametrize(("name", "digest"), sorted(read_then(2)["digests"].items()))
def test_what_a_user_can_name_has_the_same_identity(name: str, digest: str) -> None:
    """Command lines and files of kab's own, as far as to the digest that the code of before made of them."""
    asked = request_from_options(json.loads(name)) if name.startswith("{") else load_experiment(find_experiment(name))
    experiment = build_experiment(asked, load_workloads())
    conditions = {**CONDITIONS, **job_condition(experiment.workload)}
    found = experiment_digest(
        experiment, baseline_digest="ab" * 32, candidate_digest="cd" * 32, conditions=conditions
    )  # fmt: skip
    assert found == digest


def asked_of_the_search(metric: str):
    return replace(request(metric=metric), conditions=CONDITIONS)


def test_an_open_search_goes_on(second: Path) -> None:
    with SqlStore(second) as store:
        before = {run.id: len(store.run(run.id).trials) for run in store.runs(1000)}
        world = World()
        run, outcome = loop(store, world).execute(asked_of_the_search("queue_depth"))
        assert run.id == OPEN_SEARCH
        assert outcome.answer is Answer.FOUND, outcome.reason
        subruns = store.bisections.subruns(run.id)
        # Its ends stand, and the proof in the middle of which it was killed went on.
        assert [part.run_id for part in subruns[:2]] == ["20261122-0104-open-1", "20261122-0104-open-2"]
        assert len(store.run(subruns[0].run_id).trials) == before[subruns[0].run_id]
        assert len(store.run(subruns[1].run_id).trials) > before[subruns[1].run_id]
        assert store.run(subruns[1].run_id).state is RunState.FINISHED
        boots = [len(store.run(name).trials) for name in (run.id, *(part.run_id for part in subruns))]
        assert sum(boots) == len(world.made) + sum(before.get(part.run_id, 0) for part in subruns) + before[run.id]


def test_a_subrun_that_was_noted_and_never_made_is_made(second: Path) -> None:
    with SqlStore(second) as store:
        assert store.bisections.subruns(NOTED) == ()
        run, _ = loop(store, World()).execute(asked_of_the_search("write_iops"))
        assert run.id == NOTED
        assert [part.role for part in store.bisections.subruns(NOTED)][:2] == [SubrunRole.ENDS, SubrunRole.PROOF]


def test_an_open_comparison_goes_on(second: Path) -> None:
    older, newer = kernel(f"debian:{KERNELS[0]}"), kernel(f"debian:{KERNELS[5]}")
    experiment = replace(
        request().experiment, baseline=older.spec, candidate=newer.spec, seed=None, margin=0.03
    )  # fmt: skip
    with SqlStore(second) as store:
        run, decision = loop(store, World()).ab.execute(
            AbRequest(
                experiment=experiment, baseline=older, candidate=newer, conditions=CONDITIONS, host={}, command=()
            )
        )
        assert run.id == OPEN_AB
        assert decision.final
        assert len(run.trials) > 5


def test_a_copy_is_kept(version: int, path: Path) -> None:
    before = dumped(path)
    path.chmod(0o640)
    notes: list[str] = []
    SqlStore(path, note=notes.append).close()
    backup = path.with_name(f"results.sqlite.schema-{version}.backup")
    assert dumped(backup) == before
    assert backup.stat().st_mode & 0o777 == 0o640
    assert [note.endswith(f"kept in {backup}") for note in notes] == [True]
    # Once: it is up to date now.
    SqlStore(path, note=notes.append).close()
    assert len(notes) == 1
    assert sorted(one.name for one in path.parent.iterdir()) == ["results.sqlite", backup.name]
    # Back again, and forth: no copy takes the place of another one.
    path.write_bytes(backup.read_bytes())
    SqlStore(path, note=notes.append).close()
    assert dumped(path.with_name(f"{backup.name}-2")) == before
    assert dumped(backup) == before


def test_what_is_in_the_write_ahead_log_is_in_the_copy(second: Path) -> None:
    with closing(sqlite3.connect(second, isolation_level=None)) as raw:
        raw.execute("update runs set kab_version = '0.2.0+log' where id = ?", (OPEN_AB,))
        assert second.with_name("results.sqlite-wal").stat().st_size
        before = list(raw.iterdump())
        SqlStore(second).close()
    assert dumped(second.with_name("results.sqlite.schema-2.backup")) == before


def test_without_a_copy_nothing_is_changed(second: Path) -> None:
    before = dumped(second)
    (second.parent / "results.sqlite.schema-2.backup.part").mkdir()
    with pytest.raises(HostError, match=r"cannot be copied to results\.sqlite\.schema-2\.backup.*version 2") as raised:
        SqlStore(second)
    assert "the kab that wrote it reads it" in raised.value.remedy
    assert dumped(second) == before


def test_what_may_not_be_written_is_said(second: Path) -> None:
    before = dumped(second)
    with pytest.raises(HostError, match=rf"is read-only .*is version 2, and this kab needs {SCHEMA_VERSION}") as raised:
        SqlStore(f"sqlite:///file:{second}?mode=ro&uri=true")
    assert "writable for this user" in raised.value.remedy
    assert dumped(second) == before


@pytest.mark.parametrize(
    "damage", ["update alembic_version set version_num = '0099'", "update kab_schema set version = 99"]
)
def test_a_newer_schema_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "results.sqlite"
    SqlStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(damage)
    before = dumped(path)
    with pytest.raises(ConfigError, match=rf"version 99, this kab knows {SCHEMA_VERSION}") as raised:
        SqlStore(path)
    assert "newer kab" in raised.value.remedy
    assert dumped(path) == before


@pytest.mark.parametrize("value", ["'three'", "''", "'\u0661'", "x'ff'"])
def test_a_revision_that_is_none(tmp_path: Path, value: str) -> None:
    path = tmp_path / "results.sqlite"
    SqlStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(f"update alembic_version set version_num = {value}")
    with pytest.raises(HostError, match="schema version is"):
        SqlStore(path)


def test_the_kab_of_before_refuses_what_was_migrated(second: Path) -> None:
    """It reads this number, and says that a newer kab wrote it."""
    SqlStore(second).close()
    with closing(sqlite3.connect(second)) as raw:
        assert raw.execute("select version from kab_schema").fetchall() == [(3,)]


def test_a_damaged_row_does_not_stand_in_the_way(second: Path) -> None:
    with closing(sqlite3.connect(second, isolation_level=None)) as raw:
        raw.execute("update runs set conditions = '{' where id = '20261122-0104-open-1'")
        raw.execute("update runs set conditions = x'7b22ff' where id = '20261122-0103-packages-1'")
        raw.execute("update bisection_parts set role = 'main' where part_id = '20261122-0103-packages-2'")
    with SqlStore(second) as store:
        assert len(store.damaged()) == 3
        assert len(store.runs()) == len(read_then(2)["runs"]) - 3
        assert store.run(COMMITS).state is RunState.FINISHED


@pytest.mark.parametrize("start", [None, *VERSIONS])
def test_migrations_and_tables_agree(start: int | None, tmp_path: Path) -> None:
    """What the migrations make of nothing, and of each old database, is what a new database has."""
    path = tmp_path / "results.sqlite"
    if start is None:
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "head")
        engine.dispose()
    else:
        SqlStore(put_old(start, path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        told_apart = compare_metadata(
            MigrationContext.configure(
                connection,
                opts={
                    "compare_type": True,
                    "include_name": lambda name, *_: name != "alembic_version",
                    # That is PostgreSQL's only.
                    "include_object": lambda _item, name, *_: name != "values_of_series",
                },
            ),
            metadata,
        )
        # Of keys that stand beside their column SQLAlchemy does not read what a removal does: see below.
        kinds = [one[0] for one in told_apart if getattr(one[1], "name", "") != "alembic_version"]
        assert set(kinds) <= {"add_fk", "remove_fk"}
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    engine.dispose()
    SqlStore(tmp_path / "new.sqlite").close()
    columns = "select m.name, c.* from sqlite_master m, pragma_table_info(m.name) c order by 1, 2"
    keys = "select m.name, f.* from sqlite_master m, pragma_foreign_key_list(m.name) f order by 1, 2"
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(tmp_path / "new.sqlite")) as new:
        for query in (columns, keys, "select version_num from alembic_version", "select version from kab_schema"):
            assert old.execute(query).fetchall() == new.execute(query).fetchall()


def test_the_last_migration_makes_the_version_of_today(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        assert scripts.get_current_head() == revision_of(SCHEMA_VERSION)
        made = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    engine.dispose()
    assert made == [revision_of(number + 1) for number in range(SCHEMA_VERSION)]


def test_a_search_takes_its_subruns_along(second: Path) -> None:
    with SqlStore(second) as store:
        inside = {part.run_id for part in store.bisections.subruns(COMMITS)}
        others = {run.id for run in store.runs(1000)} - inside - {COMMITS}
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM runs WHERE id = ?", (COMMITS,))
        assert len(inside) == 5
        assert {run.id for run in store.runs(1000)} == others
