"""What kab needs of a host, one small read-only look at a time. Each takes a root folder, so that a host can be posed.

None of them needs root, changes anything or takes longer than half a second.
"""

import grp
import os
import pwd
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.errors import HostError
from harness.host.process import TOOL_PACKAGES, find_tool, run
from harness.model.arch import X86_64, Architecture
from harness.model.check import Check, CheckStatus
from harness.model.guest import Accelerator

OK, WARN, FAIL = CheckStatus

GIB = 1024**3
# Programs that a run starts on the host, besides QEMU.
TOOLS = ("apt-get", "depmod", "dpkg-deb", "gpgv", "mke2fs", "mmdebstrap", "nbdkit")
# Programs that a build of a kernel starts, besides the compiler.
BUILD_TOOLS = ("git", "make", "ld", "flex", "bison", "bc")
# Headers that the kernel's own tools are compiled with, and the packages that bring them.
_BUILD_HEADERS = (("libelf.h", "libelf-dev"), ("openssl/opensslv.h", "libssl-dev"))
# Older ones crash guests of their own under emulation: bookworm's 7.2 did so in one boot of four.
QEMU_LEAST_UNDER_EMULATION = 8
# What QEMU and nbdkit take besides the guest's own memory.
_MEMORY_OVERHEAD_MIB = 256
_STEADY_CLOCKS = frozenset({"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"})


def read(path: Path) -> str:
    """A small file's text without blanks around it; empty when it is not there or not for us."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def accelerator(root: Path, remembered: Accelerator | None) -> Check:
    """KVM or emulation; `remembered` is what booting a kernel has shown on this host, None before that."""
    name = "accelerator"
    device = root / "dev/kvm"
    slower = "guests are emulated, some 10 times slower; comparisons hold, absolute figures do not"
    if remembered is Accelerator.KVM:
        return Check(name=name, status=OK, detail="kvm: a kernel booted with it on this host")
    if remembered is Accelerator.TCG and device.exists():
        return Check(name=name, status=WARN, detail=f"tcg: /dev/kvm is there, and no kernel boots with it; {slower}")
    if not device.exists():
        remedy = "For speed: turn virtualisation on in the firmware, or nested virtualisation on where this host runs."
        return Check(name=name, status=WARN, detail=f"tcg: there is no /dev/kvm; {slower}", remedy=remedy)
    if not os.access(device, os.R_OK | os.W_OK):
        remedy = f"usermod --append --groups kvm {user_name()}, then log in again."
        return Check(name=name, status=WARN, detail=f"tcg: /dev/kvm is not for this user; {slower}", remedy=remedy)
    detail = "/dev/kvm opens; whether a kernel boots with it is found out, once, by the first run"
    return Check(name=name, status=OK, detail=detail)


def qemu(root: Path, remembered: Accelerator | None, architecture: Architecture = X86_64) -> Check:
    """The version of QEMU for guests of the host's `architecture`, and whether it is sound where it has to emulate."""
    name = "qemu"
    program = find_tool(architecture.emulator, root)
    remedy = f"Run `make setup` in kab's source, or: apt-get install {_backports(root)}{architecture.emulator_package}"
    if program is None:
        return Check(name=name, status=FAIL, detail=f"{architecture.emulator} is not installed", remedy=remedy)
    try:
        version = _qemu_version(program)
    except HostError as error:
        return Check(name=name, status=FAIL, detail=error.message, remedy=remedy)
    if _emulates_soundly(version):
        return Check(name=name, status=OK, detail=f"QEMU {version}")
    status = WARN if remembered is Accelerator.KVM else FAIL
    return Check(name=name, status=status, detail=_unsound(version), remedy=remedy)


def foreign_guests(root: Path, architecture: Architecture) -> Check:
    """Whether guests of an `architecture` that is not the host's can be emulated: nothing that kab must have."""
    name = f"qemu ({architecture})"
    program = find_tool(architecture.emulator, root)
    remedy = f"For kernels of {architecture}: apt-get install {_backports(root)}{architecture.emulator_package}"
    if program is None:
        detail = f"{architecture.emulator} is not installed: kernels for {architecture} cannot be booted"
        return Check(name=name, status=OK, detail=detail, remedy=remedy)
    version = _qemu_version(program)
    if _emulates_soundly(version):
        return Check(name=name, status=OK, detail=f"QEMU {version}: guests of {architecture} are emulated")
    return Check(name=name, status=WARN, detail=_unsound(version), remedy=remedy)


def _qemu_version(program: Path) -> str:
    """ "10.0.2". Raises HostError where the program does not run, or does not tell."""
    match = re.search(r"version (\d+\.\d+(?:\.\d+)?)", run([program, "--version"], timeout_s=5).stdout)
    if match is None:
        raise HostError(f"{program} does not tell its version")
    return match[1]


def _emulates_soundly(version: str) -> bool:
    return int(version.split(".")[0]) >= QEMU_LEAST_UNDER_EMULATION


