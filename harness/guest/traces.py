"""What kab itself wrote to block devices: remembered, so that it is told from what somebody would miss.

A device's note is written before a guest may write to it and after it was cleaned. Its serial numbers are those that
guests knew the device by since it was last clean: the guest's mkfs writes them as labels. Its fingerprint is that of
the data that was left there in order, without any filesystem around it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.guest.devicecontent import (
    BlockDevice,
    Signature,
    ends_are_zero,
    fingerprint,
    read_line,
)
from harness.host.files import write_atomically

# Below a disk's folder in sysfs: what names it for good, the best first.
_IDENTITIES = ("wwid", "device/wwid", "device/serial", "serial", "dm/uuid", "loop/backing_file")
# The filesystems that guests make.
_FILESYSTEMS = frozenset({"btrfs", "ext4", "xfs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    serials: tuple[str, ...] = ()
    left: str = ""


class Traces:
    """The notes of all devices, in a folder of kab's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, device: BlockDevice, serial: str) -> None:
        """Note that a guest is going to write to the device under this serial number. Raises HostError."""
        note = self._read(device)
        self._write(device, replace(note, serials=(*note.serials, serial)))

    def leave(self, device: BlockDevice) -> None:
        """Note what is left there; call before its ends are cleaned. Raises HostError."""
        self._write(device, replace(self._read(device), left=fingerprint(device)))

    def clean(self, device: BlockDevice) -> None:
        """Note that its ends are clean: no filesystem of ours is there any more. Raises HostError."""
        self._write(device, replace(self._read(device), serials=()))

    def are_all_of(self, device: BlockDevice, found: Sequence[Signature]) -> bool:
        """Whether all that is on a device (with the signatures `found`, and no partitions) is what kab wrote there."""
        note = self._read(device)
        if found:
            return all(one.type in _FILESYSTEMS and one.label in note.serials for one in found)
        return bool(note.left) and ends_are_zero(device) and fingerprint(device) == note.left

    def _file(self, device: BlockDevice) -> Path:
        # What has no name of its own is known by its node: until the next boot, that is that.
        names = (read_line(device.sysfs / name) for name in _IDENTITIES)
        identity = next(filter(None, names), str(device.path))
        return self._folder / f"{hashlib.sha256(f'{identity} {device.size_bytes}'.encode()).hexdigest()[:32]}.json"

    def _read(self, device: BlockDevice) -> _Note:
        """The device's note; an empty one where there is none that can be read: then its content is not ours."""
        try:
            content = json.loads(self._file(device).read_text(encoding="utf-8"))
            serials, left = content["serials"], content["left"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return _Note()
        if not isinstance(left, str) or not isinstance(serials, list):
            return _Note()
        # An empty label is what other people's filesystems have.
        return _Note(serials=tuple(one for one in serials if isinstance(one, str) and one), left=left)

    def _write(self, device: BlockDevice, note: _Note) -> None:
        write_atomically(self._file(device), json.dumps({"serials": note.serials, "left": note.left}).encode())
