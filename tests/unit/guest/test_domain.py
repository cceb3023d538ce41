"""Domain XML: golden documents, and what must never get into one unescaped."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.guest.domain import DomainParts, domain_xml, kernel_cmdline
from harness.model.arch import ARM64
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBackend, DiskBus, DiskSpec, GuestSpec

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[2] / "data" / "domain"
PARTS = DomainParts(initramfs=Path("/scratch/initramfs"), emulator=Path("/usr/bin/qemu-system-x86_64"))


def disk(
    bus: DiskBus, backend: DiskBackend, path: str = "", serial: str = "kab-test", device: str = ""
) -> AttachedDisk:
    spec = DiskSpec(bus=bus, backend=backend, device=device)
    return AttachedDisk(spec=spec, serial=serial, path=Path(path) if path else None)


PLAN = BootPlan(
    name="kab-0123abcd",
    kernel=Path("/cache/vmlinuz"),
    initramfs=(Path("/cache/initramfs.cpio"),),
    root_image=Path("/cache/root.ext4"),
    guest=GuestSpec(),
    accelerator=Accelerator.TCG,
    scratch=Path("/scratch"),
)
EVERY_DISK = (
    disk(DiskBus.VIRTIO_BLK, DiskBackend.FILE, "/scratch/disk.raw", "kab-a"),
    disk(DiskBus.VIRTIO_BLK, DiskBackend.BLOCK, "/dev/sdz", "kab-b"),
    disk(DiskBus.VIRTIO_BLK, DiskBackend.NBD, "/scratch/nbd.sock", "kab-c"),
    disk(DiskBus.NVME, DiskBackend.FILE, "/scratch/nvme, comma.raw", "kab-d"),
    disk(DiskBus.NVME, DiskBackend.BLOCK, "/dev/sdy", "kab-e"),
    disk(DiskBus.NVME, DiskBackend.NBD, "/scratch/nvme.sock", "kab-f"),
    disk(DiskBus.NVME_PCI, DiskBackend.NONE, device="0000:3d:00.0"),
    disk(DiskBus.NULL_BLK, DiskBackend.NONE),
)
PLANS = {
    "emulated": replace(PLAN, disks=(disk(DiskBus.NVME, DiskBackend.NBD, "/scratch/nbd.sock"),)),
    "kvm": replace(PLAN, accelerator=Accelerator.KVM, guest=GuestSpec(vcpus=4, memory_mib=2048)),
    "arm64": replace(PLAN, architecture=ARM64, disks=(disk(DiskBus.NVME, DiskBackend.NBD, "/scratch/nbd.sock"),)),
    "every-disk": replace(PLAN, disks=EVERY_DISK, guest=GuestSpec(cpu_model="Nehalem,+rdrand,-vmx")),
}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_golden(name: str) -> None:
    assert domain_xml(PLANS[name], PARTS) == (GOLDEN / f"{name}.xml").read_text()


def arguments(document: str, word: str) -> list[str]:
    words = [element.get("value", "") for element in ET.fromstring(document).iter() if element.tag.endswith("}arg")]
    return [after for before, after in pairwise(words) if before == word]


def test_an_arm64_guest_has_what_that_machine_has() -> None:
    document = ET.fromstring(domain_xml(PLANS["arm64"], replace(PARTS, emulator=Path("/usr/bin/qemu-system-aarch64"))))
    kind = document.find("os/type")
    assert kind is not None
    assert kind.attrib == {"arch": "aarch64", "machine": "virt"}
    assert document.findtext("devices/emulator") == "/usr/bin/qemu-system-aarch64"
    # ACPI would need firmware, which a kernel that is booted directly does without.
    assert [element.tag for element in document.findall("features/*")] == ["gic"]
    assert document.find("clock/timer") is None
    words = (document.findtext("os/cmdline") or "").split()
    assert words[0] == "console=ttyAMA0"
    assert not {"tsc=reliable", "no_timer_check"}.intersection(words)
    on_kvm = replace(PLANS["arm64"], accelerator=Accelerator.KVM)
    assert "<cpu mode='host-passthrough'" in domain_xml(on_kvm, PARTS)
    assert "<gic" not in domain_xml(on_kvm, PARTS)


def test_names_are_escaped() -> None:
    plan = replace(PLAN, kernel=Path("/cache/<&'\">/vmlinuz"), guest=GuestSpec(cmdline=("a=<'&\">",)))
    document = ET.fromstring(domain_xml(plan, PARTS))
    assert document.findtext("os/kernel") == "/cache/<&'\">/vmlinuz"
    assert (document.findtext("os/cmdline") or "").endswith(" a=<'&\">")


def test_paths_survive_the_options_of_qemu() -> None:
    blockdevs = [json.loads(text) for text in arguments(domain_xml(PLANS["every-disk"], PARTS), "-blockdev")]
    assert blockdevs[0]["filename"] == "/scratch/nvme, comma.raw"
    assert blockdevs[0]["cache"] == {"direct": True}
    assert blockdevs[2]["server"] == {"type": "unix", "path": "/scratch/nvme.sock"}


def test_commas_in_a_serial_number_are_doubled() -> None:
    plan = replace(PLAN, disks=(disk(DiskBus.NVME, DiskBackend.FILE, "/scratch/x", "a,b"),))
    assert any(",serial=a,,b," in f",{text}" for text in arguments(domain_xml(plan, PARTS), "-device"))


def test_a_disk_without_direct_io_is_buffered() -> None:
    plan = replace(PLAN, disks=EVERY_DISK[:1] + EVERY_DISK[3:4])
    paths = frozenset(one.path for one in plan.disks if one.path)
    document = domain_xml(plan, replace(PARTS, buffered=paths))
    driver = ET.fromstring(document).findall("devices/disk/driver")[1]
    assert (driver.get("cache"), driver.get("io")) == ("writeback", "threads")
    [blockdev] = [json.loads(text) for text in arguments(document, "-blockdev")]
    assert (blockdev["aio"], blockdev["cache"]) == ("threads", {"direct": False})


def test_the_guest_reaches_nothing() -> None:
    [network] = arguments(domain_xml(PLAN, PARTS), "-netdev")
    assert "restrict=on" in network.split(",")


def test_words_of_the_experiment_come_last_on_the_command_line() -> None:
    plan = replace(PLAN, guest=GuestSpec(cmdline=("tsc=unstable", "mitigations=off")))
    words = kernel_cmdline(plan).split()
    assert words[0] == "console=ttyS0"
    assert words[-2:] == ["tsc=unstable", "mitigations=off"]
    assert "tsc=reliable" in words
    assert "tsc=reliable" not in kernel_cmdline(replace(plan, accelerator=Accelerator.KVM)).split()


def test_nothing_switches_off_what_users_run_with() -> None:
    words = kernel_cmdline(PLAN)
    assert "mitigations" not in words
    assert "nokaslr" not in words


@pytest.mark.parametrize("model", ["", "host", "max", "qemu64,+rdrand", "EPYC-v2"])
def test_cpu_models(model: str) -> None:
    cpu = ET.fromstring(domain_xml(replace(PLAN, guest=GuestSpec(cpu_model=model)), PARTS)).find("cpu")
    assert cpu is not None
    assert cpu.get("mode") == {"host": "host-passthrough", "max": "maximum"}.get(model, "custom")


@pytest.mark.parametrize("model", ["a b", "qemu64,rdrand", "'/>", "max,+"])
def test_malformed_cpu_models(model: str) -> None:
    with pytest.raises(ConfigError, match="CPU model"):
        domain_xml(replace(PLAN, guest=GuestSpec(cpu_model=model)), PARTS)


@pytest.mark.parametrize("address", ["", "nvme0", "3d:00", "0000:3d:00.8", "00000:3d:00.0"])
def test_malformed_pci_addresses(address: str) -> None:
    plan = replace(PLAN, disks=(disk(DiskBus.NVME_PCI, DiskBackend.NONE, device=address),))
    with pytest.raises(ConfigError, match="PCI address"):
        domain_xml(plan, PARTS)


def test_a_disk_without_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="kab-test has nothing behind it"):
        domain_xml(replace(PLAN, disks=(disk(DiskBus.NVME, DiskBackend.NBD),)), PARTS)


def test_who_runs_qemu_under_a_daemon() -> None:
    document = ET.fromstring(domain_xml(PLAN, replace(PARTS, user="+1000:+64055", unconfined=("apparmor",))))
    dac, apparmor = document.findall("seclabel")
    assert dac.attrib == {"type": "static", "model": "dac", "relabel": "no"}
    assert dac.findtext("label") == "+1000:+64055"
    assert apparmor.attrib == {"type": "none", "model": "apparmor"}
    assert ET.fromstring(domain_xml(PLAN, PARTS)).findall("seclabel") == []
