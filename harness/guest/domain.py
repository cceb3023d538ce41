"""Domain XML of one boot: a pure function of the plan and of what was found out about the host."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBackend, DiskBus
from harness.render import render

# Serial number that the initramfs finds the root filesystem by.
ROOT_SERIAL = "kab-root"
# Virtual network of QEMU's user mode; the guest's init sets the address up itself.
GUEST_ADDRESS = "10.0.2.15"

# What kab needs on every kernel command line, behind its console, and what saves boot time without changing what is
# measured. Nothing here, or in what an architecture adds, changes what the kernel does after its boot: mitigations and
# address layout stay as it has them, and what switching them off would save does not show
# (benchmarks/results/boot-time.md). An experiment can add words of its own.
# panic=-1 resets at once, and QEMU ends at a reset (on_reboot destroy); loglevel=5 keeps warnings on the console.
BASE_CMDLINE = (
    "panic=-1",
    "loglevel=5",
    # Stamps tell the kernel's lines on the console from those of programs, whatever a configuration has as its default.
    "printk.time=1",
    "cryptomgr.notests",
)

# Slots on the root bus. Devices straight on it spare the guest a PCI bridge each; QEMU makes those of its own command
# line before libvirt's, so all addresses are ours to give.
_ROOT_SLOT = 0x02
_DISK_SLOT = 0x03
_RNG_SLOT = 0x0F
_NETWORK_SLOT = 0x10
_NVME_SLOT = 0x11
# Test disks of one bus.
_DISKS_LIMIT = 8

_PCI_ADDRESS = re.compile(r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
_CPU_MODEL = re.compile(r"[A-Za-z0-9_.-]+(,[+-][A-Za-z0-9_.-]+)*")
_CPU_MODES = {"host": "host-passthrough", "max": "maximum"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainParts:
    """What the plan leaves open: made for this boot, or found out about this host."""

    # The initramfs archives and this boot's keys, in one file.
    initramfs: Path
    # QEMU's program for the plan's architecture.
    emulator: Path
    # Test disks whose filesystem refuses O_DIRECT.
    buffered: frozenset[Path] = frozenset()
    # Whom a daemon runs QEMU as ("+UID:+GID" of libvirt); "" where nobody asks, as in a daemon of the user's own.
    user: str = ""
    # Security drivers of the daemon that would keep QEMU from files that they do not see in the XML.
    unconfined: tuple[str, ...] = ()


def kernel_cmdline(plan: BootPlan) -> str:
    """The kernel's command line: what kab needs, then what the experiment asks for (the last one wins)."""
    architecture = plan.architecture
    emulated = architecture.emulated_cmdline if plan.accelerator is Accelerator.TCG else ()
    return " ".join(
        (f"console={architecture.console}", *BASE_CMDLINE, *architecture.cmdline, *emulated, *plan.guest.cmdline)
    )


def domain_xml(plan: BootPlan, parts: DomainParts) -> str:
    """The domain of `plan`. Raises ConfigError for a CPU model or PCI address that is malformed."""
    virtio = [disk for disk in plan.disks if disk.spec.bus is DiskBus.VIRTIO_BLK]
    nvme = [disk for disk in plan.disks if disk.spec.bus is DiskBus.NVME]
    passed = [disk for disk in plan.disks if disk.spec.bus is DiskBus.NVME_PCI]
    if max(len(virtio), len(nvme)) > _DISKS_LIMIT:
        raise ConfigError(f"at most {_DISKS_LIMIT} test disks of one kind")
    architecture = plan.architecture
    kvm = plan.accelerator is Accelerator.KVM
    return render(
        "domain.xml.j2",
        kvm=kvm,
        name=plan.name,
        memory_mib=plan.guest.memory_mib,
        vcpus=plan.guest.vcpus,
        architecture=architecture,
        gic=None if kvm else architecture.emulated_gic,
        kernel=plan.kernel,
        initramfs=parts.initramfs,
        cmdline=kernel_cmdline(plan),
        cpu=_cpu(plan.guest.cpu_model or (architecture.kvm_cpu if kvm else architecture.emulated_cpu)),
        emulator=parts.emulator,
        root_image=plan.root_image,
        root_serial=ROOT_SERIAL,
        root_slot=_ROOT_SLOT,
        rng_slot=_RNG_SLOT,
        disks=[_virtio_disk(disk, number, parts.buffered) for number, disk in enumerate(virtio)],
        user=parts.user,
        unconfined=parts.unconfined,
        passthrough=[_pci_address(disk.spec.device) for disk in passed],
        arguments=[*_network_arguments(), *_nvme_arguments(nvme, parts.buffered)],
    )


