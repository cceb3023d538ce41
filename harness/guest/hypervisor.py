"""Starts guests through libvirt, and removes them whatever happens."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from harness import interruption
from harness.errors import BootError, CrashError, GuestLostError, HostError, KabError, KernelError, UserspaceError
from harness.guest.connection import Connection, libvirt_errors
from harness.guest.console import Capture, Console
from harness.guest.domain import DomainParts, domain_xml
from harness.guest.keys import BootKeys
from harness.guest.machine import LibvirtGuest, ended, stopped
from harness.guest.qemuhost import QemuHost
from harness.guest.ssh import Session, SshError
from harness.host.leases import Lease
from harness.images.initramfs import boot_archive
from harness.model.arch import X86_64, Architecture
from harness.model.guest import BootPlan, DiskBackend
from harness.parse.console import FAILED_MARKER, INIT_MARKER, READY_MARKER, failure

_log = logging.getLogger(__name__)

# sshd listens when this begins; under emulation on a busy host the key exchange takes seconds.
_CONNECT_TIMEOUT_S = 30.0
_CONSOLE_END_S = 5.0
_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s")
# Removing a domain that is gone already is no error.
_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A domain whose first instruction has been let go."""

    domain_xml: str
    console: Console
    # Port of QEMU's host that is forwarded to the guest's sshd.
    port: int
    # time.monotonic() at QEMU's start.
    started: float


class LibvirtHypervisor:
    """Implements harness.interfaces.Hypervisor."""

    def __init__(self, connection: Connection, *, lease: Lease) -> None:
        self._connection = connection
        self._lease = lease

    @property
    def host(self) -> QemuHost:
        """Where the guests run."""
        return self._connection.host

    def is_stopped(self, name: str) -> bool:
        """Whether somebody has stopped the QEMU of a guest (SIGSTOP, a debugger): then its silence tells nothing."""
        return self.host.is_stopped(name)

    def conditions(self, architecture: Architecture = X86_64) -> dict[str, str]:
        """Versions that must not change inside a run of guests of `architecture`, and how QEMU is reached.

        Raises HostError, also where that architecture's QEMU is not installed.
        """
        versions = self._connection.versions()
        if architecture.machine != self.host.machine():
            # libvirt tells the version of the one for its own architecture.
            versions["qemu"] = _version(self.host.says_of_itself(self.host.emulator(architecture)))
        return {**versions, "connect": self._connection.uri}

    @contextmanager
    def boot(self, plan: BootPlan) -> Iterator[LibvirtGuest]:
        """Boot and connect; see harness.interfaces.Hypervisor.boot for what it raises."""
        keys = BootKeys.generate()
        with self.start(plan, keys) as started:
            console = started.console
            await_marker(plan, console, READY_MARKER, started.started + plan.boot_timeout_s, self.is_stopped)
            ready = time.monotonic()
            with self._connect(plan, started, keys) as session:
                yield LibvirtGuest(
                    plan,
                    domain_xml=started.domain_xml,
                    console=console,
                    session=session,
                    is_stopped=partial(self.is_stopped, plan.name),
                    boot_s=ready - started.started,
                    connect_s=time.monotonic() - ready,
                )

    @contextmanager
    def start(self, plan: BootPlan, keys: BootKeys) -> Iterator[Started]:
        """Start the domain with its console captured; leaving the context removes it. Raises HostError."""
        with self.host.lend(_write_initramfs(plan, keys)) as initramfs:
            there = replace(plan, kernel=self.host.share(plan.kernel), root_image=self.host.share(plan.root_image))
            with self._start(there, domain_xml(there, self._parts(there, initramfs))) as started:
                yield started

    def _parts(self, plan: BootPlan, initramfs: Path) -> DomainParts:
        confinements = self._connection.confinements
        return DomainParts(
            initramfs=initramfs,
            buffered=self._buffered(plan),
            emulator=self.host.emulator(plan.architecture),
            user=_label(self.host.user, confinements.get("dac")),
            unconfined=tuple(model for model in confinements if model != "dac"),
        )

    def _buffered(self, plan: BootPlan) -> frozenset[Path]:
        """Test disks in files whose filesystem refuses O_DIRECT, as tmpfs did before Linux 6.6."""
        files = [disk.path for disk in plan.disks if disk.path and disk.spec.backend is DiskBackend.FILE]
        found = [path for path in files if not self.host.takes_direct_io(path)]
        for path in found:
            _log.warning("%s: no direct I/O on this filesystem, the host's page cache stands in between", path)
        return frozenset(found)

    @contextmanager
    def _start(self, plan: BootPlan, xml: str) -> Iterator[Started]:
        console = Console(plan.scratch / "console.log")
        capture: Capture | None = None
        try:
            with self._domain(plan, xml) as (domain, began):
                unwatch = self._connection.watch(domain, console.ended)
                try:
                    with interruption.shielded(), libvirt_errors(f"start {plan.name}"):
                        capture = Capture(self._connection.libvirt, domain, console)
                        port = _ssh_port(domain)
                        domain.resume()
                    yield Started(domain_xml=xml, console=console, port=port, started=began)
                finally:
                    unwatch()
        finally:
            if capture is not None:
                capture.join(_CONSOLE_END_S)

    @contextmanager
    def _domain(self, plan: BootPlan, xml: str) -> Iterator[tuple[Any, float]]:
        flags = libvirt.VIR_DOMAIN_START_PAUSED
        if not self._connection.is_embedded:
            # The daemon sees our connection end. The embedded driver, which ends with us, has no such thing.
            flags |= libvirt.VIR_DOMAIN_START_AUTODESTROY
        mark = _mark(plan.name)
        # Listed before libvirt is called, and until nothing runs under that name, whatever libvirt says meanwhile.
        with self._lease.mark(mark):
            began = time.monotonic()
            domain: Any = None
            try:
                # A signal in here would leave a QEMU that nobody has a domain for.
                with interruption.shielded(), libvirt_errors(f"start a guest ({plan.name})"):
                    domain = self._connection.libvirt.createXML(xml, flags)
                yield domain, began
            finally:
                with interruption.shielded():
                    self._remove(plan.name, domain)

    def _remove(self, name: str, domain: Any) -> None:
        """Remove a guest; `domain` is None where libvirt gave none, which need not mean that there is none."""
        if self._connection.is_embedded and self.is_stopped(name):
            # libvirt would ask it to end for 10 s; the mark's end does not ask.
            self._lease.end(_mark(name))
        try:
            (domain or self._connection.libvirt.lookupByName(name)).destroy()
        except libvirt.libvirtError as error:
            # Without a domain, why there is none is told already.
            if domain is not None and error.get_error_code() not in _GONE:
                raise HostError(f"cannot remove the guest {name}: {error}") from error

    @contextmanager
    def _connect(self, plan: BootPlan, started: Started, keys: BootKeys) -> Iterator[Session]:
        try:
            connected = self.host.dial(started.port, timeout_s=_CONNECT_TIMEOUT_S)
            session = Session.with_guest(connected, keys, timeout_s=_CONNECT_TIMEOUT_S)
        except SshError as error:
            if started.console.has_crashed or started.console.is_over:
                raise as_boot_error(ended(plan.name, started.console, "connecting")) from error
            if self.is_stopped(plan.name):
                raise stopped(plan.name, "connecting") from error
            raise BootError(
                f"{plan.name}: sshd is up but does not answer: {error}", log=started.console.text()
            ) from error
        with session:
            yield session


