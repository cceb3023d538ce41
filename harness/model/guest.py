"""Guests and disks: what a trial's virtual machine is made of."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model.arch import X86_64, Architecture

MIB = 1024 * 1024


class Accelerator(StrEnum):
    """Who runs the guest's instructions. Found out by booting, never by looking at ``/dev/kvm``."""

    KVM = "kvm"
    TCG = "tcg"


class DiskBus(StrEnum):
    """How the guest sees the test disk."""

    VIRTIO_BLK = "virtio-blk"
    NVME = "nvme"
    # A real NVMe device given to the guest with VFIO.
    NVME_PCI = "nvme-pci"
    # No disk of the host at all: the kernel's own null_blk with a timer, inside the guest.
    NULL_BLK = "null-blk"


class DiskBackend(StrEnum):
    """What stands behind the bus on the host."""

    FILE = "file"
    BLOCK = "block"
    NBD = "nbd"
    # null-blk and nvme-pci have none.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """The test disk, as in ``--disk nvme,backend=nbd,latency=2ms,size=1GiB``."""

    bus: DiskBus = DiskBus.NVME
    backend: DiskBackend = DiskBackend.NBD
    # 0 for a real device (backend block, bus nvme-pci): all of it.
    size_bytes: int = 1024 * MIB
    # Time added to each request, seconds; needs backend nbd or bus null-blk.
    latency_s: float = 0.0
    # Block device of the host (backend block), or PCI address (bus nvme-pci).
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesystemSpec:
    """The filesystem under test, as in ``--fs btrfs,mount=nodatacow``."""

    type: str = "btrfs"
    # Options for mount -o, in order.
    mount_options: tuple[str, ...] = ()
    # Arguments for mkfs, in order.
    mkfs_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """The virtual machine's size and the kernel's command line beyond what kab needs itself."""

    vcpus: int = 2
    memory_mib: int = 1024
    # Extra words for the kernel command line; they change behaviour (mitigations!), so they are stored.
    cmdline: tuple[str, ...] = ()
    # QEMU -cpu model; empty: kab's choice for the accelerator.
    cpu_model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedDisk:
    """A test disk that the host has prepared and that a domain can be given."""

    spec: DiskSpec
    # Serial number that the guest finds the disk by; at most 20 characters (the limit of virtio-blk).
    serial: str
    # Path of the file or block device, or of the NBD export's UNIX socket; None for null-blk.
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPlan:
    """Everything a hypervisor needs to start one guest."""

    # Domain name, unique on the host.
    name: str
    # Boot image: bzImage or an uncompressed ELF vmlinux (PVH); for arm64 an uncompressed Image.
    kernel: Path
    # One or more cpio archives, concatenated by the hypervisor's adapter.
    initramfs: tuple[Path, ...]
    # Read-only root filesystem image.
    root_image: Path
    guest: GuestSpec
    accelerator: Accelerator
    architecture: Architecture = X86_64
    disks: tuple[AttachedDisk, ...] = ()
    # Where console log and sockets of this boot go; removed by whoever made it.
    scratch: Path = Path()
    boot_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command in the guest returned. A non-zero status is not an error by itself."""

    command: str
    status: int
    stdout: str
    stderr: str
    duration_s: float
    # Bytes left out in the middle of stdout, which was too long to be kept.
    cut_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A guest root filesystem: named by the hash of its recipe, the same one for every kernel."""

    name: str
    # Hash of the recipe (packages, suite, init, builder version).
    recipe_digest: str
    path: Path
    size_bytes: int
    # Package versions inside, "name=version", sorted.
    packages: tuple[str, ...] = ()
    # What its programs run on.
    architecture: Architecture = X86_64
