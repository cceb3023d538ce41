"""What a file is that is no boot image kab knows, in words, and how to get at the kernel in it.

Offsets of PE files are those of Microsoft's PE format; a unified kernel image is one as systemd-stub(7) has it, an EFI
zboot image one as drivers/firmware/efi/libstub/zboot-header.S has it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.arch import ARCHITECTURES, ARM64, X86_64

# The architectures that kab boots kernels of.
BOOTED = " and ".join(architecture.name for architecture in ARCHITECTURES)
_BZIMAGE = "Name a bzImage (vmlinuz)."
_ELF_MACHINES = {0x02: "SPARC", 0x03: "i386", 0x08: "MIPS", 0x15: "PowerPC", 0x16: "s390", 0x28: "ARM",
                 0x2B: "SPARC", 0xB7: "arm64", 0xF3: "RISC-V", 0x102: "LoongArch"}  # fmt: skip
_PE_MACHINES = {0x8664: "x86-64", 0x14C: "i386", 0xAA64: "arm64", 0x1C0: "ARM", 0x1C2: "ARM", 0x1C4: "ARM",
                0x5064: "RISC-V", 0x6264: "LoongArch"}  # fmt: skip
# Of the 64-byte DOS header, where the kernels of other architectures have a mark of their own.
_IMAGE_MARKS = {b"ARM\x64": "arm64", b"RSC\x05": "RISC-V", b"\xcd\x23\x82\x81": "LoongArch"}
_BEGINNINGS = (
    (b"!<arch>\n", "is a Debian package or another ar archive", "Name packages with deb:FILE.deb."),
    (b"\xfd7zXZ\0", "is compressed with xz", "Unpack it (xz -d) and name what is inside."),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Unpack it (zstd -d) and name what is inside."),
    (b"BZh", "is compressed with bzip2", "Unpack it (bzip2 -d) and name what is inside."),
    (b"\x02\x21\x4c\x18", "is compressed with lz4", "Unpack it (lz4 -d) and name what is inside."),
    (b"\x04\x22\x4d\x18", "is compressed with lz4", "Unpack it (lz4 -d) and name what is inside."),
    (b"070701", "is an initramfs (a cpio archive)", _BZIMAGE),
    (b"\x27\x05\x19\x56", "is an image for U-Boot", _BZIMAGE),
    (b"\xd0\x0d\xfe\xed", "is a flattened image tree for U-Boot", _BZIMAGE),
    (b"QFI\xfb", "is a disk image (qcow2)", _BZIMAGE),
    (b"hsqs", "is a disk image (squashfs)", _BZIMAGE),
)
# A gzip-compressed file is looked into so far.
_PEEK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the signature of a PE file lies, in bytes."""

    offset: int
    size: int


def describe(head: bytes) -> tuple[str, str]:
    """What the file with this beginning is ("is an ELF file for arm64"), and the remedy. Total: never raises."""
    if not head:
        return "is empty", _BZIMAGE
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        return _elf(head)
    if head[:2] == b"MZ":
        return _program(head)
    if head[:2] == b"\x1f\x8b":
        return _gzip(head)
    for mark, what, remedy in _BEGINNINGS:
        if head.startswith(mark):
            return what, remedy
    return "lacks the boot header's mark", _BZIMAGE


def is_unified(head: bytes) -> bool:
    """Whether it is a unified kernel image: a PE file with a kernel in its section ``.linux``."""
    return any(name == b".linux" for name, _offset, _size in _sections(head))


def certificate(head: bytes) -> Certificate | None:
    """Where the signature of a signed PE file is; None where it has none or is no PE file."""
    start = _pe_start(head)
    if start is None:
        return None
    try:
        (magic,) = struct.unpack_from("<H", head, start + 24)
        # Data directories begin at 96 (PE32) or 112 (PE32+) of the optional header; the signature's is number 4.
        offset, size = struct.unpack_from("<II", head, start + 24 + (112 if magic == 0x20B else 96) + 4 * 8)
    except struct.error:
        return None
    return Certificate(offset, size) if offset and size else None


def _elf(head: bytes) -> tuple[str, str]:
    order = ">" if head[5] == 2 else "<"
    (machine,) = struct.unpack_from(f"{order}H", head, 18)
    for architecture in ARCHITECTURES:
        if machine == architecture.elf_machine:
            return (
                f"is an ELF file for {architecture} (a vmlinux?) and no {architecture.kbuild_target}",
                f"Name {architecture.kbuild_image} of the same tree, or tree:DIR.",
            )
    name = _ELF_MACHINES.get(machine, f"machine {machine:#x}")
    return f"is an ELF file for {name}", f"kab boots kernels for {BOOTED} only."


def _program(head: bytes) -> tuple[str, str]:
    start = _pe_start(head)
    machine = pe_machine(head)
    name = _PE_MACHINES.get(machine, f"machine {machine:#x}") if machine is not None else ""
    if head[4:8] == b"zimg":
        return (
            f"is an EFI zboot image{f' for {name}' if name else ''} (a kernel packed for EFI firmware)",
            f"kab boots those of {ARM64} only; of another architecture take the vmlinuz of a build for {X86_64}.",
        )
    if head[0x38:0x3C] in _IMAGE_MARKS:
        return f"is a kernel for {_IMAGE_MARKS[head[0x38:0x3C]]}", f"kab boots kernels for {BOOTED} only."
    if is_unified(head):
        return (
            "is a unified kernel image (UKI: kernel, initrd and command line in one EFI program)",
            "Take the kernel out of it: objcopy -O binary --only-section=.linux FILE bzImage; then name file:bzImage.",
        )
    if start is not None:
        return f"is an EFI program for {name} and no Linux kernel", _BZIMAGE
    return "lacks the boot header's mark", _BZIMAGE


def _gzip(head: bytes) -> tuple[str, str]:
    try:
        inside = zlib.decompressobj(wbits=31).decompress(head, _PEEK_BYTES)
    except zlib.error:
        return "is gzip-compressed, and damaged", _BZIMAGE
    # One level only: what is packed twice is told as gzip once more.
    what = describe(inside)[0] if inside[:2] != b"\x1f\x8b" else "is gzip-compressed too"
    return f"is gzip-compressed; what is inside {what}", "Unpack it (gzip -d), or name a bzImage (vmlinuz)."


def _pe_start(head: bytes) -> int | None:
    if head[:2] != b"MZ" or len(head) < 0x40:
        return None
    (start,) = struct.unpack_from("<I", head, 0x3C)
    return start if head[start : start + 4] == b"PE\0\0" and len(head) >= start + 24 else None


def pe_machine(head: bytes) -> int | None:
    """The machine that a PE file is for; None where it is no PE file."""
    start = _pe_start(head)
    return None if start is None else int(struct.unpack_from("<H", head, start + 4)[0])


def pe_bytes(head: bytes) -> int:
    """How long a PE file must be at least, as its table of sections and its signature say; 0 where it is none."""
    ends = [0]
    for _name, offset, size in _sections(head):
        ends.append(offset + size)
    signed = certificate(head)
    if signed is not None:
        ends.append(signed.offset + signed.size)
    return max(ends)


def _sections(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each section of a PE file, and offset and size of its content in the file."""
    start = _pe_start(head)
    if start is None:
        return
    (count,) = struct.unpack_from("<H", head, start + 6)
    (optional_bytes,) = struct.unpack_from("<H", head, start + 20)
    for index in range(count):
        place = start + 24 + optional_bytes + 40 * index
        section = head[place : place + 40].ljust(40, b"\0")
        size, offset = struct.unpack_from("<II", section, 16)
        yield section[:8].rstrip(b"\0"), offset, size
