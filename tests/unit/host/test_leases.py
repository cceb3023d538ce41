"""Leases: listed before made, gone after close, reclaimed after kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import await_words

from harness.errors import HostError
from harness.host import reaper, watch
from harness.host.leases import Lease, reclaim
from harness.host.paths import Paths

pytestmark = pytest.mark.unit

OWNER = """
import subprocess, sys, time
from pathlib import Path
from harness.host.leases import Lease
from harness.host.paths import Paths
root = Path(sys.argv[1])
lease = Lease(Paths(cache=root / "cache", state=root))
lease.add_path(root / "scratch-of-owner")
(root / "scratch-of-owner" / "deep").mkdir(parents=True)
listed = subprocess.Popen(["sleep", "600"], start_new_session=True)
lease.add_process(listed.pid, "sleeper")
lease.add_mark(str(root / "marked"))
marked = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(root / "marked")],
                          start_new_session=True)
print(listed.pid, marked.pid, lease._reaper.pid, flush=True)
time.sleep(600)
"""


def start_owner(root: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(root)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(word) for word in owner.stdout.readline().split()]
    return owner, pids


def gone_within(pids: list[int], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(reaper.start_ticks(pid) is not None for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(cache=tmp_path / "cache", state=tmp_path)


def test_folder_lives_as_long_as_its_context(paths: Paths) -> None:
    with Lease(paths) as lease:
        with lease.folder(paths.scratch / "one") as folder:
            (folder / "file").write_text("content")
            assert folder.stat().st_mode & 0o777 == 0o700
            listed = [reaper.read_lease(path) for path in paths.leases.glob("*.json")]
            assert [content["paths"] for content in listed if content] == [[str(folder)]]
        assert not folder.exists()
    assert list(paths.leases.iterdir()) == []


def test_folder_of_somebody_else_is_left_alone(paths: Paths) -> None:
    (paths.scratch / "one").mkdir(parents=True)
    with Lease(paths) as lease, pytest.raises(HostError, match="exists already"), lease.folder(paths.scratch / "one"):
        pass
    assert (paths.scratch / "one").is_dir()


def test_close_ends_what_is_still_listed(paths: Paths) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    lease = Lease(paths)
    lease.add_process(sleeper.pid, "sleeper")
    lease.close()
    lease.close()
    assert sleeper.wait(timeout=5) == -signal.SIGKILL


def test_a_reused_pid_is_not_killed(paths: Paths) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    started = reaper.start_ticks(sleeper.pid)
    assert started is not None
    assert reaper.end_process(sleeper.pid, started - 1)
    assert sleeper.poll() is None
    assert reaper.end_process(sleeper.pid, started)
    assert sleeper.wait(timeout=5) == -signal.SIGKILL


def test_live_lease_is_not_reclaimed(paths: Paths) -> None:
    with Lease(paths) as lease, lease.folder(paths.scratch / "one") as folder:
        assert reclaim(paths) == []
        assert folder.is_dir()


def test_kill_9_of_the_owner_leaks_nothing(paths: Paths) -> None:
    owner, pids = start_owner(paths.state)
    owner.kill()
    owner.wait()
    assert gone_within(pids, 5.0)
    assert not (paths.state / "scratch-of-owner").exists()
    assert list(paths.leases.iterdir()) == []


def test_reclaim_when_the_reaper_died_too(paths: Paths) -> None:
    owner, (listed, marked, reaper_pid) = start_owner(paths.state)
    os.kill(reaper_pid, signal.SIGKILL)
    owner.kill()
    owner.wait()
    removed = reclaim(paths)
    assert any(phrase.startswith(f"process {listed} (sleeper") for phrase in removed)
    assert f"process {marked}" in removed
    assert str(paths.state / "scratch-of-owner") in removed
    assert gone_within([listed, marked], 5.0)
    assert reclaim(paths) == []


def test_processes_of_an_earlier_boot_are_not_touched(paths: Paths) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    left = paths.state / "left"
    left.mkdir()
    paths.leases.mkdir()
    entry = {"pid": sleeper.pid, "started": reaper.start_ticks(sleeper.pid), "name": "qemu"}
    lease = paths.leases / "1-old.json"
    reaper.write_lease(lease, {"boot_id": "other", "processes": [entry], "marks": [], "paths": [str(left)]})
    assert reclaim(paths) == [str(left)]
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


WHOLE = {"owner": 1, "boot_id": "other", "processes": [], "marks": [], "paths": []}


@pytest.mark.parametrize(
    "text",
    [
        '{"paths": ["/',
        "[" * 100_000,
        "[]",
        "{}",
        "null",
        "\x00",
        json.dumps(WHOLE | {"processes": None}),
        json.dumps(WHOLE | {"processes": [{"pid": 0, "started": None, "name": "everybody", "group": True}]}),
        json.dumps(WHOLE | {"processes": [{"pid": -1, "started": 1, "name": "everybody"}]}),
        json.dumps(WHOLE | {"processes": ["1"]}),
        json.dumps(WHOLE | {"marks": [""]}),
        json.dumps(WHOLE | {"marks": 7}),
        json.dumps(WHOLE | {"paths": [["/tmp"]]}),
        json.dumps(WHOLE | {"paths": ["relative"]}),
        json.dumps(WHOLE | {"boot_id": 1}),
    ],
)
def test_what_is_no_lease_is_put_aside_and_said(paths: Paths, text: str) -> None:
    paths.leases.mkdir()
    (paths.leases / "1-bad.json").write_text(text)
    (said,) = reclaim(paths)
    assert str(paths.leases / "1-bad.json") in said
    assert "put aside as 1-bad.unreadable" in said
    assert [path.name for path in paths.leases.iterdir()] == ["1-bad.unreadable"]
    assert (paths.leases / "1-bad.unreadable").read_text() == text
    assert reclaim(paths) == []


def test_a_lease_that_is_a_folder_is_put_aside(paths: Paths) -> None:
    (paths.leases / "1-bad.json").mkdir(parents=True)
    assert len(reclaim(paths)) == 1
    assert reclaim(paths) == []


def test_a_mark_stays_listed_while_something_runs_under_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"guest={paths.state.name},"
    with Lease(paths) as lease:
        with lease.mark(mark):
            sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mark])
            await_words(sleeper.pid, mark)
            monkeypatch.setattr(reaper, "end_process", lambda pid, started: False)
        (path,) = paths.leases.glob("*.json")
        assert (reaper.read_lease(path) or {})["marks"] == [mark]
        monkeypatch.undo()
    assert sleeper.wait(timeout=5) == -signal.SIGKILL


def test_a_reaper_that_dies_is_replaced(paths: Paths) -> None:
    with Lease(paths) as lease:
        first = lease._reaper.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: lease._reaper.pid != first)
        lease.add_path(paths.state / "thing")
        assert reaper.start_ticks(lease._reaper.pid) is not None
        lease.release(paths.state / "thing")
    assert list(paths.leases.iterdir()) == []


def test_a_reaper_that_cannot_live_stops_kab(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MOST_DEATHS", 0)
    with Lease(paths) as lease:
        os.kill(lease._reaper.pid, signal.SIGKILL)
        wait_until(lambda: not lease._reaper._thread.is_alive())
        with pytest.raises(HostError, match="does not stay alive"):
            lease.add_path(paths.state / "thing")


def test_a_stopped_reaper_does_not_keep_kab(paths: Paths) -> None:
    lease = Lease(paths)
    os.kill(lease._reaper.pid, signal.SIGSTOP)
    began = time.monotonic()
    lease.close()
    assert time.monotonic() - began < 4.0


def test_is_stopped(paths: Paths) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    assert not reaper.is_stopped(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGSTOP)
    wait_until(lambda: reaper.is_stopped(sleeper.pid))
    sleeper.kill()
    sleeper.wait()
    assert not reaper.is_stopped(sleeper.pid)


@pytest.mark.parametrize("path", ["/", "/home", "relative/path"])
def test_short_and_relative_paths_are_never_removed(path: str) -> None:
    assert reaper.remove_path(Path(path))
    assert Path("/").is_dir()


def test_marks_and_paths_are_checked(paths: Paths) -> None:
    with Lease(paths) as lease:
        with pytest.raises(ValueError, match="too short"):
            lease.add_mark("qemu")
        with pytest.raises(ValueError, match="absolute"):
            lease.add_path(Path("scratch"))
    with pytest.raises(HostError, match="closed"):
        lease.add_mark("long enough")
