"""Boot headers of recorded kernels, and what is said about files that are none."""

import gzip
import lzma
import os
import struct
from pathlib import Path

import pytest
import zstandard

from harness.errors import ConfigError
from harness.kernels.bootimage import read_boot_image
from harness.kernels.bzimage import has_pvh_note, parse_boot_image, uncompressed, whole_bytes
from harness.kernels.lz4 import decompress_block, decompress_legacy

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "kernels"
NUMBERS = b"".join(b"%d\n" % n for n in range(3000)) + b"a" * 5000 + b"ab" * 700


def head(version):
    return gzip.decompress((DATA / f"vmlinuz-{version}.head.gz").read_bytes())


# Sizes of the files that the recorded heads are of: code, payload and signature.
WHOLE = {"5.10.0": 12_196_192, "6.18.15": 13_612_672, "7.2.12": 13_785_024}


@pytest.mark.parametrize(
    ("recorded", "release", "version"),
    [
        ("5.10.0", "5.10.0-46-cloud-amd64", "5.10.262-1"),
        ("6.18.15", "6.18.15+deb13-cloud-amd64", "6.18.15-1~bpo13+1"),
        ("7.2.12", "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
    ],
)
def test_recorded_headers(recorded, release, version):
    image = parse_boot_image(head(recorded), name="vmlinuz", size_bytes=WHOLE[recorded])
    assert (image.release, image.version, image.protocol) == (release, version, 0x20F)


def changed(offset, data):
    content = bytearray(head("7.2.12"))
    content[offset : offset + len(data)] = data
    return bytes(content)


def pe(machine, *sections, dos=b"MZ" + bytes(62)):
    """A PE32+ file's headers, for a machine and with the sections of these names."""
    header = struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, 240, 0)
    optional = struct.pack("<H", 0x20B).ljust(240, b"\0")
    table = b"".join(name.ljust(40, b"\0") for name in sections)
    return dos[:0x3C] + struct.pack("<I", 64) + header + optional + table + bytes(0x400)


ARM64 = b"MZ\0\x91" + bytes(0x34) + b"ARM\x64" + bytes(0x400)
RISCV = b"MZ" + bytes(0x36) + b"RSC\x05" + bytes(0x400)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"hello", "lacks the boot header's mark"),
        (ARM64, "it is a kernel for arm64"),
        (RISCV, "it is a kernel for RISC-V"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0" + bytes(0x400), "an ELF file for arm64 (a vmlinux?) and no Image"),
        (b"\x7fELF\x02\x02" + bytes(12) + b"\0\x16" + bytes(0x400), "an ELF file for s390"),
        (
            b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + bytes(0x400),
            "file for x86-64 (a vmlinux?) and no bzImage",
        ),
        (b"\x1f\x8b" + bytes(0x400), "gzip-compressed, and damaged"),
        (gzip.compress(ARM64, mtime=0), "gzip-compressed; what is inside is a kernel for arm64"),
        (b"!<arch>\ndebian-binary", "Debian package"),
        (pe(0xAA64, dos=b"MZ\0\0zimg" + bytes(56)), "an EFI zboot image for arm64"),
        (b"MZ\0\0zimg" + bytes(0x400), "an EFI zboot image"),
        (pe(0x8664, b".osrel", b".cmdline", b".linux", b".initrd"), "unified kernel image"),
        (pe(0x8664, b".text", b".data"), "an EFI program for x86-64 and no Linux kernel"),
        (changed(0x3C, b"\xff\xff\xff\xff")[:0x240], "cut short"),
        (b"MZ" + bytes(0x3A) + b"\xff\xff\xff\xff" + bytes(0x400), "lacks the boot header's mark"),
        (changed(0x206, b"\x03\x02"), "boot protocol 2.03"),
        (changed(0x236, b"\0\0"), "32-bit x86 kernel"),
        (changed(0x20E, b"\0\0"), "does not say which version"),
        (changed(0x20E, b"\xff\xff"), "does not say which version"),
    ],
)
def test_not_an_x86_64_kernel(content, said):
    with pytest.raises(ConfigError) as caught:
        parse_boot_image(content, name="the file", size_bytes=10**9)
    assert said in str(caught.value)
    assert "the file" in str(caught.value)


