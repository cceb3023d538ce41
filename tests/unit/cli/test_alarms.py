"""`kab alarms` on the command line: what is listed, shown, acknowledged and closed."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import run as make_run
from nightly import ALARM, FIRST_NIGHT, kernel

from harness.cli.bisect import bisect, search_request
from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.model.alarm import Alarm, AlarmEvent, AlarmState
from harness.model.bisection import EdgeWish
from harness.store import SqlStore

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    with SqlStore(tmp_path / "state" / "results.sqlite") as opened:
        yield opened


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = ExitCode.GOOD) -> str:
    assert run_command(["alarms", *words]) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return told.out if status == ExitCode.GOOD else told.err


def test_none_yet(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["alarms"]) == ExitCode.GOOD
    assert "No alarm is open" in capsys.readouterr().err


def test_an_alarm_from_new_to_fixed(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.alarms.tell(ALARM)
    listed = said(capsys)
    for words in (
        "a1b2c3d4",
        "shared-dio/btrfs",
        "debian:6.12",
        "write_iops -4.9 %, worse",
        "new",
        "6.12.29",
        "6.12.30",
    ):
        assert words in listed
    assert listed == said(capsys, "list")
    mine = said(capsys, "acknowledge", "a1", "--owner", "qa@example.org", "--note", "asked the list")
    last = store.alarms.alarm("a1").events[-1]
    assert (last.state, last.owner, last.note) == (AlarmState.ACKNOWLEDGED, "qa@example.org", "asked the list")
    assert last.due is not None
    assert timedelta(days=2.9) < last.due - last.at < timedelta(days=5.1)
    assert f"acknowledged by qa@example.org until {last.due:%Y-%m-%d}" in mine
    assert mine.split(": ")[-1] in said(capsys)
    assert "fixed" in said(capsys, "close", "a1", "--as", "fixed", "--note", "6.12.40")
    assert "a1b2c3d4" not in said(capsys)
    assert "fixed" in said(capsys, "list", "--all")
    shown = said(capsys, "show", "a1")
    assert shown.index("new") < shown.index("acknowledged by qa") < shown.index("fixed: 6.12.40")


def test_one_that_is_overdue_is_listed_so(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    until = FIRST_NIGHT + timedelta(days=3)
    mine = AlarmEvent(state=AlarmState.ACKNOWLEDGED, at=FIRST_NIGHT, owner="qa", due=until)
    store.alarms.tell(replace(ALARM, events=(*ALARM.events, mine)))
    assert "acknowledged by qa, overdue since 2026-01-04" in said(capsys)


def test_what_to_do_about_it(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The search between both kernels asks for what the A/B measured, and is what `kab bisect` reads."""
    run = replace(
        make_run(),
        id=ALARM.confirmed_by,
        baseline=replace(ALARM.before, spec="debian:6.12.29"),
        candidate=replace(ALARM.after, spec="debian:6.12.30"),
        command=("kab", "ab", "debian:6.12.29", "debian:6.12.30", "--metric", "write_iops"),
        trials=(),
    )
    store.create_run(run)
    store.alarms.tell(ALARM)
    shown = said(capsys, "show", ALARM.id)
    for words in ("99 % interval x0.930 to 0.972", "write_clat_p99", "+10 %", ALARM.confirmed_by):
        assert words in shown
    [command] = [line.strip() for line in shown.splitlines() if line.startswith("  kab bisect")]
    words = shlex.split(command)[2:]
    assert words[:2] == ["debian:6.12.29+deb13-cloud-amd64", "debian:6.12.30+deb13-cloud-amd64"]
    context = bisect.make_context("bisect", ["run", *words])
    inner = bisect.commands["run"].make_context("run", words, parent=context)
    for name in ("progress", "destroy_data", "mail", "file", "ends"):
        inner.params.pop(name, None)
    asked = search_request((), None, inner.params)
    assert asked.edges is EdgeWish.REMOVED
    assert "kab ab debian:6.12.29+deb13-cloud-amd64 debian:6.12.30+deb13-cloud-amd64 --metric write_iops" in shown


def test_its_run_may_be_gone(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.alarms.tell(replace(ALARM, worse=False))
    shown = said(capsys, "show", ALARM.id)
    assert "is gone" in shown
    assert "kab bisect debian:6.12.29+deb13-cloud-amd64" in shown
    assert "--metric write_iops --edges restored" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "zz"), "there is no alarm zz"),
        (("acknowledge", "a1"), "--owner"),
        (("acknowledge", "a1", "--owner", " "), "owner is empty"),
        (("acknowledge", "a1", "--owner", "x" * 201), "201 characters, 200 at most"),
        (("acknowledge", "a1", "--owner", "qa", "--due", "2026-01-01"), "2026-01-01 is over"),
        (("acknowledge", "a1", "--owner", "qa", "--due", "tomorrow"), "tomorrow"),
        (("close", "a1", "--as", "gone", "--note", "x"), "gone"),
        (("close", "a1", "--as", "fixed"), "--note"),
        (("close", "a1", "--as", "fixed", "--note", ""), "note is empty"),
        (("lst",), "lst"),
    ],
)
def test_wrong_usage(
    words: tuple[str, ...], expected: str, store: SqlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.alarms.tell(ALARM)
    assert expected in said(capsys, *words, status=ExitCode.USAGE)
    assert store.alarms.alarm("a1").events == ALARM.events


def test_closed_is_closed(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.alarms.tell(ALARM)
    said(capsys, "close", "a1", "--as", "not-a-bug", "--note", "wanted")
    told = said(capsys, "acknowledge", "a1", "--owner", "qa", status=ExitCode.USAGE)
    assert "is not-a-bug and cannot become acknowledged" in told


def test_a_day_to_come_ends_at_its_end(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.alarms.tell(ALARM)
    day = datetime.now(UTC) + timedelta(days=9)
    said(capsys, "acknowledge", "a1", "--owner", "qa", "--due", f"{day:%Y-%m-%d}")
    due = store.alarms.alarm("a1").events[-1].due
    assert due is not None
    assert f"{due.astimezone():%Y-%m-%d %H:%M}" == f"{day:%Y-%m-%d} 23:59"


def test_terminals_obey_nothing_of_it(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\u202e"
    bad: Alarm = replace(
        ALARM,
        name=replace(ALARM.name, cell=hostile, matrix=hostile),
        before=replace(kernel(1), release=hostile),
        events=(replace(ALARM.events[0], note=hostile, owner=hostile),),
    )
    store.alarms.tell(bad)
    for words in ((), ("show", "a1")):
        told = said(capsys, *words)
        assert "\x1b" not in told
        assert "\u202e" not in told