def await_marker(
    plan: BootPlan, console: Console, marker: str, deadline: float, is_stopped: Callable[[str], bool]
) -> None:
    """Wait for the guest's init to write `marker`. Raises BootError, GuestLostError."""

    def decided() -> bool:
        return console.has_crashed or console.is_over or console.says(marker) or console.says(FAILED_MARKER)

    in_time = console.wait(decided, deadline - time.monotonic())
    # An init that gives up powers the guest off, which may be over before we look.
    gave_up = console.says(FAILED_MARKER) and not console.has_crashed and not console.says(marker)
    if not gave_up and (console.has_crashed or (console.is_over and not console.says(marker))):
        raise as_boot_error(ended(plan.name, console, "booting"))
    if console.says(marker):
        return
    if not in_time and is_stopped(plan.name):
        raise stopped(plan.name, "booting")
    text = console.text()
    if in_time:
        # The reason follows the marker on the same line, which may still be on its way.
        console.wait(lambda: "\n" in console.text().partition(FAILED_MARKER)[2], 1.0)
        raise BootError(f"{plan.name}: the guest's init gave up: {failure(console.text())}", log=console.text())
    reached = "its userspace is not ready" if INIT_MARKER in text else "did not reach userspace"
    raise BootError(f"{plan.name}: {reached} in {plan.boot_timeout_s:g} s", log=text)


def as_boot_error(error: KernelError | UserspaceError | GuestLostError) -> KabError:
    """A crash before the guest was ours is a failed boot; a lost guest stays one."""
    if isinstance(error, CrashError):
        return BootError(error.message, remedy=error.remedy, log=error.log)
    return error


def _write_initramfs(plan: BootPlan, keys: BootKeys) -> Path:
    path = plan.scratch / "initramfs"
    try:
        with path.open("wb") as whole:
            for archive in plan.initramfs:
                whole.write(archive.read_bytes())
                # The kernel takes the next archive at a multiple of 4 bytes (init/initramfs.c).
                whole.write(bytes(-whole.tell() % 4))
            whole.write(boot_archive(keys.files))
    except OSError as error:
        raise HostError(f"cannot write {path}: {error}", remedy="Is the disk full?") from error
    return path


def _mark(name: str) -> str:
    """As QEMU's command line has it: nobody else's does, not even that of somebody who looks at our logs."""
    return f"guest={name},"


def _label(user: str, usual: str | None) -> str:
    """A DAC label: our user, so that QEMU may have what is ours, in the daemon's group, which may have what is its."""
    if usual is None:
        return ""
    group = usual.partition(":")[2]
    return f"{user}:{group}" if group else user


def _version(said: str) -> str:
    """ "10.0.2" of what QEMU prints. Raises HostError."""
    found = re.search(r"version (\d+\.\d+\.\d+)", said)
    if found is None:
        raise HostError(f"QEMU does not tell its version: {said.strip()[:200]}")
    return found[1]


def _ssh_port(domain: Any) -> int:
    answer = libvirt_qemu.qemuMonitorCommand(domain, "info usernet", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    found = _FORWARD.search(answer)
    if found is None:
        raise HostError(f"QEMU does not tell its forwarded port:\n{answer}")
    return int(found[1])
