"""Signals that arrive while guests start, run and are waited for; and guests that somebody else has stopped."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import await_words

from harness import interruption
from harness.errors import BootError, GuestLostError, HangError
from harness.guest.console import Console
from harness.guest.hypervisor import LibvirtHypervisor, await_marker
from harness.guest.machine import LibvirtGuest
from harness.guest.ssh import CommandTimeoutError
from harness.host import reaper
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.model.guest import Accelerator, BootPlan, GuestSpec

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("taken_signals")]


@pytest.fixture
def plan(tmp_path: Path) -> BootPlan:
    return BootPlan(
        name=f"kab-{os.getpid():08x}",
        kernel=tmp_path / "kernel",
        initramfs=(),
        root_image=tmp_path / "root",
        guest=GuestSpec(),
        accelerator=Accelerator.TCG,
        scratch=tmp_path,
        boot_timeout_s=0.05,
    )


class Qemu:
    """libvirt, as far as a guest's start and end go; what it starts is a process with QEMU's words."""

    def __init__(self, name: str, signals: int) -> None:
        self.name, self.signals = name, signals
        self.process: subprocess.Popen[bytes] | None = None
        self.removed = False

    is_embedded = True
    libvirt = property(lambda self: self)

    @property
    def host(self) -> Any:
        return self

    def is_stopped(self, _name: str) -> bool:
        return False

    def createXML(self, _xml: str, _flags: int) -> Any:
        words = ["sh", "-c", "while read -r line; do :; done", f"guest={self.name},debug-threads=on"]
        self.process = subprocess.Popen(words, executable=shutil.which("sh"), stdin=subprocess.PIPE)
        await_words(self.process.pid, words[-1])
        for _ in range(self.signals):
            os.kill(os.getpid(), signal.SIGTERM)
        return self

    def lookupByName(self, _name: str) -> Any:
        raise AssertionError("the domain is known")

    def destroy(self) -> None:
        self.removed = True


def start(qemu: Qemu, lease: Lease, plan: BootPlan) -> None:
    with LibvirtHypervisor(qemu, lease=lease)._domain(plan, "<domain/>"):  # type: ignore[arg-type]
        raise AssertionError("nobody may go on with it")


@pytest.mark.parametrize("signals", [1, 3])
def test_a_signal_while_libvirt_starts_qemu_leaves_nothing(plan: BootPlan, tmp_path: Path, signals: int) -> None:
    qemu = Qemu(plan.name, signals)
    with Lease(Paths(cache=tmp_path / "cache", state=tmp_path / "state")) as lease:
        with pytest.raises(KeyboardInterrupt):
            start(qemu, lease, plan)
        # As at the end of a command: else the lease's end would raise it again.
        interruption.settle()
        assert qemu.removed
        assert qemu.process is not None
        with qemu.process as process:
            assert process.wait(timeout=5) == -signal.SIGKILL
        (path,) = lease.paths.leases.glob("*.json")
        assert (reaper.read_lease(path) or {})["marks"] == []


class Silent:
    """A session whose commands never end."""

    def run(self, _command: str, *, look: Callable[[], None], **_: Any) -> None:
        look()
        raise CommandTimeoutError


def guest(plan: BootPlan, *, stopped: bool) -> LibvirtGuest:
    console = Console(plan.scratch / "console.log")
    return LibvirtGuest(
        plan,
        domain_xml="",
        console=console,
        session=Silent(),  # type: ignore[arg-type]
        is_stopped=lambda: stopped,
        boot_s=1.0,
        connect_s=1.0,
    )


def test_a_stopped_qemu_is_no_hung_kernel(plan: BootPlan) -> None:
    with pytest.raises(GuestLostError, match="QEMU is stopped"):
        guest(plan, stopped=True).run("true", timeout_s=1.0)
    with pytest.raises(HangError):
        guest(plan, stopped=False).run("true", timeout_s=1.0)
    with pytest.raises(GuestLostError, match="QEMU is stopped"):
        guest(plan, stopped=True).shutdown(timeout_s=0.01)
    with pytest.raises(HangError):
        guest(plan, stopped=False).shutdown(timeout_s=0.01)


def test_a_qemu_that_is_stopped_while_it_boots_is_no_failed_boot(plan: BootPlan) -> None:
    console = Console(plan.scratch / "console.log")
    with pytest.raises(GuestLostError, match="QEMU is stopped"):
        await_marker(plan, console, "ready", time.monotonic(), lambda name: name == plan.name)
    with pytest.raises(BootError):
        await_marker(plan, console, "ready", time.monotonic(), lambda _: False)


def test_commands_and_waits_look(plan: BootPlan, swallow: Callable[[], None]) -> None:
    swallow()
    with pytest.raises(KeyboardInterrupt):
        guest(plan, stopped=False).run("true", timeout_s=1.0)
    with pytest.raises(KeyboardInterrupt):
        Console(plan.scratch / "console.log").wait(lambda: False, 60.0)


def test_a_wait_that_has_begun_looks_too(plan: BootPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(plan.scratch / "console.log")
    threading.Timer(0.1, lambda: monkeypatch.setattr(interruption._request, "number", signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        console.wait(lambda: False, 60.0)
    assert time.monotonic() - began < 5.0
