"""Boots real guests with the caches of this user, and measures in them; for guest tests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.guest.connection import Connection
from harness.guest.disks import HostDisks
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.images.initramfs import ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.interfaces import Guest
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.experiment import Experiment
from harness.model.guest import (
    Accelerator,
    AttachedDisk,
    BootPlan,
    CommandResult,
    DiskSpec,
    FilesystemSpec,
    GuestSpec,
)
from harness.model.trial import Stage
from harness.run.measure import Measurement, measure
from harness.run.trial import modules_wanted

NVME = DiskSpec(latency_s=0.002)
NODATACOW = FilesystemSpec(mount_options=("nodatacow",))


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


def run(guest: Guest, experiment: Experiment, disk: AttachedDisk) -> Measurement:
    def on_stage(stage: Stage, detail: str) -> None:
        print(stage, detail)

    return measure(guest, experiment=experiment, disk=disk, seed=11, on_stage=on_stage)


class Meddler:
    """A real guest in which something happens to the disk just before the check."""

    def __init__(self, guest: Guest, command: str) -> None:
        self._guest = guest
        self._command = command

    def __getattr__(self, name: str) -> object:
        return getattr(self._guest, name)

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        if stdin is not None and b"run fsck " in stdin:
            meddled = re.sub(
                r"(?=run fsck .* (/dev/\S+)\n)", lambda found: f"device={found[1]}\n{self._command}\n", stdin.decode()
            )
            assert self._command in meddled
            stdin = meddled.encode()
        return self._guest.run(command, timeout_s=timeout_s, stdin=stdin)
