"""Guests are known by what they are where no lease lists them; what a living kab owns is left alone."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import await_words

from harness.host.leases import Lease, reclaim
from harness.host.paths import Paths

pytestmark = pytest.mark.unit


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(cache=tmp_path / "cache", state=tmp_path)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        with process:
            process.kill()


def start(programs: list["subprocess.Popen[bytes]"], name: str, *words: str) -> "subprocess.Popen[bytes]":
    """A process with the command line of `name`, which only waits."""
    script = "while read -r line; do :; done"
    process = subprocess.Popen([name, "-c", script, *words], executable=shutil.which("sh"), stdin=subprocess.PIPE)
    programs.append(process)
    await_words(process.pid, words[-1])
    return process


@pytest.mark.parametrize("name", ["/usr/bin/qemu-system-x86_64", "qemu-system-x86_64", "nbdkit"])
def test_a_guest_without_a_lease_is_found(paths: Paths, programs: list["subprocess.Popen[bytes]"], name: str) -> None:
    folder = paths.scratch / "kab-0123abcd"
    folder.mkdir(parents=True)
    guest = start(programs, name, "-initrd", f"{folder}/initramfs")
    removed = reclaim(paths)
    assert guest.wait(timeout=5) == -signal.SIGKILL
    assert [phrase for phrase in removed if f"process {guest.pid} ({Path(name).name} of kab-0123abcd" in phrase]
    assert str(folder) in removed
    assert not folder.exists()
    assert reclaim(paths) == []


def test_what_a_living_kab_owns_is_left_alone(paths: Paths, programs: list["subprocess.Popen[bytes]"]) -> None:
    with Lease(paths) as lease, lease.folder(paths.scratch / "kab-0123abcd") as folder:
        guest = start(programs, "qemu-system-x86_64", "-initrd", f"{folder}/initramfs")
        assert reclaim(paths) == []
        assert folder.is_dir()
        assert guest.poll() is None


def test_other_programs_that_look_at_a_guests_files_are_left_alone(
    paths: Paths, programs: list["subprocess.Popen[bytes]"]
) -> None:
    other = start(programs, "tail", f"{paths.scratch}/kab-0123abcd/console.log")
    elsewhere = start(programs, "qemu-system-x86_64", "-initrd", f"{paths.state}/mine/kab-0123abcd/initramfs")
    assert reclaim(paths) == []
    assert other.poll() is None
    assert elsewhere.poll() is None


def test_nothing_is_touched_where_a_living_lease_cannot_be_read(
    paths: Paths, programs: list["subprocess.Popen[bytes]"]
) -> None:
    with Lease(paths):
        (lease,) = paths.leases.glob("*.json")
        lease.write_text("{}")
        guest = start(programs, "nbdkit", f"{paths.scratch}/kab-0123abcd/nbd.sock")
        assert reclaim(paths) == []
        assert guest.poll() is None
