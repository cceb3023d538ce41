"""Test disks on another host: raw files and NBD exports there; none of its block devices."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import paramiko

from harness.errors import ConfigError, GuestLostError, HostError
from harness.guest.disks import check_kind, check_room, check_serial, no_disk
from harness.guest.nbd import nbdkit_argv
from harness.model.guest import AttachedDisk, CommandResult, DiskBackend, DiskBus, DiskSpec

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
# Status of the script below for a server that did not live until it was told to end.
_DIED = 77

# $1: socket; the rest: nbdkit's command line. Lives as long as the connection, which holds its standard input.
_SERVE = """
socket=$1
shift
if ! command -v nbdkit >/dev/null; then echo missing; exit 1; fi
"$@" & server=$!
until [ -S "$socket" ]; do kill -0 $server || exit 1; sleep 0.05; done
echo ready
cat >/dev/null
kill $server || exit 77
wait $server
exit 0
"""


class DiskHost(Protocol):
    """What disks need of the other host."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def folder(self) -> Path:
        """A folder there that goes with the connection."""

    def command(self, script: str, *arguments: str | Path) -> CommandResult:
        """Run a shell script there. Raises HostError when it fails."""

    def begin(self, script: str, *arguments: str | Path) -> paramiko.Channel:
        """Start a shell script there that ends with its standard input. Raises HostError."""

    def remove(self, target: Path) -> None:
        """Remove a file there, where that can be done."""


class RemoteDisks:
    """Implements ``interfaces.Disks`` on another host."""

    def __init__(self, host: DiskHost) -> None:
        self._host = host

    def check(self, spec: DiskSpec) -> None:
        """Refuse what ``attach`` would refuse, and touch nothing. Raises ConfigError."""
        check_kind(spec)
        if spec.backend is DiskBackend.BLOCK:
            raise ConfigError(
                f"{spec.device} is a block device of {self._host.name}: only there can be found out whether anybody "
                "uses it or would miss what it holds",
                remedy=f"Run kab there: ssh {self._host.name} kab ... Or choose backend=file or backend=nbd.",
            )

    def attach(self, spec: DiskSpec, *, serial: str, scratch: Path) -> AbstractContextManager[AttachedDisk]:
        """Make the disk there; see HostDisks.attach for what it raises. Only the name of `scratch` matters."""
        self.check(spec)
        check_serial(serial)
        if spec.bus is DiskBus.NULL_BLK:
            return no_disk(spec, serial)
        if spec.backend is DiskBackend.FILE:
            return self._file(spec, serial, self._host.folder / f"{scratch.name}.raw")
        return self._nbd(spec, serial, self._host.folder / f"{scratch.name}.sock")

    @contextmanager
    def _file(self, spec: DiskSpec, serial: str, path: Path) -> Iterator[AttachedDisk]:
        free_kib = self._host.command('df -Pk "$1" | tail -n 1', path.parent).stdout.split()[3]
        check_room(
            spec.size_bytes,
            int(free_kib) * 1024,
            where=f"{path.parent} on {self._host.name}",
            other="choose another host",
        )
        try:
            self._host.command('fallocate --length "$1" "$2"', str(spec.size_bytes), path)
            yield AttachedDisk(spec=spec, serial=serial, path=path)
        finally:
            self._host.remove(path)

    @contextmanager
    def _nbd(self, spec: DiskSpec, serial: str, path: Path) -> Iterator[AttachedDisk]:
        argv = nbdkit_argv(path, size_bytes=spec.size_bytes, latency_s=spec.latency_s)
        server = self._host.begin(_SERVE, path, *argv)
        try:
            self._await(server)
            try:
                yield AttachedDisk(spec=spec, serial=serial, path=path)
            finally:
                server.shutdown_write()
                if server.status_event.wait(_STOP_TIMEOUT_S) and server.recv_exit_status() == _DIED:
                    # In place of whatever the guest made of it, which stays attached as the context.
                    raise GuestLostError(f"nbdkit on {self._host.name}, which served the test disk, ended early")
        finally:
            server.close()
            self._host.remove(path)

    def _await(self, server: paramiko.Channel) -> None:
        server.settimeout(_START_TIMEOUT_S)
        said = []
        try:
            for line in server.makefile("r"):
                if line.strip() == "ready":
                    return
                said.append(line.strip())
        except TimeoutError:
            said.append(f"nothing in {_START_TIMEOUT_S:g} s")
        if said == ["missing"]:
            raise HostError(
                f"backend=nbd needs nbdkit, which is not installed on {self._host.name}",
                remedy="There: apt-get install nbdkit. Or choose backend=file, or the bus null-blk.",
            )
        raise HostError(f"{self._host.name}: nbdkit did not start: {' '.join(said)}")