def _unsound(version: str) -> str:
    return f"QEMU {version} is older than {QEMU_LEAST_UNDER_EMULATION}: under emulation it crashes sound kernels"


def libvirt(root: Path) -> Check:
    """libvirt's library, its QEMU driver (what `qemu:///embed` loads) and the Python binding."""
    name = "libvirt"
    remedy = "apt-get install libvirt-daemon-driver-qemu"
    # Debian has a folder for each architecture, others have lib64.
    folders = [root / "usr/lib64", *root.glob("usr/lib/*-linux-gnu*")]
    libraries = sorted(library for folder in folders for library in folder.glob("libvirt.so.0.*.*"))
    if not libraries:
        return Check(name=name, status=FAIL, detail="libvirt's library is not installed", remedy=remedy)
    # libvirt.so.0.MAJOR*1000+MINOR.MICRO
    number, micro = (int(part) for part in libraries[-1].name.split(".")[-2:])
    version = f"{number // 1000}.{number % 1000}.{micro}"
    if not any((folder / "libvirt/connection-driver/libvirt_driver_qemu.so").exists() for folder in folders):
        detail = f"libvirt {version} lacks its QEMU driver: guests cannot be started without a daemon"
        return Check(name=name, status=FAIL, detail=detail, remedy=remedy)
    if find_spec("libvirt") is None:
        detail = f"libvirt {version}, but not its Python binding"
        return Check(name=name, status=FAIL, detail=detail, remedy="pip install libvirt-python (needs libvirt-dev)")
    return Check(name=name, status=OK, detail=f"libvirt {version} with its embedded QEMU driver")


def tools(root: Path, names: Sequence[str] = TOOLS) -> list[Check]:
    """One check for all programs that are there, and one for each that is not."""
    missing = [name for name in names if find_tool(name, root) is None]
    found = [name for name in names if name not in missing]
    checks = [
        Check(
            name=name,
            status=FAIL,
            detail=f"{name} is not installed",
            remedy=f"apt-get install {TOOL_PACKAGES.get(name, name)}",
        )
        for name in missing
    ]
    if found:
        checks.insert(0, Check(name="tools", status=OK, detail=", ".join(found)))
    return checks


def build_tools(root: Path) -> Check:
    """What only kernels from source (`git:` specs) need."""
    name = "build tools"
    compilers = [compiler for compiler in ("gcc", "clang") if find_tool(compiler, root)]
    missing = [TOOL_PACKAGES[tool] for tool in BUILD_TOOLS if find_tool(tool, root) is None]
    missing += [] if compilers else ["gcc"]
    includes = [root / "usr/include", *root.glob("usr/include/*-linux-gnu")]
    missing += [
        package for header, package in _BUILD_HEADERS if not any((folder / header).exists() for folder in includes)
    ]
    if missing:
        detail = "kernels cannot be built from source (`git:` specs); all others can be used"
        return Check(name=name, status=WARN, detail=detail, remedy=f"apt-get install {' '.join(missing)}")
    if find_tool("ccache", root) is None:
        detail = f"{', '.join(compilers)}, no ccache: whatever changes back is compiled again"
        return Check(name=name, status=WARN, detail=detail, remedy="apt-get install ccache")
    return Check(name=name, status=OK, detail=f"{', '.join(compilers)}, ccache")


def users(root: Path, uid: int) -> Check:
    """What root needs for libvirt's embedded driver, and what groups others are in."""
    name = "user"
    if uid == 0:
        if any(line.startswith("libvirt-qemu:") for line in read(root / "etc/passwd").splitlines()):
            return Check(name=name, status=OK, detail="root; libvirt's user libvirt-qemu exists")
        return Check(
            name=name,
            status=FAIL,
            detail="root, and libvirt's QEMU driver wants a user libvirt-qemu to exist",
            remedy="apt-get install libvirt-daemon-system",
        )
    groups = {line.split(":")[0] for line in read(root / "etc/group").splitlines() if _is_member(line, uid)}
    said = ", ".join(f"{'in' if group in groups else 'not in'} {group}" for group in ("kvm", "disk"))
    return Check(name=name, status=OK, detail=f"{user_name()}, {said} (disk is needed for backend=block only)")


