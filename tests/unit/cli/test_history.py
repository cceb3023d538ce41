"""`kab history` on the command line: which series are told, and where to."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import factories
import pytest
from nightly import ALARM

from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.lab.histories import cell_trends
from harness.lab.lab import Lab
from harness.model.experiment import Arm
from harness.model.matrix import Cell, MatrixPlan
from harness.model.run import Parent, SubrunRole
from harness.store import SqlStore

pytestmark = pytest.mark.unit

RNG = random.Random(3)
PLAN = MatrixPlan(
    title="nightly",
    cells=tuple(
        Cell(name=f"debian:7.2/shared/{fs}", axes={"series": "debian:7.2", "fs": fs}, experiment=factories.experiment())
        for fs in ("btrfs", "ext4")
    ),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    with SqlStore(tmp_path / "state" / "results.sqlite") as opened:
        yield opened


@pytest.fixture
def nights(store: SqlStore) -> SqlStore:
    """Three nights of two cells, four boots each."""
    for number in range(3):
        created = factories.STARTED + timedelta(days=number)
        store.matrices.create(factories.run(id=f"night-{number}", verb="nightly", created=created), PLAN)
        for cell in PLAN.cells:
            parent = Parent(run_id=f"night-{number}", role=SubrunRole.CELL, place=cell.name)
            run = factories.run(
                id=f"{number}-{cell.axes['fs']}",
                created=created,
                digest=f"{number} {cell.name}",
                parent=parent,
                conditions={"host_cpu": "old" if number < 2 else "new"},
            )
            store.create_run(run)
            for block in range(4):
                for order, arm in enumerate(Arm):
                    store.append_trial(run.id, factories.trial(arm, block, order, rng=RNG))
    return store


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = ExitCode.GOOD) -> str:
    assert run_command(["history", *words]) == status
    told = capsys.readouterr()
    return told.out if status == ExitCode.GOOD else told.err


def test_the_first_speed_of_every_cell(nights: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--workload", "shared-file")
    assert "shared/btrfs on debian:7.2: write_iops (1/s, higher is better), 3 nights" in text
    assert "shared/ext4 on debian:7.2: write_iops" in text
    assert "clat" not in text
    assert text.count("not comparable: host_cpu old -> new") == 2
    assert text.count("  4  ") >= 6


def test_patterns(nights: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--cell", "*/ext4", "--metric", "write_clat_p9*", "--series", "debian:*", "--matrix", "night*")
    assert [line.split(": ")[1].split()[0] for line in text.splitlines() if " on debian" in line] == [
        "write_clat_p99",
        "write_clat_p99_9",
    ]
    assert "btrfs" not in text


def test_files(nights: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "history.html"
    document = json.loads(said(capsys, "--cell", "shared/btrfs", "--json", "-", "--html", str(page)))
    [one] = document["series"]
    assert len(one["nights"]) == 3
    assert [len(night["values"]) for night in one["nights"]] == [4, 4, 4]
    assert "shared/btrfs on debian:7.2" in page.read_text()


def test_alarms_are_told_of_their_series_only(nights: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    [one] = [run for run in nights.runs() if run.id == "1-btrfs"]
    name = replace(ALARM.name, cell="shared/btrfs", series="debian:7.2")
    nights.alarms.tell(replace(ALARM, name=name, before=one.baseline, after=one.candidate))
    assert said(capsys, "--workload", "shared-file").count("alarm a1b2c3d4") == 1
    with Lab() as lab:
        [trend] = cell_trends(lab, matrix="nightly", cell="shared/btrfs", series="debian:7.2")
        assert [alarm.id for alarm in trend.alarms] == ["a1b2c3d4"]
        assert cell_trends(lab, matrix="nightly", cell="another", series="debian:7.2") == ()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--workload", "nothing"), "no night of workload nothing"),
        (("--cell", "nothing"), "There are: shared/btrfs, shared/ext4"),
        (("--series", "debian:6.12"), "There are: debian:7.2"),
        (("--metric", "iops"), "There are: cpu_per_io"),
        (("--nights", "0"), "--nights"),
        (("--html", "/proc/history.html"), "/proc"),
    ],
)
def test_wrong_usage(
    words: tuple[str, ...], expected: str, nights: SqlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["history", *words]) in {ExitCode.USAGE, ExitCode.HOST}
    told = capsys.readouterr().err
    assert expected in told
    assert "Traceback" not in told


def test_no_night_yet(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no night is stored yet" in said(capsys, status=ExitCode.USAGE)
