"""The archive format of initramfs: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst)."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

# Archives may follow each other in one initramfs; each starts at a multiple of 4, and 512 is what cpio(1) pads to.
BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, folder or character device, owned by root."""

    # Path without a leading slash.
    path: str
    # Type and permissions, as in st_mode.
    mode: int
    content: bytes = b""
    # Major and minor number of a device.
    device: tuple[int, int] = (0, 0)


def folder(path: str, permissions: int = 0o755) -> Entry:
    """A folder; the kernel wants it before what is inside."""
    return Entry(path=path, mode=stat.S_IFDIR | permissions)


def file(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path=path, mode=stat.S_IFREG | permissions, content=content)


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Entry:
    """A device node."""
    return Entry(path=path, mode=stat.S_IFCHR | permissions, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive: the same entries give the same bytes (all times are 0, inodes count up from 1)."""
    pieces = [_pack(entry, inode) for inode, entry in enumerate(entries, start=1)]
    pieces.append(_pack(Entry(path="TRAILER!!!", mode=0), 0))
    packed = b"".join(pieces)
    return packed + bytes(-len(packed) % BLOCK_BYTES)


def _pack(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # inode mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + entry.content + bytes(-len(entry.content) % 4)
