"""Closure and load order over depmod's recorded files (cut to the folders that guests load from)."""

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from harness.errors import HostError, KernelError
from harness.kernels.modules import read_module, read_module_index
from harness.parse.modules import module_name, parse_module_index

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "kernels"


def names(version, *wanted):
    index = read_module_index(DATA / f"modules-{version}")
    return [module_name(path) for path in index.closure(wanted, kernel=version)]


@pytest.mark.parametrize("version", ["5.10.0", "6.18.15", "7.2.12"])
def test_everything_comes_after_what_it_needs(version):
    index = read_module_index(DATA / f"modules-{version}")
    order = names(version, "btrfs", "virtio_blk", "virtio-net", "null_blk", "overlay", "erofs", "?virtio_pci")
    assert len(order) == len(set(order))
    for position, name in enumerate(order):
        assert set(index.hard[name]) <= set(order[:position])
        assert name not in index.builtin
    assert {"btrfs", "virtio_blk", "virtio_net", "null_blk", "overlay", "erofs"} <= set(order)


def test_soft_dependency_by_alias_before_btrfs():
    # Without it, 6.18 fails to mount Btrfs: "error allocating crc32c hash".
    order = names("6.18.15", "btrfs")
    assert order.index("crc32c_cryptoapi") < order.index("btrfs")
    assert order.index("xxhash_generic") < order.index("btrfs")


def test_soft_dependencies_of_hard_dependencies():
    # libcrc32c pre: crc32c, an alias that crc32c-intel claims on 5.10.
    assert read_module_index(DATA / "modules-5.10.0").soft["libcrc32c"].pre == ("crc32c",)
    order = names("5.10.0", "btrfs")
    assert order.index("crc32c_intel") < order.index("libcrc32c") < order.index("btrfs")


def test_builtin_is_left_out():
    assert names("7.2.12", "ext4", "nvme") == []
    assert names("7.2.12", "nvme-core") == []


def test_dash_and_underscore_are_the_same():
    assert names("7.2.12", "virtio-blk") == names("7.2.12", "virtio_blk") != []


def test_missing_module_is_named_with_its_kernel():
    with pytest.raises(KernelError, match=r"kernel 7\.2\.12 has no module nosuch, other"):
        names("7.2.12", "btrfs", "nosuch", "?optional", "other")


def test_optional_module():
    assert names("7.2.12", "?nosuch") == []
    assert names("7.2.12", "?overlay") == ["overlay"]


def test_soft_dependencies_after_and_cycles():
    index = parse_module_index(
        dep="a.ko: b.ko\nb.ko:\nc.ko:\n",
        softdep="softdep a post: c-alias missing\nsoftdep c pre: a\n",
        alias="alias c_alias c\nalias pci:v*d* b\n",
    )
    assert index.closure(["a"], kernel="k") == ("b.ko", "a.ko", "c.ko")
    assert "pci:v*d*" not in index.aliases


def test_hard_dependency_chain_is_loaded_deepest_first():
    index = parse_module_index(dep="kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\n")
    assert index.closure(["a"], kernel="k") == ("kernel/c.ko", "kernel/b.ko", "kernel/a.ko")


def test_read_module_whatever_it_is_packed_with(tmp_path):
    content = b"\x7fELF" + bytes(range(256)) * 50
    packed = {
        "a.ko": content,
        "a.ko.xz": lzma.compress(content, check=lzma.CHECK_CRC32),
        "a.ko.gz": gzip.compress(content),
        "a.ko.zst": zstandard.ZstdCompressor().compress(content),
        "b.ko.zst": zstandard.ZstdCompressor(write_content_size=False).compress(content),
    }
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
        assert read_module(tmp_path / name) == content


@pytest.mark.parametrize("name", ["a.ko.xz", "a.ko.gz", "a.ko.zst"])
def test_damaged_module(tmp_path, name):
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(HostError, match=r"cannot read the kernel module"):
        read_module(tmp_path / name)


def test_absent_module(tmp_path):
    with pytest.raises(HostError, match=r"cannot read the kernel module"):
        read_module(tmp_path / "a.ko")
