"""What is on a block device, as far as looking tells: signatures, partitions, and samples of all of it."""

import errno
import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError
from harness.host import process

_TIMEOUT_S = 30.0
_MIB = 1024 * 1024
_BLOCK_BYTES = 4096
# Where a device is looked at in full, and cleaned after use: that much at its start and at its end.
END_BYTES = _MIB
# A stretch of data of this length is always found on a device without moving parts, up to the most samples.
_STRIDE_BYTES = 16 * _MIB
_LEAST_SAMPLES = 4096
# Some 5 s of an SSD's time; a disk with heads needs 30 s for the least.
_MOST_SAMPLES = 65536
# Of those again, drawn at random: for what lies just between the others.
_RANDOM_SAMPLES = 1024
# For recognising what was left: looked at after and before each boot.
_FINGERPRINT_SAMPLES = {True: 256, False: 2048}
# Copies of Btrfs's superblock, whose magic wipefs erases too: what a fingerprint must not depend on.
_SUPERBLOCKS = frozenset({64 * _MIB, 256 * 1024 * _MIB})


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """A block device of this host."""

    # Its real node, /dev/sdx, whatever link the user named it by.
    path: Path
    size_bytes: int
    # Its folder in sysfs.
    sysfs: Path

    @property
    def rotates(self) -> bool:
        """Whether it has moving parts, as far as the kernel knows."""
        return read_line(self.sysfs / "queue" / "rotational") == "1"


@dataclass(frozen=True, slots=True)
class Signature:
    """What wipefs(8) recognises."""

    type: str
    label: str

    def __str__(self) -> str:
        return f"a signature of {' '.join(filter(None, (self.type, self.label)))}"


def signatures(device: BlockDevice) -> tuple[Signature, ...]:
    """All signatures of filesystems, partition tables, RAID, LVM, in wipefs's order. Raises HostError."""
    # Without --all it reads only. An error of it, such as of reading, must not pass for "nothing found".
    lines = process.run(
        ["wipefs", "--noheadings", "--parsable", "--output", "TYPE,LABEL", device.path], timeout_s=_TIMEOUT_S
    ).stdout.splitlines()
    return tuple(dict.fromkeys(Signature(*line.partition(",")[::2]) for line in lines if line))


def holds_data(device: BlockDevice) -> bool:
    """Whether any byte that is looked at is not zero. Raises HostError.

    Databases and volume managers write to raw devices what wipefs knows nothing of.
    """
    with _reading(device) as descriptor:
        if any(any(os.pread(descriptor, END_BYTES, start)) for start in end_starts(device)):
            return True
        if _backing_is_hole(device):
            return False
        return any(any(block) for block in _blocks(descriptor, sample_offsets(device.size_bytes, _count(device))))


def fingerprint(device: BlockDevice) -> str:
    """Names the content of a device between its ends, by samples that are always the same. Raises HostError."""
    count = _FINGERPRINT_SAMPLES[device.rotates]
    inside = [
        offset
        for offset in sample_offsets(device.size_bytes, count, seed=count)
        if END_BYTES <= offset < device.size_bytes - END_BYTES and offset not in _SUPERBLOCKS
    ]
    digest = hashlib.sha256(f"{device.size_bytes} {count}".encode())
    with _reading(device) as descriptor:
        for block in _blocks(descriptor, inside):
            digest.update(block)
    return digest.hexdigest()


def ends_are_zero(device: BlockDevice) -> bool:
    """Whether nothing is at its start and its end. Raises HostError."""
    with _reading(device) as descriptor:
        return not any(any(os.pread(descriptor, END_BYTES, start)) for start in end_starts(device))


def end_starts(device: BlockDevice) -> tuple[int, int]:
    """Where its start and its end begin, bytes."""
    return 0, max(device.size_bytes - END_BYTES, 0)


def sample_offsets(size_bytes: int, count: int, *, seed: int | None = None) -> list[int]:
    """Offsets of blocks of 4 KiB, in order: `count` evenly spaced ones, and some at random (always the same by `seed`).

    All blocks of what has no more than that.
    """
    blocks = size_bytes // _BLOCK_BYTES
    if blocks <= count:
        return [block * _BLOCK_BYTES for block in range(blocks)]
    drawn = random.Random(seed)  # noqa: S311 - what nobody has written to hide from us
    chosen = {number * blocks // count for number in range(count)}
    chosen.update(drawn.randrange(blocks) for _ in range(min(count, _RANDOM_SAMPLES)))
    return [block * _BLOCK_BYTES for block in sorted(chosen)]


def read_line(path: Path) -> str:
    """The first line of a file of sysfs, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def cannot_open(path: Path, error: OSError) -> HostError:
    """For a device that this user may not open, or that fails."""
    return HostError(
        f"cannot open {path}: {error.strerror}",
        remedy="Reading and writing block devices needs root, or the group that owns the device.",
    )


def _count(device: BlockDevice) -> int:
    most = _LEAST_SAMPLES if device.rotates else _MOST_SAMPLES
    return min(max(_LEAST_SAMPLES, device.size_bytes // _STRIDE_BYTES + 1), most)


def _backing_is_hole(device: BlockDevice) -> bool:
    """Whether a loop device's file has no data at all, as its filesystem says (lseek(2), SEEK_DATA)."""
    name = read_line(device.sysfs / "loop" / "backing_file")
    if not name:
        return False
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError as error:
        return error.errno == errno.ENXIO
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _reading(device: BlockDevice) -> Iterator[int]:
    try:
        descriptor = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Else the kernel would read much more around each sample.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise cannot_open(device.path, error) from error


def _blocks(descriptor: int, offsets: Sequence[int]) -> Iterator[bytes]:
    for offset in offsets:
        yield os.pread(descriptor, _BLOCK_BYTES, offset)
