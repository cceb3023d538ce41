"""arm64 boot images: a recorded header, and images packed in every way that is known."""

import gzip
import lzma
import struct
import zlib
from pathlib import Path

import pytest
import zstandard

from harness.errors import ConfigError
from harness.kernels.arm64image import is_arm64
from harness.kernels.bootimage import read_boot_image, unpack_boot_image
from harness.model.arch import ARM64

pytestmark = pytest.mark.unit

RELEASE = "6.12.118+deb13-cloud-arm64"
BANNER = (
    f"Linux version {RELEASE} (debian-kernel@lists.debian.org) (aarch64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.44) #1 SMP Debian 6.12.118-1 (2026-11-20)\n"
)
RECORDED = (Path(__file__).parents[2] / "data" / "kernels" / "Image-6.12.117.head").read_bytes()
# Size of the file that it is the beginning of.
WHOLE = 30_894_016
# That of a kernel without an EFI stub, which says nothing of the file's size.
HEADER = RECORDED[:0x3C] + bytes(4)


def image(banner=BANNER, *, before=256 * 1024):
    """An Image that has its banner behind the format of /proc/version."""
    filling = b"".join(struct.pack("<I", n * 2654435761 & 0xFFFFFFFF) for n in range(before // 4))
    return HEADER + filling + b"Linux version %s (me)\0" % b"%s" + banner.encode() + b"\0" * 4096


def zboot(packed, kind=b"gzip"):
    """A PE file for arm64 with the header of EFI zboot before it."""
    dos = bytearray(64)
    dos[0:2], dos[4:8] = b"MZ", b"zimg"
    header = struct.pack("<4sHHIIIHH", b"PE\0\0", 0xAA64, 0, 0, 0, 0, 240, 0) + bytes(240)
    start = len(dos) + len(header)
    dos[8:16] = struct.pack("<II", start, len(packed))
    dos[24 : 24 + len(kind)] = kind
    dos[0x3C:0x40] = struct.pack("<I", 64)
    return bytes(dos) + header + packed + bytes(64)


PACKED = {
    "Image": lambda content: content,
    "Image.gz": lambda content: gzip.compress(content, mtime=0),
    "zboot of gzip": lambda content: zboot(gzip.compress(content, mtime=0)),
    "zboot of zstd": lambda content: zboot(zstandard.compress(content), b"zstd"),
    "zboot of xz": lambda content: zboot(lzma.compress(content), b"xzkern"),
}


@pytest.mark.parametrize("form", list(PACKED))
def test_every_form_says_its_release_and_is_unpacked_to_an_image(tmp_path, form):
    content = image()
    path, out = tmp_path / "vmlinuz", tmp_path / "Image"
    path.write_bytes(PACKED[form](content))
    found = read_boot_image(path)
    assert (found.architecture, found.release, found.version) == (ARM64, RELEASE, "6.12.118-1")
    assert unpack_boot_image(path, out, name="vmlinuz") is (form != "Image")
    assert out.exists() is (form != "Image")
    if out.exists():
        assert out.read_bytes() == content


@pytest.mark.parametrize("before", [1024 * 1024 - len(HEADER) - n for n in (4, 40, 120, 204)])
def test_a_banner_that_two_pieces_share_is_read_whole(tmp_path, before):
    path = tmp_path / "Image"
    path.write_bytes(image(before=before // 4 * 4))
    assert read_boot_image(path).version == "6.12.118-1"


@pytest.mark.parametrize("form", [form for form in PACKED if form != "Image"])
def test_what_is_cut_short_or_damaged_is_told(tmp_path, form):
    whole = PACKED[form](image())
    path, out = tmp_path / "vmlinuz", tmp_path / "Image"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"does not unpack|does not say which version"):
        read_boot_image(path)
    with pytest.raises(ConfigError, match="does not unpack"):
        unpack_boot_image(path, out, name="vmlinuz")
    assert not out.exists()


def test_an_image_with_an_efi_stub_says_how_long_it_is(tmp_path):
    path = tmp_path / "Image"
    path.write_bytes(RECORDED + image())
    with pytest.raises(ConfigError, match=f"cut short: its header says that it has {WHOLE} bytes, but there are "):
        read_boot_image(path)
    with path.open("r+b") as file:
        file.truncate(WHOLE - 1)
    with pytest.raises(ConfigError, match="cut short"):
        read_boot_image(path)
    with path.open("r+b") as file:
        file.truncate(WHOLE)
    assert read_boot_image(path).release == RELEASE


@pytest.mark.parametrize("banner", ["", "Linux version", "Linux version \x1b[31m6.12 (me)"])
def test_an_image_without_a_release_is_refused(tmp_path, banner):
    path = tmp_path / "Image"
    path.write_bytes(image(banner))
    with pytest.raises(ConfigError, match="does not say which version it is") as caught:
        read_boot_image(path)
    assert "Name an unaltered Image" in caught.value.remedy


def test_a_hostile_release_is_refused(tmp_path):
    path = tmp_path / "Image"
    path.write_bytes(image("Linux version 6.12/../../etc (me)"))
    with pytest.raises(ConfigError, match="no kernel release"):
        read_boot_image(path)


def test_other_files_are_none():
    for content in (b"", b"MZ", b"\x1f\x8b", gzip.compress(b"hello" * 99), b"\x7fELF" + bytes(64), zlib.compress(b"a")):
        assert not is_arm64(content)
