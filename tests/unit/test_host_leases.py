"""Leases: listed before made, gone after close, reclaimed after kill -9."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.host import reaper
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


def test_damaged_lease_is_dropped(paths: Paths) -> None:
    paths.leases.mkdir()
    (paths.leases / "1-bad.json").write_text('{"paths": ["/')
    assert reclaim(paths) == ["damaged lease 1-bad.json"]
    assert list(paths.leases.iterdir()) == []


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
