"""Workloads in real guests: witnesses tell kernels apart, filesystems and disks work, damage is found."""

from dataclasses import replace

import pytest
from rig import NODATACOW, NVME, Meddler, run

from harness.config.workloads import load_workloads
from harness.errors import DataError, WorkloadError
from harness.model.experiment import Experiment
from harness.model.guest import (
    MIB,
    DiskBackend,
    DiskBus,
    DiskSpec,
    FilesystemSpec,
)
from harness.model.workload import Workload
from harness.run.measure import Measurement
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.guest

WORKLOADS = load_workloads()
FILE = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE)
NULL_BLK = DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, latency_s=0.002, size_bytes=512 * MIB)
CHECKSUMMED = FilesystemSpec()
# One serialised request after the other, and four writers: nothing in between can be either.
SERIAL, PARALLEL = 1.3, 2.2


def quick(name: str) -> Workload:
    return replace(WORKLOADS[name], warmup_s=0.5, runtime_s=1.5, iterations=1)


def experiment_of(
    workload: str = "shared-dio", disk: DiskSpec = NVME, filesystem: FilesystemSpec = NODATACOW
) -> Experiment:
    return Experiment(baseline="", candidate="", workload=quick(workload), disk=disk, filesystem=filesystem)


def value(measurement: Measurement, metric: str) -> float:
    (only,) = measurement.samples[metric]
    return only


def test_lock_of_btrfs_shows_in_the_queue_depth(rig):
    """From v6.8 on direct writes to one file were serialised; v7.2 mended it."""
    serialised = rig.measure("debian:6.12", experiment_of())
    parallel = rig.measure("debian:7.2", experiment_of())
    assert value(serialised, "queue_depth") < SERIAL
    assert value(parallel, "queue_depth") > PARALLEL
    for measurement in (serialised, parallel):
        assert value(measurement, "dirtied_per_page") < 0.1
        assert value(measurement, "disk_latency") > 2000
        assert set(measurement.samples) <= set(METRICS)
        assert not [finding for finding in measurement.findings if finding.kind.is_crash]
        assert "nodatacow" in measurement.environment["mount"]


def test_buffered_fallback_shows_in_the_dirtied_pages(rig):
    """From v6.15 on (and in 6.12 stable) direct writes to files with checksums go through the page cache."""
    found = rig.measure("debian:7.2", experiment_of(filesystem=CHECKSUMMED))
    assert value(found, "dirtied_per_page") == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("kernel", "filesystem", "disk"),
    [
        ("debian:7.2", FilesystemSpec(type="ext4"), FILE),
        ("debian:6.1", FilesystemSpec(type="xfs"), NULL_BLK),
        ("debian:6.12", NODATACOW, NULL_BLK),
        ("debian:6.12", NODATACOW, replace(FILE, bus=DiskBus.NVME)),
    ],
    ids=["ext4-virtio-file", "xfs-null-blk", "btrfs-null-blk", "btrfs-nvme-file"],
)
def test_filesystems_and_disks(rig, kernel, filesystem, disk):
    found = rig.measure(kernel, experiment_of(disk=disk, filesystem=filesystem))
    depth = value(found, "queue_depth")
    assert depth < SERIAL if filesystem.type == "btrfs" else depth > PARALLEL
    if disk.latency_s:
        assert value(found, "disk_latency") > disk.latency_s * 1e6
    assert found.environment["mount"].split()[2] == filesystem.type


def test_every_workload_runs(rig):
    with rig.boot("debian:7.2", experiment_of()) as (guest, disk):
        for name in WORKLOADS:
            found = run(guest, experiment_of(name), disk)
            missing = set(WORKLOADS[name].deciding) - set(found.samples)
            assert not missing, f"{name} does not give what decides it"


def test_damage_is_found(rig):
    with rig.boot("debian:7.2", experiment_of()) as (guest, disk):
        # Both copies of the metadata lie behind the first superblock, in the first 300 MiB of the disk.
        zero = "dd if=/dev/zero of=$device bs=1M seek=1 count=300 conv=notrunc oflag=direct status=none"
        with pytest.raises(DataError, match="filesystem check failed"):
            run(Meddler(guest, zero), experiment_of(), disk)
        # Data only: the filesystem is whole, what was written is not there any more.
        lose = (
            'mount "$device" "$mnt"; '
            'dd if=/dev/urandom of="$mnt/verify" bs=4k seek=5 count=1 conv=notrunc status=none; umount "$mnt"'
        )
        with pytest.raises(DataError, match="data read back is not what was written"):
            run(Meddler(guest, lose), experiment_of(), disk)
        shrink = 'mount "$device" "$mnt"; truncate -s 1M "$mnt/data.0"; umount "$mnt"'
        with pytest.raises(DataError, match="other sizes"):
            run(Meddler(guest, shrink), experiment_of(), disk)


def test_workload_that_cannot_run(rig):
    with rig.boot("debian:7.2", experiment_of()) as (guest, disk):
        with pytest.raises(WorkloadError, match=r"prepare failed.*nonsense"):
            run(guest, experiment_of(filesystem=FilesystemSpec(mount_options=("nonsense",))), disk)
        large = replace(quick("shared-dio"), parameters={**WORKLOADS["shared-dio"].parameters, "file_size": 2048 * MIB})
        with pytest.raises(WorkloadError, match="No space left on device"):
            run(guest, replace(experiment_of(), workload=large), disk)
