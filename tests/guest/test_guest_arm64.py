"""A guest of another architecture than the host's: a stock kernel of Debian's for arm64, under emulation."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import qemu_of

from harness.debian.keyring import KEYRING
from harness.errors import CrashError
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
from harness.host.paths import Paths, default_paths
from harness.images.initramfs import BASE_MODULES, ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.arch import ARM64
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBackend, DiskBus, DiskSpec, GuestSpec
from harness.parse.console import crash

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        shutil.which(ARM64.emulator) is None, reason=f"apt-get install {ARM64.emulator_package}: kab works without it"
    ),
    pytest.mark.skipif(not KEYRING.is_file(), reason="apt-get install debian-archive-keyring"),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The user's cache, for kernels and image; a state of our own."""
    return Paths(cache=default_paths().cache, state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def hypervisor(paths: Paths) -> Iterator[LibvirtHypervisor]:
    with Lease(paths) as lease, Connection("embed", paths=paths, lease=lease) as connection:
        yield LibvirtHypervisor(connection, lease=lease)
        assert connection.libvirt.numOfDomains() == 0


@pytest.mark.parametrize("series", ["6.12", "7.2"])
def test_a_kernel_for_arm64(hypervisor: LibvirtHypervisor, paths: Paths, series: str, tmp_path: Path) -> None:
    store = ImageStore(paths, architecture=ARM64)
    image = store.ensure()
    with KernelLibrary(paths) as library:
        kernel = library.resolve(f"debian:{series}/cloud-arm64")
        assert kernel.architecture == ARM64
        modules = library.modules_for(kernel, (*BASE_MODULES, "nvme", "btrfs"))
        archive = ensure_initramfs(
            kernel.directory, modules, read_module, recipe=store.recipe, busybox=busybox_of(image)
        )
    backing = tmp_path / "disk.raw"
    with backing.open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    disk = AttachedDisk(spec=DiskSpec(bus=DiskBus.NVME, backend=DiskBackend.FILE), serial="kab-test", path=backing)
    plan = BootPlan(
        name=f"kab-test-{secrets.token_hex(4)}",
        kernel=kernel.vmlinux or kernel.vmlinuz,
        initramfs=(archive,),
        root_image=image.path,
        guest=GuestSpec(memory_mib=512),
        accelerator=Accelerator.TCG,
        architecture=ARM64,
        disks=(disk,),
        scratch=tmp_path,
        boot_timeout_s=ARM64.emulated_boot_timeout_s,
    )
    assert hypervisor.conditions(ARM64)["qemu"].split(".")[0].isdigit()
    with hypervisor.boot(plan) as guest:
        said = guest.run("uname -rm; nproc; awk 'BEGIN { print ENVIRON[\"HOME\"] }'", timeout_s=30).stdout
        assert said.split() == [kernel.release, "aarch64", "2", "/root"]
        made = guest.run(
            "mkfs.btrfs -q /dev/nvme0n1 && mkdir -p /tmp/mnt && mount /dev/nvme0n1 /tmp/mnt && "
            "fio --name=a --filename=/tmp/mnt/a --size=4m --rw=write --direct=1 --output-format=terse >/dev/null && "
            "sync && btrfs scrub start -B /tmp/mnt",
            timeout_s=120,
        )
        assert made.status == 0, made.stderr
        assert crash(guest.console()) is None
        with pytest.raises(CrashError, match="sysrq triggered crash"):
            guest.run("echo c >/proc/sysrq-trigger", timeout_s=30)
        found = crash(guest.console())
        assert found is not None
        assert found.place == "sysrq_handle_crash"
    assert qemu_of(plan.name) == []
