"""Disks and filesystems as people write them: ``nvme,backend=nbd,latency=2ms,size=1GiB``, ``btrfs,mount=nodatacow``.

Words are separated by commas; a comma inside a value is doubled, as in QEMU's own options.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from harness.errors import ConfigError
from harness.model.guest import MIB, DiskBackend, DiskBus, DiskSpec, FilesystemSpec
from harness.parse.suggest import unknown
from harness.parse.units import duration_text, parse_duration, parse_size, size_text

# Filesystems that the guest image has the tools for.
FILESYSTEMS = ("btrfs", "ext4", "xfs")

DISK_KEYS = ("backend", "size", "latency", "device")
FILESYSTEM_KEYS = ("mount", "mkfs")

# Btrfs and XFS refuse smaller disks than some 110 and 300 MiB themselves; below this nothing makes sense.
_SMALLEST_DISK = 16 * MIB
# What files and nbdkit can hold; more is a slip.
_LARGEST_DISK = 2**50
# More than this per request is a slip of the unit, not a slow disk.
_LONGEST_LATENCY_S = 1.0

_OWN_STORAGE = frozenset({DiskBus.NULL_BLK, DiskBus.NVME_PCI})
_PCI_ADDRESS = re.compile(r"(?:(?P<domain>[0-9a-f]{4}):)?(?P<rest>[0-9a-f]{2}:[01][0-9a-f]\.[0-7])")

_Word = TypeVar("_Word", bound=StrEnum)


def parse_disk(text: str) -> DiskSpec:
    """The disk that `text` names, checked. Raises ConfigError."""
    head, pairs = _split(text, "disk", DISK_KEYS)
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ConfigError(f"disk {text!r} names a key twice")
    return disk_from(head, values)


def disk_from(bus_name: str, values: Mapping[str, str]) -> DiskSpec:
    """The checked disk of a bus and the texts of its other keys (`DISK_KEYS`). Raises ConfigError."""
    bus = _word(DiskBus, bus_name, "disk bus")
    default = DiskBackend.NONE if bus in _OWN_STORAGE else DiskSpec().backend
    backend = _word(DiskBackend, values["backend"], "disk backend") if "backend" in values else default
    device = values.get("device", "")
    # A real device is as large as it is: 0 says so.
    own_size = backend is DiskBackend.BLOCK or bus is DiskBus.NVME_PCI
    if own_size and "size" in values:
        raise ConfigError(
            f"a {bus} disk over a real device takes no size=", remedy="Leave size= out: the whole device is used."
        )
    if bus is DiskBus.NVME_PCI and (match := _PCI_ADDRESS.fullmatch(device.lower())):
        device = f"{match['domain'] or '0000'}:{match['rest']}"
    spec = DiskSpec(
        bus=bus,
        backend=backend,
        size_bytes=0 if own_size else DiskSpec().size_bytes,
        latency_s=parse_duration(values["latency"]) if "latency" in values else 0.0,
        device=device,
    )
    if "size" in values:
        spec = replace(spec, size_bytes=parse_size(values["size"]))
        if not _SMALLEST_DISK <= spec.size_bytes <= _LARGEST_DISK:
            raise ConfigError(
                f"a disk of size={values['size']} is too {'small' if spec.size_bytes < _SMALLEST_DISK else 'large'}",
                remedy=f"Give it size={size_text(_SMALLEST_DISK)} or more, up to {size_text(_LARGEST_DISK)}.",
            )
    check_disk(spec)
    return spec


def check_disk(spec: DiskSpec) -> None:
    """Refuse combinations of bus, backend and keys that cannot work. Raises ConfigError."""
    name = disk_text(spec)
    if spec.bus in _OWN_STORAGE and spec.backend is not DiskBackend.NONE:
        raise ConfigError(
            f"disk {name!r}: {spec.bus} has no backend",
            remedy=f"Leave backend= out, or choose the bus {DiskBus.VIRTIO_BLK} or {DiskBus.NVME}.",
        )
    if spec.bus not in _OWN_STORAGE and spec.backend is DiskBackend.NONE:
        raise ConfigError(f"disk {name!r}: {spec.bus} needs a backend", remedy="Add backend=file, block or nbd.")
    _check_device(spec, name)
    _check_latency(spec, name)
    if spec.size_bytes and spec.size_bytes < _SMALLEST_DISK:
        raise ConfigError(f"disk {name!r} is too small", remedy=f"Give it size={size_text(_SMALLEST_DISK)} or more.")
    # null_blk counts in MiB, and no filesystem gains from less.
    if spec.size_bytes % MIB:
        raise ConfigError(f"disk {name!r}: the size must be a whole number of MiB")


def _check_device(spec: DiskSpec, name: str) -> None:
    if spec.bus is DiskBus.NVME_PCI:
        if not _PCI_ADDRESS.fullmatch(spec.device):
            raise ConfigError(
                f"disk {name!r}: {spec.device!r} is not a PCI address" if spec.device else f"disk {name!r}: no device=",
                remedy="Name the PCI address of the NVMe device, such as device=0000:01:00.0 (see lspci -D).",
            )
    elif spec.backend is DiskBackend.BLOCK:
        if not spec.device.startswith("/dev/"):
            raise ConfigError(
                f"disk {name!r}: backend=block needs a block device",
                remedy="Name it in full, such as device=/dev/disk/by-id/nvme-....",
            )
    elif spec.device:
        raise ConfigError(
            f"disk {name!r}: device= has no meaning here",
            remedy=f"It belongs to backend=block, or to the bus {DiskBus.NVME_PCI}.",
        )


def _check_latency(spec: DiskSpec, name: str) -> None:
    if spec.latency_s and spec.backend is not DiskBackend.NBD and spec.bus is not DiskBus.NULL_BLK:
        raise ConfigError(
            f"disk {name!r}: latency cannot be added to it",
            remedy=f"Use backend=nbd, or the bus {DiskBus.NULL_BLK}.",
        )
    # nbdkit's delay filter knows no smaller unit (before 1.38).
    if spec.backend is DiskBackend.NBD and abs(spec.latency_s * 1000 - round(spec.latency_s * 1000)) > 1e-6:
        raise ConfigError(
            f"disk {name!r}: backend=nbd adds whole milliseconds of latency only",
            remedy=f"Use whole milliseconds, or the bus {DiskBus.NULL_BLK}.",
        )
    if not 0 <= spec.latency_s <= _LONGEST_LATENCY_S:
        raise ConfigError(
            f"disk {name!r}: a latency of {spec.latency_s:g} s is out of range",
            remedy=f"At most {duration_text(_LONGEST_LATENCY_S)} per request.",
        )


def disk_text(spec: DiskSpec) -> str:
    """The disk as `parse_disk` reads it."""
    words = [str(spec.bus)]
    if spec.backend is not DiskBackend.NONE:
        words.append(f"backend={spec.backend}")
    if spec.latency_s:
        words.append(f"latency={duration_text(spec.latency_s)}")
    if spec.size_bytes:
        words.append(f"size={size_text(spec.size_bytes)}")
    if spec.device:
        words.append(f"device={_escape(spec.device)}")
    return ",".join(words)


def parse_filesystem(text: str) -> FilesystemSpec:
    """``TYPE[,mount=OPTION[+OPTION]...][,mkfs=ARGUMENTS]``, keys repeatable; ARGUMENTS as in a shell.

    Raises ConfigError.
    """
    head, pairs = _split(text, "filesystem", FILESYSTEM_KEYS)
    mount: list[str] = []
    mkfs: list[str] = []
    for key, value in pairs:
        if key == "mount":
            mount.extend(value.split("+"))
        else:
            mkfs.extend(shell_words(value))
    return filesystem_from(head, mount, mkfs)


def filesystem_from(type_name: str, mount_options: list[str], mkfs_options: list[str]) -> FilesystemSpec:
    """The checked filesystem. Raises ConfigError."""
    if type_name not in FILESYSTEMS:
        raise unknown("filesystem", type_name, FILESYSTEMS)
    for option in mount_options:
        # mount(8) would read "a,b" as two options and the report would show one.
        if not option or any(sign.isspace() or sign in ",+" for sign in option):
            raise ConfigError(f"filesystem {type_name}: {option!r} is not one mount option")
    return FilesystemSpec(type=type_name, mount_options=tuple(mount_options), mkfs_options=tuple(mkfs_options))


def filesystem_text(spec: FilesystemSpec) -> str:
    """The filesystem as `parse_filesystem` reads it."""
    words = [spec.type]
    if spec.mount_options:
        words.append(f"mount={'+'.join(spec.mount_options)}")
    if spec.mkfs_options:
        words.append(f"mkfs={_escape(shlex.join(spec.mkfs_options))}")
    return ",".join(words)


def _split(text: str, what: str, keys: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """The first word, and (key, value) of those that follow."""
    # NUL is none of them, so that it can stand for a doubled comma.
    if not text.isprintable():
        raise ConfigError(f"{what} {text!r} holds a line feed or another control character")
    head, *words = (word.replace("\0", ",").strip() for word in text.replace(",,", "\0").split(","))
    if not head or "=" in head:
        raise ConfigError(f"{what} {text!r} does not begin with its kind", remedy=f"Such as: {_EXAMPLES[what]}")
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and what == "filesystem":
            raise ConfigError(f"{what} {text!r}: {word!r} is not KEY=VALUE", remedy="Several options: mount=A+B.")
        if key not in keys:
            raise unknown(f"{what} key", key, keys)
        if not equals or not value:
            raise ConfigError(f"{what} {text!r}: {key} has no value", remedy=f"Such as: {_EXAMPLES[what]}")
        pairs.append((key, value))
    return head, pairs


_EXAMPLES = {"disk": "nvme,backend=nbd,latency=2ms,size=1GiB", "filesystem": "btrfs,mount=nodatacow"}


def _word(kind: type[_Word], text: str, what: str) -> _Word:
    try:
        return kind(text)
    except ValueError:
        raise unknown(what, text, [str(word) for word in kind]) from None


def shell_words(text: str) -> list[str]:
    """`text` split into arguments as a shell would. Raises ConfigError for an open quote."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"cannot split {text!r} into words: {error}") from error


def _escape(value: str) -> str:
    return value.replace(",", ",,")
