"""Workloads in real guests: witnesses tell kernels apart, filesystems and disks work, damage is found."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.workloads import load_workloads
from harness.errors import DataError, WorkloadError
from harness.guest.connection import Connection
from harness.guest.disks import HostDisks
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
from harness.host.paths import Paths, default_paths
from harness.images.initramfs import ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.interfaces import Guest
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.experiment import Experiment
from harness.model.guest import (
    MIB,
    Accelerator,
    AttachedDisk,
    BootPlan,
    CommandResult,
    DiskBackend,
    DiskBus,
    DiskSpec,
    FilesystemSpec,
    GuestSpec,
)
from harness.model.trial import Stage
from harness.model.workload import Workload
from harness.run.measure import Measurement, measure
from harness.run.trial import modules_wanted
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.guest

WORKLOADS = load_workloads()
NVME = DiskSpec(latency_s=0.002)
FILE = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE)
NULL_BLK = DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, latency_s=0.002, size_bytes=512 * MIB)
NODATACOW = FilesystemSpec(mount_options=("nodatacow",))
CHECKSUMMED = FilesystemSpec()
# One serialised request after the other, and four writers: nothing in between can be either.
SERIAL, PARALLEL = 1.3, 2.2


class Rig:
    """Boots guests with the caches of this user and a state of its own."""

    def __init__(self, paths: Paths, lease: Lease, connection: Connection) -> None:
        self._paths = paths
        self._hypervisor = LibvirtHypervisor(connection, lease=lease)
        self._lease = lease
        self._disks = HostDisks(lease)
        self._kernels = KernelLibrary(paths)
        self._images = ImageStore(paths)
        self._image = self._images.ensure()
        self._boots = 0

    @contextmanager
    def boot(self, spec: str, experiment: Experiment) -> Iterator[tuple[Guest, AttachedDisk]]:
        self._boots += 1
        name = f"kab-measure-{self._boots}"
        kernel = self._kernels.resolve(spec)
        wanted = modules_wanted(experiment.disk, experiment.filesystem, experiment.workload.modules)
        initramfs = ensure_initramfs(
            kernel.directory,
            self._kernels.modules_for(kernel, wanted),
            read_module,
            recipe=self._images.recipe,
            busybox=busybox_of(self._image),
        )
        with (
            self._lease.folder(self._paths.scratch / name) as scratch,
            self._disks.attach(experiment.disk, serial=name, scratch=scratch) as disk,
        ):
            plan = BootPlan(
                name=name,
                kernel=kernel.vmlinuz,
                initramfs=(initramfs,),
                root_image=self._image.path,
                guest=GuestSpec(),
                accelerator=Accelerator.TCG,
                disks=(disk,),
                scratch=scratch,
            )
            with self._hypervisor.boot(plan) as guest:
                yield guest, disk

    def measure(self, spec: str, experiment: Experiment) -> Measurement:
        with self.boot(spec, experiment) as (guest, disk):
            return run(guest, experiment, disk)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    # libvirt's sockets need a short path.
    state = Path(tempfile.mkdtemp(prefix="kab-"))
    paths = Paths(cache=default_paths().cache, state=state)
    try:
        with Lease(paths) as lease, Connection("embed", paths=paths, lease=lease) as connection:
            yield Rig(paths, lease, connection)
    finally:
        shutil.rmtree(state)


def quick(name: str) -> Workload:
    return replace(WORKLOADS[name], warmup_s=0.5, runtime_s=1.5, iterations=1)


def experiment_of(
    workload: str = "shared-dio", disk: DiskSpec = NVME, filesystem: FilesystemSpec = NODATACOW
) -> Experiment:
    return Experiment(baseline="", candidate="", workload=quick(workload), disk=disk, filesystem=filesystem)


def run(guest: Guest, experiment: Experiment, disk: AttachedDisk) -> Measurement:
    def on_stage(stage: Stage, detail: str) -> None:
        print(stage, detail)

    return measure(guest, experiment=experiment, disk=disk, seed=11, on_stage=on_stage)


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


class Meddler:
    """A real guest in which something happens to the disk just before the check."""

    def __init__(self, guest: Guest, command: str) -> None:
        self._guest = guest
        self._command = command

    def __getattr__(self, name: str) -> object:
        return getattr(self._guest, name)

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        if stdin is not None and b"verify-read" in stdin:
            meddled = re.sub(
                r"(?=run fsck .* (/dev/\S+)\n)", lambda found: f"device={found[1]}\n{self._command}\n", stdin.decode()
            )
            assert self._command in meddled
            stdin = meddled.encode()
        return self._guest.run(command, timeout_s=timeout_s, stdin=stdin)


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
