"""Whose fault it is when a guest goes away, and what a trial makes of it: the kernel's, its userspace's, the host's."""

import time
from pathlib import Path
from types import SimpleNamespace

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BootError, CrashError, GuestLostError, UserspaceError
from harness.guest.console import Console
from harness.guest.hypervisor import await_marker
from harness.guest.machine import cut, ended
from harness.guest.ssh import SshError
from harness.model.trial import Outcome
from harness.parse.console import READY_MARKER, death
from harness.run.trial import outcome_of

pytestmark = pytest.mark.unit

READY = "KAB-INIT\r\nKAB-READY\r\n"
OOM = "[   12.000000] Out of memory: Killed process 93 ({name}) total-vm:1kB, anon-rss:1kB\r\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{READY}KAB-DIED sshd status 137\r\n", "sshd was killed by SIGKILL"),
        (f"{READY}KAB-DIED sshd status 255\r\n", "sshd ended with status 255"),
        (f"{READY}KAB-DIED sshd status 0\r\n", "sshd ended with status 0"),
        (f"{READY}KAB-DIED[   12.000000] ", "a program died"),
        (f"{READY}KAB-FAILED sshd died\r\n", "its init gave up: sshd died"),
        ("KAB-INIT\r\nKAB-FAILED no root disk\r\n", None),
        (READY, None),
    ],
)
def test_the_guests_init_says_what_died(text: str, said: str | None) -> None:
    assert death(text) == said


@given(st.text() | st.text(alphabet="KAB-DIED READY status 0123456789\n").map(lambda text: f"KAB-DIED {text}"))
def test_any_text_whatever_may_stand_there(text: str) -> None:
    death(text)


def console(folder: Path, text: str, *, gone: bool = True) -> Console:
    made = Console(folder / "console.log")
    made.feed(text.encode())
    if gone:
        made.ended(libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)
        made.close()
    return made


def test_a_killed_sshd_is_not_the_kernels_fault(tmp_path: Path) -> None:
    error = ended("guest", console(tmp_path, f"{READY}KAB-DIED sshd status 137\r\n"), "running `fio`")
    assert isinstance(error, UserspaceError)
    assert error.message == "guest: the guest's userspace died while running `fio`: sshd was killed by SIGKILL"
    assert "KAB-DIED" in error.log
    assert outcome_of(error) is Outcome.USERSPACE_DIED


def test_what_the_kernel_killed_for_want_of_memory_is_named(tmp_path: Path) -> None:
    text = f"{READY}{OOM.format(name='sshd')}KAB-DIED sshd status 137\r\n"
    error = ended("guest", console(tmp_path, text), "running `fio`")
    assert isinstance(error, UserspaceError)
    assert "sshd was killed by SIGKILL; Out of memory: Killed process 93 (sshd)" in error.message
    alive = console(tmp_path, f"{READY}{OOM.format(name='sshd-session')}", gone=False)
    error = cut("guest", alive, "running `fio`", SshError("gone"))
    assert isinstance(error, UserspaceError)
    assert "(sshd-session)" in error.message


def test_a_crash_that_takes_sshd_along_is_the_kernels(tmp_path: Path) -> None:
    text = f"{READY}[    9.000000] kernel BUG at fs/x.c:1!\r\nKAB-DIED sshd status 137\r\n"
    assert isinstance(ended("guest", console(tmp_path, text), "running `fio`"), CrashError)


def test_a_line_of_a_program_between_the_kernels_is_no_crash(tmp_path: Path) -> None:
    running = console(tmp_path, f"[    1.000000] a kernel's line\r\n{READY}", gone=False)
    running.feed(b"BUG: my program met a case that cannot be\r\n")
    assert not running.has_crashed
    running.feed(b"[    2.000000] BUG: something that no table knows\r\n")
    assert running.has_crashed


def test_without_a_word_it_is_as_before(tmp_path: Path) -> None:
    assert isinstance(ended("guest", console(tmp_path, READY), "running `fio`"), CrashError)
    alive = console(tmp_path, READY, gone=False)
    assert isinstance(cut("guest", alive, "running `fio`", SshError("gone")), GuestLostError)


def test_an_init_that_gave_up_is_named_though_the_guest_is_gone(tmp_path: Path) -> None:
    gone = console(tmp_path, "KAB-INIT\r\nKAB-FAILED no root disk\r\n")
    plan = SimpleNamespace(name="guest", boot_timeout_s=1.0)
    with pytest.raises(BootError, match="the guest's init gave up: no root disk"):
        await_marker(plan, gone, READY_MARKER, time.monotonic() + 1, lambda _: False)
