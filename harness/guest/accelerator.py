"""KVM or emulation: found out by booting a kernel, remembered until the host boots again."""

import hashlib
import json
import logging
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import ConfigError, HostError, KabError
from harness.guest.hypervisor import LibvirtHypervisor, await_marker
from harness.guest.keys import BootKeys
from harness.guest.qemuhost import KVM_DEVICE, Access, QemuHost
from harness.guest.uri import EMBEDDED
from harness.host.paths import Paths
from harness.host.probes import read
from harness.host.reaper import boot_id
from harness.model.arch import X86_64, Architecture
from harness.model.guest import Accelerator, BootPlan, GuestSpec
from harness.parse.console import INIT_MARKER

_log = logging.getLogger(__name__)

# With KVM a kernel is in userspace after a second; a busy host gets more.
PROBE_TIMEOUT_S = 20.0
# The first major version that emulates kernels soundly; 7.2 crashed stock kernels in about one boot of four.
_SOUND_QEMU = 8

# Of the embedded driver; other connections have one each.
_MEMORY_FILE = "accelerator.json"

_CONSEQUENCE = (
    "guests are emulated: every figure is far below that of real hardware, so only ratios and witnesses tell, "
    "and a crash counts only when another boot confirms it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which accelerator works here."""

    accelerator: Accelerator
    # For the user: what was found, its consequence and, where there is one, the remedy.
    sentence: str


def emulation_is_sound(qemu_version: str) -> bool:
    """Whether this QEMU ("10.0.2") emulates kernels without crashing them by itself."""
    found = re.match(r"\d+", qemu_version)
    return found is not None and int(found[0]) >= _SOUND_QEMU


def require_sound_emulation(qemu_version: str, architecture: Architecture = X86_64) -> None:
    """Refuse emulation by a QEMU that crashes healthy kernels. Raises HostError with the remedy."""
    if emulation_is_sound(qemu_version):
        return
    suite = f"{_codename()}-backports"
    raise HostError(
        f"QEMU {qemu_version} crashes healthy kernels when it emulates, and KVM does not work here",
        remedy=f"Install a newer one: apt-get install -t {suite} {architecture.emulator_package} (after adding "
        f"{suite} to APT).",
    )


def require_native(host: QemuHost, architecture: Architecture) -> None:
    """Refuse KVM for guests of another architecture than the host's. Raises ConfigError."""
    if host.machine() != architecture.machine:
        raise ConfigError(
            f"KVM runs guests of the host's own architecture only: {host.name} is {host.machine()}, the kernel is for "
            f"{architecture}",
            remedy="Leave out `--accel kvm`, or name a host of that architecture with --connect.",
        )


def probe_accelerator(hypervisor: LibvirtHypervisor, plan: BootPlan, *, paths: Paths, again: bool = False) -> Choice:
    """Find out whether KVM works by booting `plan` to userspace with it; emulation where it does not.

    `plan` needs a real kernel and an initramfs of kab's; its own accelerator does not matter. The answer is remembered
    for this boot of the host, this processor, kernel, QEMU and connection, unless asked for `again`. Guests of another
    architecture than the host's are always emulated.
    """
    host = hypervisor.host
    obstacle = _obstacle(host, plan.architecture)
    if obstacle:
        # Cheap to see, and mended without a reboot: not remembered.
        return Choice(accelerator=Accelerator.TCG, sentence=obstacle)
    conditions = hypervisor.conditions(plan.architecture)
    key = _key(conditions, host.root)
    memory = paths.state / _memory_file(conditions["connect"])
    known = None if again else _recall(memory, key)
    if known is not None:
        return known
    reason = _boot_with_kvm(hypervisor, plan)
    if reason:
        choice = Choice(
            accelerator=Accelerator.TCG,
            sentence=f"KVM is there but does not work ({reason}); {_CONSEQUENCE}.",
        )
    else:
        choice = Choice(accelerator=Accelerator.KVM, sentence="Guests run on KVM, which booted a kernel to userspace.")
    _remember(memory, key, choice)
    return choice


def remembered_accelerator(paths: Paths) -> Accelerator | None:
    """What a probe has found since the host booted; None before the first one."""
    content = _read(paths.state / _MEMORY_FILE)
    return Accelerator(content["accelerator"]) if content.get("boot_id") == boot_id() else None


def _obstacle(host: QemuHost, architecture: Architecture) -> str:
    if host.machine() != architecture.machine:
        return f"The kernels are for {architecture} and {host.name} is {host.machine()}, so {_CONSEQUENCE}."
    access = host.kvm()
    if access is Access.MISSING:
        return (
            f"There is no {KVM_DEVICE} on {host.name}, so {_CONSEQUENCE}; enable virtualisation in the firmware, or "
            "nested virtualisation in the hypervisor above, and load kvm_intel or kvm_amd."
        )
    if access is Access.FORBIDDEN:
        return (
            f"This user may not open {KVM_DEVICE} on {host.name}, so {_CONSEQUENCE}; join its group and log in again: "
            'sudo usermod -aG kvm "$USER".'
        )
    return ""


def _boot_with_kvm(hypervisor: LibvirtHypervisor, plan: BootPlan) -> str:
    """Boot to userspace with KVM; returns why it did not get there, or nothing."""
    trial = replace(
        plan,
        name=f"{plan.name}-kvm",
        accelerator=Accelerator.KVM,
        guest=GuestSpec(vcpus=1, memory_mib=512),
        disks=(),
        boot_timeout_s=PROBE_TIMEOUT_S,
    )
    try:
        with hypervisor.start(trial, BootKeys.generate()) as started:
            await_marker(trial, started.console, INIT_MARKER, started.started + PROBE_TIMEOUT_S, hypervisor.is_stopped)
    except KabError as error:
        _log.info("KVM: %s", error.message)
        return _reason(error.message)
    return ""


def _reason(message: str) -> str:
    """The telling part of an error, in one line: what QEMU itself said, where it did."""
    said = re.findall(r"qemu-system-\w+: (?:error: )?(.+)", message)
    return (said[0] if said else message.partition(": ")[2] or message).strip().splitlines()[0]


def _key(conditions: Mapping[str, str], root: Path) -> str:
    """Names what the answer depends on, of the host whose /proc is below `root`."""
    processor = re.search(r"^model name\s*:\s*(.*)$", read(root / "proc/cpuinfo"), re.MULTILINE)
    facts = [
        read(root / "proc/sys/kernel/random/boot_id"),
        read(root / "proc/sys/kernel/osrelease"),
        processor[1] if processor else "",
        *(f"{name}={conditions[name]}" for name in sorted(conditions)),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    except OSError:
        return "stable"


def _memory_file(connect: str) -> str:
    if connect == EMBEDDED:
        return _MEMORY_FILE
    return f"accelerator-{hashlib.sha256(connect.encode()).hexdigest()[:16]}.json"


def _read(memory: Path) -> dict[str, str]:
    """The remembered facts; nothing when there are none or they are not ours."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        Accelerator(content["accelerator"])
        return {str(name): str(value) for name, value in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _recall(memory: Path, key: str) -> Choice | None:
    content = _read(memory)
    if content.get("key") != key:
        return None
    return Choice(accelerator=Accelerator(content["accelerator"]), sentence=content.get("sentence", ""))


def _remember(memory: Path, key: str, choice: Choice) -> None:
    content = {
        "key": key,
        "boot_id": boot_id(),
        "accelerator": choice.accelerator,
        "sentence": choice.sentence,
    }
    temporary = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        temporary.replace(memory)
    except OSError as error:
        raise HostError(f"cannot write {memory}: {error}") from error
