"""Series over the nights: which boots are values of what, in which order, and what is left out."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import factories
import pytest

from harness.model.alarm import SeriesName
from harness.model.experiment import Arm
from harness.model.matrix import Cell, MatrixPlan
from harness.model.run import Parent, SubrunRole
from harness.model.trial import Outcome
from harness.store import SqlStore

pytestmark = pytest.mark.unit

RNG = random.Random(3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def plan(*labels: str, title: str = "nightly") -> MatrixPlan:
    """Cells of each series: labels begin names, as `kab nightly` plans them."""
    return MatrixPlan(
        title=title,
        cells=tuple(
            Cell(name=f"{label}/shared/{fs}", axes={"series": label, "fs": fs}, experiment=factories.experiment())
            for label in labels
            for fs in ("btrfs", "ext4")
        ),
    )


def night(store: SqlStore, number: int, planned: MatrixPlan, *, verb: str = "nightly", boots: int = 2) -> str:
    """A night that measured every cell, some hours after the one before; the id of its matrix."""
    matrix = f"night-{number}"
    created = factories.STARTED + timedelta(days=number)
    store.matrices.create(factories.run(id=matrix, verb=verb, created=created, digest=matrix), planned)
    for place, cell in enumerate(planned.cells):
        parent = Parent(run_id=matrix, role=SubrunRole.CELL, place=cell.name)
        made = factories.run(id=f"{matrix}-{place}", created=created, digest=f"{matrix}-{place}", parent=parent)
        store.create_run(made)
        for block in range(boots):
            for order, arm in enumerate(Arm):
                store.append_trial(made.id, factories.trial(arm, block, order, rng=RNG))
    return matrix


def medians(store: SqlStore, run_id: str, metric: str) -> tuple[float, ...]:
    """Of the candidate's boots."""
    return tuple(
        sorted(trial.samples[metric])[1]
        for trial in store.run(run_id).trials
        if trial.place.written.arm is Arm.CANDIDATE
    )


def test_one_value_for_each_boot_of_the_candidate(store: SqlStore) -> None:
    planned = plan("debian:6.12", "debian:7.2")
    for number in range(3):
        night(store, number, planned)
    found = store.history.nights(metric="write_iops")
    assert list(found) == [
        SeriesName(matrix="nightly", cell=f"shared/{fs}", series=series, metric="write_iops")
        for fs in ("btrfs", "ext4")
        for series in ("debian:6.12", "debian:7.2")
    ]
    for name, kept in found.items():
        place = [cell.name for cell in planned.cells].index(f"{name.series}/{name.cell}")
        assert [one.run_id for one in kept] == [f"night-{number}-{place}" for number in range(3)]
        for one in kept:
            run = store.run(one.run_id)
            assert one.values == medians(store, one.run_id, "write_iops")
            assert (one.created, one.kernel, dict(one.conditions)) == (run.created, run.candidate, run.conditions)


def test_only_what_is_asked_for(store: SqlStore) -> None:
    night(store, 0, plan("debian:6.12", "debian:7.2"))
    night(store, 1, plan("debian:7.2", title="weekly"), verb="run")
    history = store.history

    def titles(**wanted: str) -> set[tuple[str, str, str]]:
        found = history.nights(metric="queue_depth", **wanted)
        listed = {name for name in history.series(**wanted) if name.metric == "queue_depth"}
        assert listed == set(found)
        return {(name.matrix, name.cell, name.series) for name in found}

    assert len(titles()) == 6
    assert {one[0] for one in titles(matrix="weekly")} == {"weekly"}
    assert titles(cell="shared/btrfs", series="debian:7.2", matrix="nightly") == {
        ("nightly", "shared/btrfs", "debian:7.2")
    }
    assert len(titles(workload="shared-file")) == 6
    assert titles(workload="wal") == set()
    assert history.nights(metric="no_such") == {}
    assert {name.metric for name in history.series()} == set(factories.CENTRES)


def test_a_matrix_without_series_follows_what_the_candidate_was_asked_as(store: SqlStore) -> None:
    planned = MatrixPlan(title="gate", cells=(Cell(name="cell", axes={}, experiment=factories.experiment()),))
    night(store, 0, planned, verb="gate")
    assert set(store.history.nights(metric="write_iops")) == {
        SeriesName(matrix="gate", cell="cell", series="debian:7.2", metric="write_iops")
    }


