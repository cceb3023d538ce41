"""Claiming a block device of the host for tests, which destroys what it holds: only when that is surely wanted."""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import interruption
from harness.errors import ConfigError
from harness.guest.devicecontent import END_BYTES, BlockDevice, cannot_open, end_starts, holds_data, signatures
from harness.guest.traces import Traces
from harness.host import process

log = logging.getLogger(__name__)

_SECTOR_BYTES = 512
_TIMEOUT_S = 30.0


@contextmanager
def claim(named: Path, serial: str, traces: Traces, *, destroy_data: str = "") -> Iterator[BlockDevice]:
    """Claim the block device `named` and keep others off; at the end the test filesystem's traces are wiped.

    `serial` is the label that the guest gives its filesystem: what is left of it by a killed kab is known by that.

    Refused with ConfigError: what is no block device, is read-only, mounted, swapped to or held by another device;
    and what has partitions, a signature of a filesystem, RAID or LVM, or any other data, and is not known (`traces`)
    to be of kab's own writing, unless `destroy_data` names the same device.
    """
    device = check_claim(named, traces, destroy_data=destroy_data)
    descriptor = _open_exclusively(device.path)
    try:
        traces.begin(device, serial)
        # O_EXCL keeps mount, mkfs and other claims off for as long as it is open; QEMU does not ask for it.
        yield device
    finally:
        os.close(descriptor)
        with interruption.shielded():
            _clean(device, traces)


def _clean(device: BlockDevice, traces: Traces) -> None:
    """Leave no filesystem of ours; in an order in which each moment is one that the notes tell of."""
    traces.leave(device)
    process.run(["wipefs", "--all", "--force", "--quiet", device.path], timeout_s=_TIMEOUT_S)
    _zero_ends(device)
    traces.clean(device)


def check_claim(named: Path, traces: Traces, *, destroy_data: str = "") -> BlockDevice:
    """The device that ``claim`` would give, without touching it. Refuses what ``claim`` refuses."""
    path, number = _node(named)
    given_up = bool(destroy_data) and _is_same(Path(destroy_data), number)
    sysfs = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    _refuse_in_use(named, number, sysfs)
    device = BlockDevice(path=path, size_bytes=_size_bytes(sysfs), sysfs=sysfs)
    if not given_up and (content := _content(device, traces)):
        raise ConfigError(
            f"{named} is not empty: it holds {content}",
            remedy=f"If all of that may be destroyed: --destroy-data {named}",
        )
    return device


def _node(named: Path) -> tuple[Path, int]:
    """Real path and device number of a block device. Raises ConfigError for anything else."""
    try:
        path = named.resolve(strict=True)
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot use {named} as a test disk: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise ConfigError(f"{named} is not a block device", remedy="For a disk in a file, use backend=file.")
    return path, status.st_rdev


def _is_same(other: Path, number: int) -> bool:
    """Whether `other` is the block device with that number: links and names may differ, the device may not."""
    try:
        status = other.stat()
    except OSError:
        return False
    return stat.S_ISBLK(status.st_mode) and status.st_rdev == number


def _refuse_in_use(named: Path, number: int, sysfs: Path) -> None:
    """No flag overrides these: somebody is using the device now."""
    numbers = {number, *(_number(partition) for partition in _partitions(sysfs))}
    for device, place in _mounted():
        if device in numbers:
            raise ConfigError(f"{named} is in use: mounted on {place}", remedy="Choose another device, or unmount it.")
    for line in _lines(Path("/proc/swaps"))[1:]:
        if any(_is_same(Path(line.split()[0]), device) for device in numbers):
            raise ConfigError(f"{named} is in use: the host swaps to it", remedy="Choose another device.")
    for folder in (sysfs, *_partitions(sysfs)):
        holders = [holder.name for holder in (folder / "holders").glob("*")]
        if holders:
            raise ConfigError(
                f"{named} is in use: {', '.join(holders)} is made of it (device mapper, RAID or LVM)",
                remedy="Choose another device.",
            )
    if _lines(sysfs / "ro") == ["1"]:
        raise ConfigError(f"{named} is read-only", remedy="Choose another device.")


def _content(device: BlockDevice, traces: Traces) -> str:
    """What is on a device that is not kab's own, for people; "" when nothing is known or seen there."""
    partitions = [partition.name for partition in _partitions(device.sysfs)]
    found = signatures(device)
    if not partitions and traces.are_all_of(device, found):
        return ""
    told = [f"partitions ({', '.join(partitions)})"] if partitions else []
    told += map(str, found)
    if not told and holds_data(device):
        told.append("data, though no filesystem that is known")
    return ", ".join(told)


def _zero_ends(device: BlockDevice) -> None:
    with device.path.open("r+b", buffering=0) as file:
        for start in end_starts(device):
            file.seek(start)
            file.write(bytes(min(END_BYTES, device.size_bytes)))
        os.fsync(file.fileno())


def _open_exclusively(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise ConfigError(f"{path} is in use by another program", remedy="Choose another device.") from error
        raise cannot_open(path, error) from error


def _partitions(sysfs: Path) -> list[Path]:
    return sorted(entry.parent for entry in sysfs.glob("*/partition"))


def _number(sysfs: Path) -> int:
    major, _, minor = (sysfs / "dev").read_text(encoding="ascii").strip().partition(":")
    return os.makedev(int(major), int(minor))


def _mounted() -> list[tuple[int, str]]:
    """Device number and mount point of every mount (proc(5): fields 3 and 5 of mountinfo; 10 names the source)."""
    mounts = []
    for line in _lines(Path("/proc/self/mountinfo")):
        words = line.split()
        major, _, minor = words[2].partition(":")
        mounts.append((os.makedev(int(major), int(minor)), words[4]))
        # Btrfs shows a device number of its own there; its source names one of its real devices.
        source = Path(words[words.index("-") + 2])
        if source.is_absolute() and source.is_block_device():
            mounts.append((source.stat().st_rdev, words[4]))
    return mounts


def _size_bytes(sysfs: Path) -> int:
    return int((sysfs / "size").read_text(encoding="ascii")) * _SECTOR_BYTES


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
