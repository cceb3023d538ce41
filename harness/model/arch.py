"""Architectures that guests can be of: what differs between them, in one place. A kernel says which one it is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What QEMU, libvirt, Debian and kbuild call an architecture, and what a guest of it is made of."""

    # In messages and in what is stored.
    name: str
    # As uname -m and libvirt have it.
    machine: str
    # Debian's name of it, which its packages bear.
    debian: str
    # Debian's flavours of kernels, the one that is meant where none is named first.
    flavours: tuple[str, ...]
    # QEMU's program, and the Debian package that brings it.
    emulator: str
    emulator_package: str
    # QEMU's machine with a PCI Express root bus, which all devices of a guest sit on.
    machine_type: str
    # Whether libvirt describes the machine to the kernel by ACPI; else by a device tree, for ACPI would want firmware.
    acpi: bool
    # Version of the interrupt controller in emulated guests, where it is to be chosen: QEMU's own choice for arm64, 2,
    # bears 8 processors. Under KVM it is the host's.
    emulated_gic: int | None = None
    # The kernel's first serial port, and what libvirt calls it.
    console: str
    serial: str
    # Words of the kernel's command line, and those that only emulated guests get.
    cmdline: tuple[str, ...] = ()
    emulated_cmdline: tuple[str, ...] = ()
    # QEMU's CPU models where the experiment names none: under KVM the guest sees the host; the plainest model starts a
    # kernel fastest under emulation (benchmarks/results/boot-time.md).
    kvm_cpu: str = "host"
    emulated_cpu: str
    # Seconds after which an emulated guest that is still booting is called hung: more than ten times the usual.
    emulated_boot_timeout_s: float
    # e_machine of its ELF files.
    elf_machine: int
    # What a kernel tree builds for it, and what kbuild calls the target (make ARCH=... TARGET).
    kbuild: str
    kbuild_target: str
    kbuild_image: PurePosixPath

    @property
    def kbuild_folder(self) -> str:
        """Its folder in a kernel tree: "arch/x86"."""
        return "/".join(self.kbuild_image.parts[:2])

    def __str__(self) -> str:
        return self.name


X86_64 = Architecture(
    name="x86-64",
    machine="x86_64",
    debian="amd64",
    flavours=("cloud-amd64", "amd64"),
    emulator="qemu-system-x86_64",
    emulator_package="qemu-system-x86",
    machine_type="q35",
    acpi=True,
    console="ttyS0",
    serial="isa-serial",
    cmdline=("no_timer_check",),
    # The emulated clock is sound; without the word the kernel watches it and falls back to a slow one on a busy host.
    emulated_cmdline=("tsc=reliable",),
    emulated_cpu="qemu64,+rdrand",
    emulated_boot_timeout_s=90.0,
    elf_machine=0x3E,
    kbuild="x86_64",
    kbuild_target="bzImage",
    kbuild_image=PurePosixPath("arch/x86/boot/bzImage"),
)

ARM64 = Architecture(
    name="arm64",
    machine="aarch64",
    debian="arm64",
    flavours=("cloud-arm64", "arm64"),
    emulator="qemu-system-aarch64",
    emulator_package="qemu-system-arm",
    machine_type="virt",
    acpi=False,
    emulated_gic=3,
    console="ttyAMA0",
    serial="system-serial",
    emulated_cpu="cortex-a72",
    emulated_boot_timeout_s=120.0,
    elf_machine=0xB7,
    kbuild="arm64",
    kbuild_target="Image",
    kbuild_image=PurePosixPath("arch/arm64/boot/Image"),
)

ARCHITECTURES = (X86_64, ARM64)
# By the names that are stored.
BY_NAME: Mapping[str, Architecture] = {architecture.name: architecture for architecture in ARCHITECTURES}


def of_flavour(flavour: str) -> Architecture | None:
    """The architecture of one of Debian's flavours, or None."""
    return next((found for found in ARCHITECTURES if flavour in found.flavours), None)


def of_release(release: str) -> Architecture:
    """The architecture that Debian's name of it at the end of a release says ("6.12.107+deb13-cloud-arm64"); x86-64."""
    return next((found for found in ARCHITECTURES if release.endswith(f"-{found.debian}")), X86_64)