def test_of_a_matrix_of_one_cell_the_series_is_the_whole_name(store: SqlStore) -> None:
    cell = Cell(name="debian:6.12", axes={"series": "debian:6.12"}, experiment=factories.experiment())
    night(store, 0, MatrixPlan(title="small", cells=(cell,)))
    [name] = store.history.nights(metric="write_iops")
    assert (name.cell, name.series) == ("", "debian:6.12")


def test_other_runs_are_followed_by_nobody(store: SqlStore) -> None:
    night(store, 0, plan("debian:6.12"), boots=0)
    boot = factories.trial(Arm.CANDIDATE, 0, 0, rng=RNG)
    parents = {
        "alone": None,
        "confirmation": Parent(run_id="night-0", role=SubrunRole.CONFIRMATION, place="debian:6.12/shared/btrfs"),
        "unplanned": Parent(run_id="night-0", role=SubrunRole.CELL, place="what no plan names"),
    }
    for name, parent in parents.items():
        store.create_run(factories.run([boot], id=name, digest=name, parent=parent))
    for trial in (
        factories.failed(boot.spec, Outcome.CRASHED, "it broke"),
        replace(
            boot, samples={"write_iops": (float("nan"), float("inf"))}, spec=factories.block_spec(1, 0, Arm.CANDIDATE)
        ),
    ):
        store.append_trial("night-0-0", trial)
    assert store.history.series() == ()
    assert store.history.nights(metric="write_iops") == {}


def test_nights_are_in_order_of_time_whatever_was_stored_first(store: SqlStore) -> None:
    for number in (2, 0, 1):
        night(store, number, plan("debian:6.12"))
    for kept in store.history.nights(metric="write_iops").values():
        assert [one.run_id.split("-")[1] for one in kept] == ["0", "1", "2"]


def test_a_run_is_made_with_its_boots(store: SqlStore) -> None:
    night(store, 0, plan("debian:6.12"), boots=0)
    parent = Parent(run_id="night-0", role=SubrunRole.CELL, place="debian:6.12/shared/btrfs")
    with closing(sqlite3.connect(str(store._name), isolation_level=None)) as raw:
        raw.execute("DELETE FROM runs WHERE parent IS NOT NULL")
    store.create_run(factories.run(factories.blocks(2), id="again", digest="again", parent=parent))
    [kept] = store.history.nights(metric="write_iops").values()
    assert [(one.run_id, len(one.values)) for one in kept] == [("again", 2)]


@pytest.mark.parametrize("title", ["Night \0 of \ud800", "ü" * 5000])
def test_any_title_is_one(store: SqlStore, title: str) -> None:
    night(store, 0, plan("debian:6.12", title=title))
    assert {name.matrix for name in store.history.nights(metric="write_iops", matrix=title)} == {title}


@pytest.mark.parametrize("column", ["candidate", "conditions", "created"])
@pytest.mark.parametrize("damage", ["'{'", "x'7b22ff'", "''", "'[1]'"])
def test_a_damaged_night_hides_no_other(store: SqlStore, column: str, damage: str) -> None:
    for number in range(2):
        night(store, number, plan("debian:6.12"))
    with closing(sqlite3.connect(str(store._name), isolation_level=None)) as raw:
        raw.execute(f"UPDATE runs SET {column} = {damage} WHERE id = 'night-0-0'")
    kept = list(store.history.nights(metric="write_iops").values())
    assert [[one.run_id for one in nights] for nights in kept] == [["night-1-0"], ["night-0-1", "night-1-1"]]


def test_what_is_removed_is_followed_no_more(store: SqlStore) -> None:
    for number in range(2):
        night(store, number, plan("debian:6.12"))
    with closing(sqlite3.connect(str(store._name), isolation_level=None)) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("DELETE FROM runs WHERE id = 'night-0'")
        assert raw.execute("SELECT count(*) FROM nights").fetchone() == (2,)
    for kept in store.history.nights(metric="write_iops").values():
        assert [one.run_id.split("-")[1] for one in kept] == ["1"]


def test_matrices_of_a_title_the_newest_first(store: SqlStore) -> None:
    planned = plan("debian:6.12")
    for number in (2, 0, 1):
        night(store, number, planned)
    night(store, 3, planned, verb="gate")
    night(store, 4, plan("debian:6.12", title="another"))
    # One of which no cell was begun.
    store.matrices.create(factories.run(id="empty", verb="nightly", digest="empty"), planned)
    assert store.history.matrices("nightly", verb="nightly") == ("night-2", "night-1", "night-0")
    assert store.history.matrices("nightly", verb="gate") == ("night-3",)
    assert store.history.matrices("none", verb="nightly") == ()