@pytest.mark.parametrize("recorded", list(WHOLE))
def test_the_header_says_how_long_the_file_must_be(recorded):
    content = head(recorded)
    assert whole_bytes(content) == WHOLE[recorded]
    for there in (WHOLE[recorded] - 1, WHOLE[recorded] // 2, len(content)):
        with pytest.raises(ConfigError, match=f"cut short: .* has {WHOLE[recorded]} bytes, but there are {there}"):
            parse_boot_image(content, name="vmlinuz", size_bytes=there)


def test_an_unsigned_image_is_as_long_as_its_code():
    content = bytearray(head("7.2.12"))
    directory = struct.unpack_from("<I", content, 0x3C)[0] + 24 + 112 + 4 * 8
    content[directory : directory + 8] = bytes(8)
    assert whole_bytes(bytes(content)) == WHOLE["7.2.12"] - 1472


@pytest.mark.parametrize("release", ["../../../etc", "a/b", "\x1b[31m6.1", "6.1\u202e", "x" * 65, "."])
def test_a_hostile_release_is_refused(release):
    content = bytearray(head("7.2.12"))
    (pointer,) = struct.unpack_from("<H", content, 0x20E)
    banner = f"{release} (me) #1".encode() + b"\0"
    content[pointer + 512 : pointer + 512 + len(banner)] = banner
    with pytest.raises(ConfigError, match="no kernel release") as caught:
        parse_boot_image(bytes(content), name="vmlinuz", size_bytes=WHOLE["7.2.12"])
    assert caught.value.message.isprintable()


def test_a_hostile_banner_is_made_printable():
    content = head("7.2.12").replace(b"Debian 7.2.12-1~bpo13+1", b"Debian 7.2.12\x1b[2J1~bpo13")
    image = parse_boot_image(content, name="vmlinuz", size_bytes=WHOLE["7.2.12"])
    assert image.banner.isprintable()
    assert image.version == image.release


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, kind in (
        (tmp_path, "a folder"),
        (tmp_path / "fifo", "a FIFO"),
        (Path("/dev/zero"), "a character device"),
    ):
        with pytest.raises(ConfigError, match=f"is {kind}, not a file"):
            read_boot_image(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_boot_image(tmp_path / "nul\0")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="MiB, more than the 1024 MiB"):
        read_boot_image(tmp_path / "huge")


def test_unreadable_file_says_how_to_mend_it(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*absent"):
        read_boot_image(tmp_path / "absent")


def elf(*, note_type=18, name=b"Xen\0", machine=0x3E):
    """A small ELF with one PT_LOAD and one PT_NOTE that holds a foreign note first."""
    notes = struct.pack("<III", 4, 3, 1) + b"GNU\0" + b"abc\0"
    notes += struct.pack("<III", len(name), 4, note_type) + name.ljust(-len(name) % 4 + len(name), b"\0") + b"\0\0\0\1"
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, 0)
    note = struct.pack("<IIQQQQQQ", 4, 4, 64 + 112, 0, 0, len(notes), len(notes), 4)
    return header + load + note + notes + bytes(3_000_000)


def bzimage(payload):
    content = bytearray(512 * 3)
    content[0x1F1] = 2
    content[0x202:0x208] = b"HdrS\x0f\x02"
    content[0x248:0x250] = struct.pack("<II", 64, len(payload))
    return bytes(content) + bytes(64) + payload + bytes(100)


def flipped(data):
    """The same with one bit wrong in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def alone(data):
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
        alone,
        lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
        bytes,
    ],
    ids=["gzip", "xz", "lzma", "zstd", "plain"],
)
def test_vmlinux_is_taken_out(tmp_path, pack):
    content = elf()
    packed = pack(content)
    # All but gzip and plain get the uncompressed size appended by the kernel's build.
    size = struct.pack("<I", len(content)) if packed[:2] != b"\x1f\x8b" and packed != content else b""
    (tmp_path / "vmlinuz").write_bytes(bzimage(packed + size))
    if packed == content:
        # Such a payload is not known to be one: nothing is written.
        assert not uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux", name="mine")
        assert not (tmp_path / "vmlinux").exists()
    else:
        assert uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux", name="mine")
        assert (tmp_path / "vmlinux").read_bytes() == content


@pytest.mark.parametrize("content", [elf(note_type=17), elf(name=b"Sun\0"), elf(machine=0xB7), b"no ELF" * 100])
def test_vmlinux_without_pvh_note_is_not_kept(tmp_path, content):
    (tmp_path / "vmlinuz").write_bytes(bzimage(gzip.compress(content)))
    assert not uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux", name="mine")
    assert not (tmp_path / "vmlinux").exists()
    (tmp_path / "elf").write_bytes(content)
    assert not has_pvh_note(tmp_path / "elf")


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(elf(), mtime=0)[:400],
        lzma.compress(elf())[:400],
        zstandard.ZstdCompressor().compress(elf())[:-8],
        b"\x28\xb5\x2f\xfd\xff\xff\xff",
        b"\x02!L\x18\x05\0\0\0\xf0abcd",
        flipped(gzip.compress(elf(), mtime=0)),
        flipped(lzma.compress(elf(), check=lzma.CHECK_CRC32)),
        flipped(zstandard.ZstdCompressor(write_checksum=True).compress(elf())),
    ],
)
def test_damaged_payload_is_told_and_leaves_nothing(tmp_path, packed):
    (tmp_path / "vmlinuz").write_bytes(bzimage(packed))
    with pytest.raises(ConfigError, match="the kernel image mine is damaged"):
        uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux", name="mine")
    assert not (tmp_path / "vmlinux").exists()


def test_lz4_as_packed_by_the_real_tool():
    packed = (DATA / "numbers.lz4").read_bytes()
    assert b"".join(decompress_legacy(packed)) == NUMBERS
    # The kernel's build appends the size.
    assert b"".join(decompress_legacy(packed + struct.pack("<I", len(NUMBERS)))) == NUMBERS


def test_damaged_lz4():
    with pytest.raises(ValueError, match="not a legacy"):
        list(decompress_legacy(b"nonsense"))
    with pytest.raises(ValueError, match="cut short"):
        list(decompress_legacy((DATA / "numbers.lz4").read_bytes()[:-100]))
    with pytest.raises(ValueError, match="before its beginning"):
        decompress_block(b"\x10a\x05\x00")
    with pytest.raises(ValueError, match="cut short"):
        decompress_block(b"\x1fa\x01\x00")
