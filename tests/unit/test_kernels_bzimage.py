"""Boot headers of recorded kernels, and what is said about files that are none."""

import gzip
import lzma
import struct
import zlib
from pathlib import Path

import pytest
import zstandard

from harness.errors import ConfigError
from harness.kernels.bzimage import has_pvh_note, parse_boot_image, read_boot_image, uncompressed
from harness.kernels.lz4 import decompress_block, decompress_legacy

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[1] / "data" / "kernels"
NUMBERS = b"".join(b"%d\n" % n for n in range(3000)) + b"a" * 5000 + b"ab" * 700


def head(version):
    return gzip.decompress((DATA / f"vmlinuz-{version}.head.gz").read_bytes())


@pytest.mark.parametrize(
    ("recorded", "release", "version"),
    [
        ("5.10.0", "5.10.0-46-cloud-amd64", "5.10.262-1"),
        ("6.18.15", "6.18.15+deb13-cloud-amd64", "6.18.15-1~bpo13+1"),
        ("7.2.12", "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
    ],
)
def test_recorded_headers(recorded, release, version):
    image = parse_boot_image(head(recorded), name="vmlinuz")
    assert (image.release, image.version, image.protocol) == (release, version, 0x20F)


def changed(offset, data):
    content = bytearray(head("7.2.12"))
    content[offset : offset + len(data)] = data
    return bytes(content)


ARM64 = b"MZ\0\x91" + bytes(0x34) + b"ARM\x64" + bytes(0x400)
RISCV = b"MZ" + bytes(0x36) + b"RSC\x05" + bytes(0x400)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"hello", "lacks the boot header's mark"),
        (ARM64, "it is a kernel for arm64"),
        (RISCV, "it is a kernel for RISC-V"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0" + bytes(0x400), "an ELF file for arm64"),
        (b"\x7fELF\x02\x02" + bytes(12) + b"\0\x16" + bytes(0x400), "an ELF file for s390"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + bytes(0x400), "an ELF file (a vmlinux?) and not a bzImage"),
        (b"\x1f\x8b" + bytes(0x400), "gzip-compressed"),
        (changed(0x206, b"\x03\x02"), "boot protocol 2.03"),
        (changed(0x236, b"\0\0"), "32-bit x86 kernel"),
        (changed(0x20E, b"\0\0"), "does not say which version"),
        (changed(0x20E, b"\xff\xff"), "does not say which version"),
    ],
)
def test_not_an_x86_64_kernel(content, said):
    with pytest.raises(ConfigError) as caught:
        parse_boot_image(content, name="the file")
    assert said in str(caught.value)
    assert "the file" in str(caught.value)


def test_unreadable_file_says_how_to_mend_it(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the kernel"):
        read_boot_image(tmp_path / "absent")
    with pytest.raises(ConfigError, match="cannot read the kernel"):
        read_boot_image(tmp_path)


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
        assert not uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux")
        assert not (tmp_path / "vmlinux").exists()
    else:
        assert uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux")
        assert (tmp_path / "vmlinux").read_bytes() == content


@pytest.mark.parametrize("content", [elf(note_type=17), elf(name=b"Sun\0"), elf(machine=0xB7), b"no ELF" * 100])
def test_vmlinux_without_pvh_note_is_not_kept(tmp_path, content):
    (tmp_path / "vmlinuz").write_bytes(bzimage(gzip.compress(content)))
    assert not uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux")
    assert not (tmp_path / "vmlinux").exists()
    (tmp_path / "elf").write_bytes(content)
    assert not has_pvh_note(tmp_path / "elf")


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(elf())[:400],
        lzma.compress(elf())[:400],
        zlib.compress(b"x"),
        zstandard.ZstdCompressor().compress(elf())[:-8],
        b"\x28\xb5\x2f\xfd\xff\xff\xff",
        b"\x02!L\x18\x05\0\0\0\xf0abcd",
    ],
)
def test_damaged_payload_leaves_nothing(tmp_path, packed):
    (tmp_path / "vmlinuz").write_bytes(bzimage(packed))
    assert not uncompressed(tmp_path / "vmlinuz", tmp_path / "vmlinux")
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
