"""arm64 boot images: Image (Documentation/arch/arm64/booting.rst), the same gzip-compressed, or packed as EFI zboot
(drivers/firmware/efi/libstub/zboot-header.S). None has a header that tells the release: the kernel's banner does.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigError
from harness.kernels.banner import BootImage, read_banner
from harness.kernels.bzimage import DAMAGE, VMLINUX_LIMIT_BYTES, UnknownPackingError, unpacked
from harness.kernels.imagekind import pe_bytes, pe_machine
from harness.model.arch import ARM64

_MARK = slice(0x38, 0x3C)
_MAGIC = b"ARM\x64"
_ZBOOT_MARK = slice(4, 8)
_ZBOOT_MAGIC = b"zimg"
_ZBOOT_PAYLOAD = 8
_PE_ARM64 = 0xAA64
_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 1024 * 1024
# linux_banner of init/version-timestamp.c; the format of /proc/version, which lies beside it, has "%s" there.
_BANNER = re.compile(rb"Linux version ([0-9A-Za-z][ -~]{0,600})")
_BANNER_BYTES = 1024


def is_arm64(head: bytes) -> bool:
    """Whether the file with this beginning is an arm64 boot image of a form known here. Total: never raises."""
    if head[_MARK] == _MAGIC:
        return True
    if _is_zboot(head):
        return True
    return head[:2] == _GZIP and _peek(head)[_MARK] == _MAGIC


def parse_arm64_image(path: Path, head: bytes, *, name: str, size_bytes: int) -> BootImage:
    """What the image at `path`, which begins with `head`, says of itself; `name` is for messages.

    Raises ConfigError when it is cut short, damaged or names no release, OSError.
    """
    needed = pe_bytes(head)
    if size_bytes < needed:
        raise ConfigError(
            f"{name} is cut short: its header says that it has {needed} bytes, but there are {size_bytes}",
            remedy="Copy, download or build it again.",
        )
    try:
        banner = _find_banner(_content(path, head))
    except (*DAMAGE, UnknownPackingError) as error:
        raise _damaged(name, error) from error
    return read_banner(banner, name=name, architecture=ARM64)


def unpack_arm64_image(path: Path, out: Path, *, name: str) -> bool:
    """Write the Image inside the packed image at `path` to `out`; False, and nothing there, where it is not packed.

    Raises ConfigError where what is packed inside is damaged, OSError.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head[_MARK] == _MAGIC:
        return False
    whole = False
    try:
        with out.open("wb") as file:
            for piece in _content(path, head):
                file.write(piece)
        whole = True
    except (*DAMAGE, UnknownPackingError) as error:
        raise _damaged(name, error) from error
    finally:
        if not whole:
            out.unlink(missing_ok=True)
    return True


def _damaged(name: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"the kernel image {name} is damaged: what is packed inside does not unpack ({error})",
        remedy="Copy, download or build it again.",
    )


def _is_zboot(head: bytes) -> bool:
    return head[:2] == b"MZ" and head[_ZBOOT_MARK] == _ZBOOT_MAGIC and pe_machine(head) == _PE_ARM64


def _peek(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 64)
    except zlib.error:
        return b""


def _content(path: Path, head: bytes) -> Iterator[bytes]:
    """The Image in pieces. Raises as `unpacked`, EOFError for one that unpacks to more than is sane, OSError."""
    if head[_MARK] == _MAGIC:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
        return
    packed = path.read_bytes()
    if _is_zboot(head):
        offset, size = struct.unpack_from("<II", packed, _ZBOOT_PAYLOAD)
        packed = packed[offset : offset + size]
    total = 0
    for piece in unpacked(packed):
        total += len(piece)
        if total > VMLINUX_LIMIT_BYTES:
            raise EOFError(f"it unpacks to more than {VMLINUX_LIMIT_BYTES} bytes")
        yield piece


def _find_banner(pieces: Iterator[bytes]) -> str:
    """The kernel's banner from its release on; empty where there is none."""
    kept = b""
    for piece in pieces:
        window = kept + piece
        for found in _BANNER.finditer(window):
            # One that reaches the window's end may go on in the next piece.
            if found.end() < len(window):
                return found[1].decode("ascii")
        kept = window[-_BANNER_BYTES:]
    found_last = _BANNER.search(kept)
    return found_last[1].decode("ascii") if found_last else ""