def disk_space(folder: Path, what: str, need_bytes: int) -> Check:
    """Room on the filesystem of `folder`, which may not exist yet; twice the need is plenty."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    remedy = "" if free >= 2 * need_bytes else f"Free some, run `kab clean`, or set KAB_{what.upper()}_DIR elsewhere."
    name = f"disk space ({what})"
    detail = f"{free / GIB:.1f} GiB free in {there}; {need_bytes / GIB:.1f} GiB are needed"
    if not os.access(there, os.W_OK | os.X_OK):
        detail = f"{there} cannot be written to by this user"
        return Check(name=name, status=FAIL, detail=detail, remedy=f"Set KAB_{what.upper()}_DIR to a folder that can.")
    level = FAIL if free < need_bytes else WARN if free < 2 * need_bytes else OK
    return Check(name=name, status=level, detail=detail, remedy=remedy)


def memory(root: Path, guest_mib: int) -> Check:
    """Memory for one guest; `guest_mib` counts the guest's own and that of a disk held in memory."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", read(root / "proc/meminfo"), re.MULTILINE)
    if match is None:
        return Check(name="memory", status=WARN, detail="/proc/meminfo does not tell how much is available")
    available, need = int(match[1]) // 1024, guest_mib + _MEMORY_OVERHEAD_MIB
    detail = f"{available} MiB available; a guest takes up to {need} MiB"
    if available >= need:
        return Check(name="memory", status=OK, detail=detail)
    return Check(name="memory", status=FAIL, detail=detail, remedy="End other programs, or give the guest less.")


def governor(root: Path) -> Check:
    """Whether the processors' clock follows the load."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"))
    found = sorted({read(path) for path in files} - {""})
    if not found:
        return Check(name="governor", status=OK, detail="the host shows no frequency scaling")
    if found == ["performance"]:
        return Check(name="governor", status=OK, detail="performance")
    detail = f"{', '.join(found)}: the clock follows the load, which adds noise"
    return Check(name="governor", status=WARN, detail=detail, remedy="cpupower frequency-set --governor performance")


def turbo(root: Path) -> Check:
    """Whether the processors overclock themselves for as long as they stay cool."""
    cpu = root / "sys/devices/system/cpu"
    for path, on in ((cpu / "intel_pstate/no_turbo", "0"), (cpu / "cpufreq/boost", "1")):
        value = read(path)
        if value == on:
            detail = "on: the clock depends on temperature, which adds noise"
            off = "1" if on == "0" else "0"
            remedy = f"echo {off} > /{path.relative_to(root)}"
            return Check(name="turbo", status=WARN, detail=detail, remedy=remedy)
        if value:
            return Check(name="turbo", status=OK, detail="off")
    return Check(name="turbo", status=OK, detail="the host shows no control of it")


def smt(root: Path) -> Check:
    """Whether two processors share a core."""
    active = read(root / "sys/devices/system/cpu/smt/active")
    if active == "1":
        detail = "on: processors share cores, which adds noise where other programs run; no bias, as boots alternate"
        return Check(name="smt", status=OK, detail=detail)
    return Check(name="smt", status=OK, detail="off" if active == "0" else "the host shows no control of it")


def load(root: Path, cpus: int) -> Check:
    """What else runs: the load of the last minute."""
    words = read(root / "proc/loadavg").split()
    value = float(words[0]) if words else 0.0
    detail = f"{value:.2f} over the last minute, on {cpus} processors"
    if value <= 0.5 * cpus:
        return Check(name="load", status=OK, detail=detail)
    remedy = "End other programs, or expect more boots until a verdict."
    return Check(name="load", status=WARN, detail=f"{detail}: other programs take part in every figure", remedy=remedy)


def clocksource(root: Path) -> Check:
    """What the host's kernel reads the time from."""
    source = read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source in _STEADY_CLOCKS:
        return Check(name="clock", status=OK, detail=source)
    if not source:
        return Check(name="clock", status=OK, detail="the host does not say what it is")
    detail = f"{source}: reading the time is slow or coarse, which adds to every latency"
    return Check(name="clock", status=WARN, detail=detail, remedy="See `dmesg | grep -i tsc` for why it is not tsc.")


def nesting(root: Path) -> Check:
    """Whether this host is a guest itself."""
    flags = re.search(r"^flags\s*:(.*)$", read(root / "proc/cpuinfo"), re.MULTILINE)
    if flags is None or "hypervisor" not in flags[1].split():
        return Check(name="nesting", status=OK, detail="this host is no guest itself")
    product = read(root / "sys/class/dmi/id/product_name")
    detail = f"this host is a guest itself{f' ({product})' if product else ''}: its neighbours add noise"
    return Check(name="nesting", status=WARN, detail=detail, remedy="For figures of latency, use hardware of your own.")


def user_name() -> str:
    """The name of whoever runs this, or the number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def guarded(name: str, probe: Callable[[], Check]) -> Check:
    """What `probe` finds; a look that fails is a finding too, not the end of all others."""
    try:
        return probe()
    except (HostError, OSError, ValueError) as error:
        return Check(name=name, status=WARN, detail=f"cannot be found out: {error}")


def _backports(root: Path) -> str:
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', read(root / "etc/os-release"), re.MULTILINE)
    return f"--target-release {match[1]}-backports " if match else ""


def _is_member(line: str, uid: int) -> bool:
    """Whether an /etc/group line lists the user, or is the primary group."""
    try:
        user = pwd.getpwuid(uid)
        return user.pw_name in line.split(":")[-1].split(",") or grp.getgrgid(user.pw_gid).gr_name == line.split(":")[0]
    except KeyError:
        return False
