"""x86 boot images: what the setup header says, how long the file must be, and the ELF vmlinux packed inside.

Offsets are those of Documentation/arch/x86/boot.rst.
"""

import logging
import lzma
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

from harness.errors import ConfigError
from harness.kernels.banner import BootImage, read_banner
from harness.kernels.imagekind import BOOTED, certificate, describe, is_unified
from harness.kernels.lz4 import LEGACY_MAGIC, decompress_legacy
from harness.model.arch import X86_64

_log = logging.getLogger(__name__)

_SETUP_SECTORS = 0x1F1
_SYSTEM_PARAGRAPHS = 0x1F4
_MAGIC = 0x202
_PROTOCOL = 0x206
_VERSION_POINTER = 0x20E
_XLOADFLAGS = 0x236
_PAYLOAD = 0x248
_SECTOR_BYTES = 512
_HEADER_BYTES = 0x268
_XLF_KERNEL_64 = 1
_PIECE_BYTES = 1024 * 1024
# Four bytes of zstd can mean 128 KiB: a slice becomes 32 MiB at most.
_SLICE_BYTES = 1024
# 2.06 brought a command line longer than 255 bytes, 2.08 the payload's place, 2.12 xloadflags.
_OLDEST_PROTOCOL = 0x206
_PAYLOAD_PROTOCOL = 0x208
_XLOADFLAGS_PROTOCOL = 0x20C

