"""The host that QEMU runs on: how files get to it, and how its guests are reached. Here: this very host."""

import errno
import os
import platform
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

import paramiko

from harness.errors import HostError
from harness.guest.disks import HostDisks
from harness.guest.ssh import ssh_errors
from harness.host import process, reaper
from harness.host.leases import Lease
from harness.interfaces import Disks
from harness.model.arch import Architecture

KVM_DEVICE = Path("/dev/kvm")
_VERSION_TIMEOUT_S = 10.0
# What a connection to a guest's sshd runs over.
Stream: TypeAlias = socket.socket | paramiko.Channel


class Access(StrEnum):
    """Whether a device can be opened."""

    OPEN = "open"
    FORBIDDEN = "forbidden"
    MISSING = "missing"


class QemuHost(Protocol):
    """The host that QEMU runs on. Paths that its methods return are paths there."""

    @property
    def name(self) -> str:
        """For messages: "this host", or the other one's name."""

    @property
    def root(self) -> Path:
        """A folder of this host that stands for that host's root in looks at /proc and /sys."""

    @property
    def user(self) -> str:
        """Whom QEMU must run as to have what kab has there, as libvirt's DAC labels say it: ``+UID``."""

    def machine(self) -> str:
        """What its processors are, as uname -m says: guests of other architectures are emulated."""

    def emulator(self, architecture: Architecture) -> Path:
        """QEMU for guests of an architecture. Raises HostError when it is not installed."""

    def says_of_itself(self, program: Path) -> str:
        """What `program --version` prints. Raises HostError."""

    def kvm(self) -> Access:
        """Whether the user may open /dev/kvm; that tells nothing about whether it works."""

    def share(self, path: Path) -> Path:
        """Where a file that many boots use is found. Raises HostError."""

    def lend(self, path: Path) -> AbstractContextManager[Path]:
        """Where a file of one boot is found while the context lasts. Raises HostError."""

    def takes_direct_io(self, path: Path) -> bool:
        """Whether the filesystem of a file there knows O_DIRECT. Raises HostError."""

    def is_stopped(self, name: str) -> bool:
        """Whether the QEMU of the guest `name` is stopped, by a signal or a debugger."""

    def disks(self, *, destroy_data: str) -> Disks:
        """Makes test disks there."""

    def dial(self, port: int, *, timeout_s: float) -> Stream:
        """Connect to a port of its 127.0.0.1. Raises SshError (nobody answers), HostError."""

    def close(self) -> None:
        """Leave nothing there but what `share` may want again."""


class LocalHost:
    """Implements QemuHost: files are where they are."""

    name = "this host"
    root = Path("/")

    def __init__(self, lease: Lease, *, private_dev: bool) -> None:
        """`private_dev`: whether QEMU sees only the devices that libvirt knows of."""
        self._lease = lease
        self._private_dev = private_dev

    @property
    def user(self) -> str:
        """This process's."""
        return f"+{os.geteuid()}"

    def machine(self) -> str:
        """As uname -m says."""
        return platform.machine()

    def emulator(self, architecture: Architecture) -> Path:
        """QEMU for guests of an architecture. Raises HostError when it is not installed."""
        found = shutil.which(architecture.emulator)
        if found is None:
            raise process.missing_tool(architecture.emulator)
        return Path(found)

    def says_of_itself(self, program: Path) -> str:
        """What `program --version` prints. Raises HostError."""
        return process.run([program, "--version"], timeout_s=_VERSION_TIMEOUT_S).stdout

    def kvm(self) -> Access:
        """Whether this user may open /dev/kvm."""
        if not KVM_DEVICE.exists():
            return Access.MISSING
        return Access.OPEN if os.access(KVM_DEVICE, os.R_OK | os.W_OK) else Access.FORBIDDEN

    def share(self, path: Path) -> Path:
        """The same path."""
        return path

    @contextmanager
    def lend(self, path: Path) -> Iterator[Path]:
        """The same path."""
        yield path

    def takes_direct_io(self, path: Path) -> bool:
        """Whether O_DIRECT is known, which it was not to tmpfs before Linux 6.6. Raises HostError."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise HostError(f"cannot open the test disk {path}: {error}") from error
            return False
        return True

    def is_stopped(self, name: str) -> bool:
        """Whether the QEMU of the guest `name` is stopped, as /proc says."""
        return any(reaper.is_stopped(pid) for pid in reaper.marked_processes([f"guest={name},"]))

    def disks(self, *, destroy_data: str) -> Disks:
        """Test disks here."""
        return HostDisks(self._lease, destroy_data=destroy_data, private_dev=self._private_dev)

    def dial(self, port: int, *, timeout_s: float) -> socket.socket:
        """Connect. Raises SshError."""
        with ssh_errors():
            connected = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected

    def close(self) -> None:
        """Nothing to leave."""
