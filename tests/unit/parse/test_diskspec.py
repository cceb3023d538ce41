"""Disks and filesystems on one line: read, checked, rendered back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.model.guest import MIB, DiskBackend, DiskBus, DiskSpec, FilesystemSpec
from harness.parse.diskspec import (
    FILESYSTEMS,
    check_disk,
    disk_text,
    filesystem_text,
    parse_disk,
    parse_filesystem,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("nvme", DiskSpec()),
        (
            "nvme,backend=nbd,latency=2ms,size=1GiB",
            DiskSpec(bus=DiskBus.NVME, backend=DiskBackend.NBD, latency_s=0.002, size_bytes=1024 * MIB),
        ),
        (
            "virtio-blk, backend=file, size=512MiB",
            DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=512 * MIB),
        ),
        ("null-blk,latency=150us", DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, latency_s=0.00015)),
        ("null-blk,latency=2ms", DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, latency_s=0.002)),
        (
            "virtio-blk,backend=block,device=/dev/disk/by-id/a,,b",
            DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.BLOCK, size_bytes=0, device="/dev/disk/by-id/a,b"),
        ),
        (
            "nvme-pci,device=01:00.0",
            DiskSpec(bus=DiskBus.NVME_PCI, backend=DiskBackend.NONE, size_bytes=0, device="0000:01:00.0"),
        ),
    ],
)
def test_disks(text: str, spec: DiskSpec) -> None:
    assert parse_disk(text) == spec
    assert parse_disk(disk_text(spec)) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin with its kind"),
        ("latency=2ms", "does not begin with its kind"),
        ("nmve", "Did you mean nvme?"),
        ("nvme,latncy=2ms", "Did you mean latency?"),
        ("nvme,backend=ndb", "Did you mean nbd?"),
        ("nvme,latency=2", "it has no unit"),
        ("nvme,latency=20s", "out of range"),
        ("nvme,latency=150us", "whole milliseconds"),
        ("nvme,size=1GB", "unknown unit 'GB'"),
        ("nvme,size=1MiB", "too small"),
        ("nvme,size=0", "too small"),
        ("nvme,size=0MiB", "too small"),
        ("nvme,size=999999999TiB", "too large"),
        ("nvme,\nsize=1GiB", "line feed"),
        ("nvme,backend=block,device=/dev/a\x1bb", "control character"),
        ("nvme,size=16777217", "whole number of MiB"),
        ("nvme,size", "size has no value"),
        ("nvme,size=", "size has no value"),
        ("nvme,size=1GiB,size=2GiB", "twice"),
        ("nvme,backend=none", "needs a backend"),
        ("null-blk,backend=nbd", "has no backend"),
        ("null-blk,device=/dev/sdb", "device= has no meaning"),
        ("nvme,backend=file,latency=2ms", "latency cannot be added"),
        ("nvme,backend=file,device=/dev/sdb", "device= has no meaning"),
        ("nvme,backend=block", "needs a block device"),
        ("nvme,backend=block,device=sdb", "needs a block device"),
        ("nvme,backend=block,device=/dev/sdb,size=1GiB", "takes no size="),
        ("nvme,backend=block,device=/dev/sdb,latency=1ms", "latency cannot be added"),
        ("nvme-pci", "no device="),
        ("nvme-pci,device=/dev/nvme0n1", "not a PCI address"),
        ("nvme-pci,device=0000:01:00.0,size=1GiB", "takes no size="),
    ],
)
def test_disks_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_disk(text)
    assert says in str(caught.value)


def test_a_disk_made_in_code_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="latency cannot be added"):
        check_disk(DiskSpec(backend=DiskBackend.FILE, latency_s=0.001))


@given(
    st.sampled_from([DiskBus.NVME, DiskBus.VIRTIO_BLK]),
    st.integers(min_value=16, max_value=10**6),
    st.integers(min_value=0, max_value=1000),
)
def test_a_rendered_disk_is_read_back(bus: DiskBus, size_mib: int, latency_ms: int) -> None:
    spec = DiskSpec(bus=bus, backend=DiskBackend.NBD, size_bytes=size_mib * MIB, latency_s=latency_ms / 1000)
    assert parse_disk(disk_text(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("btrfs", FilesystemSpec()),
        ("btrfs,mount=nodatacow", FilesystemSpec(mount_options=("nodatacow",))),
        ("btrfs,mount=nodatacow+noatime", FilesystemSpec(mount_options=("nodatacow", "noatime"))),
        ("btrfs,mount=nodatacow,mount=noatime", FilesystemSpec(mount_options=("nodatacow", "noatime"))),
        ("btrfs,mount=compress=zstd:3", FilesystemSpec(mount_options=("compress=zstd:3",))),
        ("btrfs,mkfs=-n 16k", FilesystemSpec(mkfs_options=("-n", "16k"))),
        ("ext4,mkfs=-O ^has_journal,,extent", FilesystemSpec(type="ext4", mkfs_options=("-O", "^has_journal,extent"))),
        ("xfs,mkfs=-L 'my disk'", FilesystemSpec(type="xfs", mkfs_options=("-L", "my disk"))),
    ],
)
def test_filesystems(text: str, spec: FilesystemSpec) -> None:
    assert parse_filesystem(text) == spec
    assert parse_filesystem(filesystem_text(spec)) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("btfrs", "Did you mean btrfs?"),
        ("mount=nodatacow", "does not begin with its kind"),
        ("btrfs,mout=nodatacow", "Did you mean mount?"),
        ("btrfs,mount=a,b", "mount=A+B"),
        ("btrfs,mount=a++b", "'' is not one mount option"),
        ("btrfs,mount=a,,b", "'a,b' is not one mount option"),
        ("btrfs,mkfs='-L", "cannot split"),
    ],
)
def test_filesystems_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_filesystem(text)
    assert says in str(caught.value)


@given(
    st.sampled_from(FILESYSTEMS),
    st.lists(st.text(alphabet="abcz0=:_-", min_size=1), max_size=3),
    st.lists(st.text(alphabet="ab ,'\"\\=^-", min_size=1), max_size=3),
)
def test_a_rendered_filesystem_is_read_back(kind: str, mount: list[str], mkfs: list[str]) -> None:
    spec = FilesystemSpec(type=kind, mount_options=tuple(mount), mkfs_options=tuple(mkfs))
    assert parse_filesystem(filesystem_text(spec)) == spec