_PARAGRAPH_BYTES = 16
# The vmlinux of a kernel with everything built in has 100 MiB.
VMLINUX_LIMIT_BYTES = 1024 * 1024 * 1024
_ELF_HEADER_BYTES = 64
_PT_NOTE = 4
# xen/include/public/elfnote.h; QEMU enters such an ELF kernel directly (PVH).
_XEN_ELFNOTE_PHYS32_ENTRY = 18
_NOTES_LIMIT_BYTES = 1024 * 1024
# What `unpacked` raises for content that is damaged.
DAMAGE = (ValueError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


class UnknownPackingError(Exception):
    """What is packed inside a bzImage is packed in a way not known here: nothing can be said of it."""


def parse_boot_image(head: bytes, *, name: str, size_bytes: int) -> BootImage:
    """The header at the beginning of a bzImage that has `size_bytes` in all; `name` is for messages.

    Raises ConfigError when it is none, not one for x86-64, or cut short.
    """
    marked = head[_MAGIC : _MAGIC + 4] == b"HdrS" and not is_unified(head)
    if marked and len(head) < _HEADER_BYTES:
        raise _cut_short(name, "more", len(head))
    if not marked:
        what, remedy = describe(head)
        raise ConfigError(f"{name} is not a kernel image that kab can boot: it {what}", remedy=remedy)
    (protocol,) = struct.unpack_from("<H", head, _PROTOCOL)
    if protocol < _OLDEST_PROTOCOL:
        raise ConfigError(f"{name} is too old a kernel: boot protocol {protocol >> 8}.{protocol & 255:02}, not 2.06")
    (flags,) = struct.unpack_from("<H", head, _XLOADFLAGS)
    if protocol < _XLOADFLAGS_PROTOCOL or not flags & _XLF_KERNEL_64:
        raise ConfigError(f"{name} is a 32-bit x86 kernel", remedy=f"kab boots kernels for {BOOTED} (CONFIG_64BIT=y).")
    (pointer,) = struct.unpack_from("<H", head, _VERSION_POINTER)
    start = pointer + _SECTOR_BYTES
    banner = head[start : head.find(b"\0", start)].decode(errors="replace") if pointer else ""
    needed = whole_bytes(head)
    if size_bytes < needed:
        raise _cut_short(name, str(needed), size_bytes)
    return read_banner(banner, name=name, architecture=X86_64, protocol=protocol)


def _cut_short(name: str, needed: str, size_bytes: int) -> ConfigError:
    return ConfigError(
        f"{name} is cut short: its header says that it has {needed} bytes, but there are {size_bytes}",
        remedy="Copy, download or build it again.",
    )


def whole_bytes(head: bytes) -> int:
    """How long a bzImage must be at least, as its first sector(s) say: its code, its payload and its signature."""
    setup_bytes = _setup_bytes(head)
    (paragraphs,) = struct.unpack_from("<I", head, _SYSTEM_PARAGRAPHS)
    ends: list[int] = [setup_bytes + paragraphs * _PARAGRAPH_BYTES]
    if struct.unpack_from("<H", head, _PROTOCOL)[0] >= _PAYLOAD_PROTOCOL:
        ends.append(setup_bytes + sum(struct.unpack_from("<II", head, _PAYLOAD)))
    signed = certificate(head)
    if signed is not None:
        ends.append(signed.offset + signed.size)
    return max(ends)


def uncompressed(vmlinuz: Path, out: Path, *, name: str) -> bool:
    """Write the ELF vmlinux inside the bzImage `vmlinuz` to `out`, if QEMU can enter it directly (it has a PVH note).

    False, and nothing left at `out`, when it has no such note or is packed in a way not known here. `name` is for
    messages. Raises ConfigError where what is packed inside is damaged (the kernel would stop while it unpacks itself),
    OSError.
    """
    image = vmlinuz.read_bytes()
    kept = False
    try:
        with out.open("wb") as file:
            written = 0
            # In pieces: the content is about 60 MiB, and the harness is to stay small.
            for piece in unpacked(_payload(image)):
                file.write(piece)
                written += len(piece)
                if written > VMLINUX_LIMIT_BYTES:
                    raise EOFError(f"it unpacks to more than {VMLINUX_LIMIT_BYTES} bytes")
        kept = has_pvh_note(out)
    except UnknownPackingError as error:
        _log.debug("cannot unpack the vmlinux inside %s: %s", vmlinuz, error)
    except DAMAGE as error:
        raise ConfigError(
            f"the kernel image {name} is damaged: what is packed inside does not unpack ({error})",
            remedy="Copy, download or build it again.",
        ) from error
    finally:
        if not kept:
            out.unlink(missing_ok=True)
    return kept


def has_pvh_note(path: Path) -> bool:
    """Whether the file at `path` is an x86-64 ELF with XEN_ELFNOTE_PHYS32_ENTRY."""
    with path.open("rb") as file:
        head = file.read(_ELF_HEADER_BYTES)
        if head[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", head, 18)[0] != X86_64.elf_machine:
            return False
        if len(head) < _ELF_HEADER_BYTES:
            return False
        (table,) = struct.unpack_from("<Q", head, 32)
        entry_bytes, count = struct.unpack_from("<HH", head, 54)
        for index in range(count):
            file.seek(min(table + index * entry_bytes, VMLINUX_LIMIT_BYTES))
            entry = file.read(40)
            if len(entry) < 40:
                return False
            kind, _flags, offset, _vaddr, _paddr, size = struct.unpack("<IIQQQQ", entry)
            if kind == _PT_NOTE:
                file.seek(min(offset, VMLINUX_LIMIT_BYTES))
                if _has_note(file.read(min(size, _NOTES_LIMIT_BYTES))):
                    return True
    return False


def _has_note(notes: bytes) -> bool:
    position = 0
    while position + 12 <= len(notes):
        name_bytes, content_bytes, kind = struct.unpack_from("<III", notes, position)
        name = notes[position + 12 : position + 12 + name_bytes].rstrip(b"\0")
        if name == b"Xen" and kind == _XEN_ELFNOTE_PHYS32_ENTRY:
            return True
        position += 12 + (name_bytes + 3 & ~3) + (content_bytes + 3 & ~3)
    return False


def _payload(image: bytes) -> bytes:
    if struct.unpack_from("<H", image, _PROTOCOL)[0] < _PAYLOAD_PROTOCOL:
        raise UnknownPackingError("its boot protocol does not say where the payload is")
    setup_bytes = _setup_bytes(image)
    offset, size = struct.unpack_from("<II", image, _PAYLOAD)
    return image[setup_bytes + offset : setup_bytes + offset + size]


def _setup_bytes(image: bytes) -> int:
    # A setup_sects of 0 means 4, for the oldest loaders' sake.
    sectors = image[_SETUP_SECTORS] or 4
    return (sectors + 1) * _SECTOR_BYTES


def unpacked(payload: bytes) -> Iterator[bytes]:
    """The content of what is packed as a kernel's build packs it (gzip, zstd, xz, lzma, lz4), in pieces.

    Raises UnknownPackingError; for what is damaged what the packing's library raises, or EOFError.
    """
    # Each stops at the end of its stream: the kernel's build appends the uncompressed size.
    if payload.startswith(struct.pack("<I", LEGACY_MAGIC)):
        yield from decompress_legacy(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        unzstd = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        for start in range(0, len(payload), _SLICE_BYTES):
            if not unzstd.eof:
                yield unzstd.decompress(payload[start : start + _SLICE_BYTES])
        _check_whole(unzstd.eof)
    elif payload.startswith(b"\x1f\x8b"):
        inflater = zlib.decompressobj(wbits=31)
        yield inflater.decompress(payload, _PIECE_BYTES)
        while not inflater.eof and inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, _PIECE_BYTES)
        _check_whole(inflater.eof)
    elif payload.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        unpacker = lzma.LZMADecompressor()
        yield unpacker.decompress(payload, _PIECE_BYTES)
        while not unpacker.eof and not unpacker.needs_input:
            yield unpacker.decompress(b"", _PIECE_BYTES)
        _check_whole(unpacker.eof)
    else:
        raise UnknownPackingError(f"packed in a way not known here (starts with {payload[:4].hex()})")


def _check_whole(at_end: bool) -> None:
    if not at_end:
        raise EOFError("cut short")
