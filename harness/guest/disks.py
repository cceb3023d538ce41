"""Test disks on the host: raw files, block devices of the user's, NBD exports with latency."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.guest.blockdevice import check_claim, claim
from harness.guest.nbd import serve_memory
from harness.guest.traces import Traces
from harness.host.leases import Lease
from harness.model.guest import MIB, AttachedDisk, DiskBackend, DiskBus, DiskSpec
from harness.parse.diskspec import check_disk

log = logging.getLogger(__name__)

# What must stay free for logs, sockets and the database.
_SPARE_BYTES = 256 * MIB
# virtio-blk's serial number, the shortest of all buses.
_SERIAL_LIMIT = 20


class HostDisks:
    """Implements ``interfaces.Disks`` on this host."""

    def __init__(self, lease: Lease, *, destroy_data: str = "", private_dev: bool = False) -> None:
        """`destroy_data`: the block device, named in full, whose content the user has given up; "" for none.

        `private_dev`: QEMU sees only those devices that libvirt knows of, as under the system's daemon.
        """
        self._lease = lease
        self._traces = Traces(lease.paths.devices)
        self._private_dev = private_dev
        self._destroy_data = destroy_data

    def check(self, spec: DiskSpec) -> None:
        """Refuse what ``attach`` would refuse, and touch nothing. Raises ConfigError, HostError."""
        check_kind(spec)
        if spec.backend is DiskBackend.BLOCK:
            if self._private_dev and spec.bus is DiskBus.NVME:
                raise ConfigError(
                    f"the system's libvirt daemon hides {spec.device} from emulated NVMe, which it knows nothing of",
                    remedy="Leave out --connect, or choose the bus virtio-blk.",
                )
            check_claim(Path(spec.device), self._traces, destroy_data=self._destroy_data)

    def attach(self, spec: DiskSpec, *, serial: str, scratch: Path) -> AbstractContextManager[AttachedDisk]:
        """Make (or claim) the disk; what is made lies in the folder `scratch` and goes with the context.

        Raises ConfigError (a combination that cannot work, a device that must not be touched), HostError (no space,
        no nbdkit), and from the context's end GuestLostError (nbdkit died while the disk was in use).
        """
        self.check(spec)
        check_serial(serial)
        if spec.bus is DiskBus.NULL_BLK:
            return no_disk(spec, serial)
        if spec.backend is DiskBackend.FILE:
            return _file(spec, serial, scratch)
        if spec.backend is DiskBackend.BLOCK:
            return self._block(spec, serial)
        return self._nbd(spec, serial, scratch)

    @contextmanager
    def _block(self, spec: DiskSpec, serial: str) -> Iterator[AttachedDisk]:
        with claim(Path(spec.device), serial, self._traces, destroy_data=self._destroy_data) as device:
            yield AttachedDisk(spec=replace(spec, size_bytes=device.size_bytes), serial=serial, path=device.path)

    @contextmanager
    def _nbd(self, spec: DiskSpec, serial: str, scratch: Path) -> Iterator[AttachedDisk]:
        with serve_memory(
            size_bytes=spec.size_bytes, latency_s=spec.latency_s, folder=scratch, lease=self._lease
        ) as socket:
            yield AttachedDisk(spec=spec, serial=serial, path=socket)


def check_kind(spec: DiskSpec) -> None:
    """Refuse combinations that cannot work on any host. Raises ConfigError."""
    check_disk(spec)
    if spec.bus is DiskBus.NVME_PCI:
        raise ConfigError(
            f"test disks on the bus {spec.bus} cannot be attached by this version of kab",
            remedy=f"Choose the bus {DiskBus.NVME}, {DiskBus.VIRTIO_BLK} or {DiskBus.NULL_BLK}.",
        )


def check_serial(serial: str) -> None:
    """Refuse what does not fit into the narrowest field for it. Raises ConfigError."""
    if not 0 < len(serial) <= _SERIAL_LIMIT:
        raise ConfigError(f"a serial number has 1 to {_SERIAL_LIMIT} characters: {serial!r}")


def check_room(size_bytes: int, free_bytes: int, *, where: str, other: str) -> None:
    """Refuse a disk that would fill the filesystem of `where`; `other` is one more remedy. Raises HostError."""
    if free_bytes < size_bytes + _SPARE_BYTES:
        raise HostError(
            f"too little space in {where} for a test disk of {size_bytes // MIB} MiB: "
            f"{free_bytes // MIB} MiB are free, and {_SPARE_BYTES // MIB} MiB must stay so",
            remedy=f"Free some space, choose a smaller size= for the disk, or {other}.",
        )


@contextmanager
def no_disk(spec: DiskSpec, serial: str) -> Iterator[AttachedDisk]:
    """null-blk, on any host: the guest makes it by itself."""
    yield AttachedDisk(spec=spec, serial=serial)


@contextmanager
def _file(spec: DiskSpec, serial: str, scratch: Path) -> Iterator[AttachedDisk]:
    """A raw file, allocated in full: a sparse one would measure the host's allocator, and could fill the host later."""
    path = scratch / "disk.raw"
    check_room(
        spec.size_bytes,
        shutil.disk_usage(scratch).free,
        where=str(scratch),
        other="set KAB_STATE_DIR to a roomier disk",
    )
    try:
        try:
            with path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, spec.size_bytes)
        except OSError as error:
            raise HostError(f"cannot make the test disk {path}: {error}") from error
        yield AttachedDisk(spec=spec, serial=serial, path=path)
    finally:
        path.unlink(missing_ok=True)