def _cpu(model: str) -> dict[str, Any]:
    if not _CPU_MODEL.fullmatch(model):
        raise ConfigError(
            f"malformed CPU model: {model!r}",
            remedy='Give a model of QEMU\'s and features, such as "host", "max" or "Nehalem,+rdrand,-avx".',
        )
    name, *words = model.split(",")
    features = [{"policy": "require" if word[0] == "+" else "disable", "name": word[1:]} for word in words]
    return {"mode": _CPU_MODES.get(name, "custom"), "model": name, "features": features}


def _pci_address(text: str) -> dict[str, str]:
    found = _PCI_ADDRESS.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"malformed PCI address: {text!r}", remedy="Give it as lspci -D prints it, such as 0000:01:00.0."
        )
    domain, bus, slot, function = found.groups()
    return {"domain": domain or "0000", "bus": bus, "slot": slot, "function": function}


def _path(disk: AttachedDisk) -> Path:
    if disk.path is None:
        raise ConfigError(f"disk {disk.serial} has nothing behind it")
    return disk.path


def _virtio_disk(disk: AttachedDisk, number: int, buffered: frozenset[Path]) -> dict[str, Any]:
    types = {DiskBackend.NBD: "network", DiskBackend.BLOCK: "block"}
    path = _path(disk)
    direct = path not in buffered
    # Linux AIO needs O_DIRECT and a file descriptor of a disk or a file, which an NBD socket is not.
    native = direct and disk.spec.backend is not DiskBackend.NBD
    return {
        "type": types.get(disk.spec.backend, "file"),
        "cache": "none" if direct else "writeback",
        "io": "native" if native else "threads",
        "path": path,
        "target": f"vd{chr(ord('b') + number)}",
        "slot": _DISK_SLOT + number,
        "serial": disk.serial,
    }


def _network_arguments() -> list[str]:
    # restrict=on: the guest reaches nothing but the harness. Port 0: the host's kernel chooses a free one.
    return [
        "-netdev",
        "user,id=kab-net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22",
        "-device",
        f"virtio-net-pci,netdev=kab-net,romfile=,bus=pcie.0,addr={_NETWORK_SLOT:#x}",
    ]


def _nvme_arguments(disks: Sequence[AttachedDisk], buffered: frozenset[Path]) -> list[str]:
    # libvirt knows no emulated NVMe controller, so these bypass its XML.
    arguments: list[str] = []
    for number, disk in enumerate(disks):
        node = f"kab-nvme{number}"
        path = str(_path(disk))
        blockdev: dict[str, Any] = {"node-name": node, "discard": "unmap"}
        if disk.spec.backend is DiskBackend.NBD:
            blockdev |= {"driver": "nbd", "server": {"type": "unix", "path": path}}
        else:
            driver = "host_device" if disk.spec.backend is DiskBackend.BLOCK else "file"
            direct = _path(disk) not in buffered
            blockdev |= {"driver": driver, "filename": path, "aio": "native" if direct else "threads"}
            blockdev |= {"cache": {"direct": direct}}
        arguments += ["-blockdev", json.dumps(blockdev)]
        # QEMU's own option syntax: a comma inside a value is doubled.
        serial = disk.serial.replace(",", ",,")
        arguments += ["-device", f"nvme,serial={serial},drive={node},bus=pcie.0,addr={_NVME_SLOT + number:#x}"]
    return arguments
