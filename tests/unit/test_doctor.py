"""The doctor's looks at posed hosts: each finding, and what each says to do."""

import os
from pathlib import Path

import pytest

from harness.debian.keyring import keyring_check
from harness.doctor import examine, mirror
from harness.host import probes
from harness.host.fingerprint import fingerprint
from harness.host.paths import Paths
from harness.model.arch import ARM64
from harness.model.check import Check, CheckStatus
from harness.model.guest import Accelerator

pytestmark = pytest.mark.unit

OK, WARN, FAIL = CheckStatus


def pose(root: Path, **files: str) -> Path:
    """Files of a host; "__" stands for "/"."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def program(root: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    path = root / "usr/sbin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def said(check: Check) -> tuple[CheckStatus, bool]:
    return check.status, bool(check.remedy)


def test_accelerators(tmp_path: Path) -> None:
    assert said(probes.accelerator(tmp_path, None)) == (WARN, True)
    device = pose(tmp_path, dev__kvm="") / "dev/kvm"
    assert said(probes.accelerator(tmp_path, None)) == (OK, False)
    assert probes.accelerator(tmp_path, Accelerator.KVM).detail.startswith("kvm")
    lying = probes.accelerator(tmp_path, Accelerator.TCG)
    assert lying.status is WARN
    assert "no kernel boots with it" in lying.detail
    if os.getuid() != 0:
        device.chmod(0)
        assert "usermod" in probes.accelerator(tmp_path, None).remedy


def test_build_tools_are_no_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    for name in (*probes.BUILD_TOOLS, "clang"):
        program(tmp_path, name)
    found = probes.build_tools(tmp_path)
    assert found.status is WARN
    assert found.remedy == "apt-get install libelf-dev libssl-dev"
    (tmp_path / "usr/include/x86_64-linux-gnu/openssl").mkdir(parents=True)
    (tmp_path / "usr/include/x86_64-linux-gnu/openssl/opensslv.h").touch()
    (tmp_path / "usr/include/libelf.h").touch()
    assert probes.build_tools(tmp_path).remedy == "apt-get install ccache"
    program(tmp_path, "ccache")
    assert probes.build_tools(tmp_path) == Check(name="build tools", status=OK, detail="clang, ccache")
    (tmp_path / "usr/sbin/flex").unlink()
    assert probes.build_tools(tmp_path).remedy == "apt-get install flex"


@pytest.mark.parametrize(
    ("version", "remembered", "status"),
    [
        ("10.0.2 (Debian 1:10.0.2+ds-2)", None, OK),
        ("8.2.0", Accelerator.TCG, OK),
        ("7.2.15 (Debian 1:7.2+dfsg-7)", None, FAIL),
        ("7.2.15", Accelerator.TCG, FAIL),
        ("7.2.15", Accelerator.KVM, WARN),
        ("?", None, FAIL),
    ],
)
def test_qemu(tmp_path: Path, version: str, remembered: Accelerator | None, status: CheckStatus) -> None:
    program(tmp_path, "qemu-system-x86_64", f"#!/bin/sh\necho 'QEMU emulator version {version}'\n")
    pose(tmp_path, etc__os_release="", **{"etc__os-release": "VERSION_CODENAME=bookworm\n"})
    check = probes.qemu(tmp_path, remembered)
    assert check.status is status
    assert (not check.remedy) is (status is OK)
    if check.remedy:
        assert "--target-release bookworm-backports qemu-system-x86" in check.remedy


def test_no_qemu(tmp_path: Path) -> None:
    assert said(probes.qemu(tmp_path, Accelerator.KVM)) == (FAIL, True)


@pytest.mark.parametrize(
    ("version", "status", "detail"),
    [
        ("10.0.2", OK, "QEMU 10.0.2: guests of arm64 are emulated"),
        ("7.2.15", WARN, "QEMU 7.2.15 is older than 8"),
        ("?", WARN, "does not tell its version"),
        (None, OK, "qemu-system-aarch64 is not installed: kernels for arm64 cannot be booted"),
    ],
)
def test_guests_of_another_architecture(tmp_path: Path, version: str | None, status: CheckStatus, detail: str) -> None:
    pose(tmp_path, **{"etc__os-release": "VERSION_CODENAME=bookworm\n"})
    if version:
        program(tmp_path, "qemu-system-aarch64", f"#!/bin/sh\necho 'QEMU emulator version {version}'\n")
    check = probes.guarded("qemu (arm64)", lambda: probes.foreign_guests(tmp_path, ARM64))
    assert (check.name, check.status) == ("qemu (arm64)", status)
    assert detail in check.detail
    # What is missing is no fault, and yet it is said how to have it.
    assert ("bookworm-backports qemu-system-arm" in check.remedy) is (version in {None, "7.2.15"})


def test_libvirt(tmp_path: Path) -> None:
    assert said(probes.libvirt(tmp_path)) == (FAIL, True)
    pose(tmp_path, **{"usr__lib__x86_64-linux-gnu__libvirt.so.0.9000.3": ""})
    assert "lacks its QEMU driver" in probes.libvirt(tmp_path).detail
    pose(tmp_path, **{"usr__lib__x86_64-linux-gnu__libvirt__connection-driver__libvirt_driver_qemu.so": ""})
    check = probes.libvirt(tmp_path)
    assert check.status is OK
    assert "9.0.3" in check.detail


def test_missing_tools_are_named_with_their_packages(tmp_path: Path) -> None:
    program(tmp_path, "mke2fs")
    checks = probes.tools(tmp_path, ("mke2fs", "depmod", "gpgv"))
    assert [(check.name, check.status, check.remedy) for check in checks] == [
        ("tools", OK, ""),
        ("depmod", FAIL, "apt-get install kmod"),
        ("gpgv", FAIL, "apt-get install gpgv"),
    ]


def test_root_needs_libvirts_user(tmp_path: Path) -> None:
    assert said(probes.users(pose(tmp_path, etc__passwd="root:x:0:0::/root:/bin/sh\n"), 0)) == (FAIL, True)
    pose(tmp_path, etc__passwd="libvirt-qemu:x:64055:104::/var/lib/libvirt:/usr/sbin/nologin\n")
    assert probes.users(tmp_path, 0).status is OK
    assert probes.users(tmp_path, 65534).status is OK


def test_disk_space(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    assert said(probes.disk_space(folder, "cache", 1)) == (OK, False)
    full = probes.disk_space(folder, "cache", 1 << 60)
    assert full.status is FAIL
    assert "KAB_CACHE_DIR" in full.remedy
    status = os.statvfs(tmp_path)
    tight = int(status.f_bavail * status.f_frsize * 0.75)
    assert probes.disk_space(folder, "state", tight).status is WARN
    assert not folder.exists()


def test_memory(tmp_path: Path) -> None:
    assert probes.memory(tmp_path, 1024).status is WARN
    pose(tmp_path, proc__meminfo="MemTotal: 4194304 kB\nMemAvailable:    1048576 kB\n")
    assert probes.memory(tmp_path, 512).status is OK
    assert said(probes.memory(tmp_path, 1024)) == (FAIL, True)


def test_keyring(tmp_path: Path) -> None:
    assert said(keyring_check(tmp_path)) == (FAIL, True)
    pose(tmp_path, **{"usr__share__keyrings__debian-archive-keyring.pgp": ""})
    assert keyring_check(tmp_path).status is OK


def test_clock_frequency(tmp_path: Path) -> None:
    assert probes.governor(tmp_path).status is OK
    assert probes.turbo(tmp_path).status is OK
    cpu = "sys__devices__system__cpu__"
    pose(tmp_path, **{f"{cpu}cpu0__cpufreq__scaling_governor": "powersave\n"})
    assert said(probes.governor(tmp_path)) == (WARN, True)
    pose(tmp_path, **{f"{cpu}cpu0__cpufreq__scaling_governor": "performance\n"})
    assert probes.governor(tmp_path).status is OK
    pose(tmp_path, **{f"{cpu}cpufreq__boost": "1\n"})
    assert probes.turbo(tmp_path).remedy == "echo 0 > /sys/devices/system/cpu/cpufreq/boost"
    pose(tmp_path, **{f"{cpu}intel_pstate__no_turbo": "1\n"})
    assert probes.turbo(tmp_path).detail == "off"


def test_smt_load_clock_and_nesting(tmp_path: Path) -> None:
    pose(tmp_path, sys__devices__system__cpu__smt__active="1\n", proc__loadavg="1.50 1.00 0.50 1/100 4242\n")
    assert probes.smt(tmp_path).detail.startswith("on")
    assert probes.load(tmp_path, 4).status is OK
    assert said(probes.load(tmp_path, 2)) == (WARN, True)
    assert said(probes.clocksource(tmp_path)) == (OK, False)
    pose(tmp_path, sys__devices__system__clocksource__clocksource0__current_clocksource="hpet\n")
    assert said(probes.clocksource(tmp_path)) == (WARN, True)
    pose(tmp_path, sys__devices__system__clocksource__clocksource0__current_clocksource="tsc\n")
    assert probes.clocksource(tmp_path).status is OK
    assert probes.nesting(tmp_path).status is OK
    pose(tmp_path, proc__cpuinfo="flags\t\t: fpu hypervisor\n", sys__class__dmi__id__product_name="KVM\n")
    assert "(KVM)" in probes.nesting(tmp_path).detail


def test_a_look_that_fails_is_a_finding(tmp_path: Path) -> None:
    pose(tmp_path, proc__loadavg="much\n")
    check = probes.guarded("load", lambda: probes.load(tmp_path, 2))
    assert (check.name, check.status) == ("load", WARN)


def test_mirrors(tmp_path: Path) -> None:
    assert said(mirror(tmp_path, {})) == (FAIL, True)
    assert "not the URI" in mirror(tmp_path, {"KAB_DEBIAN_MIRROR": "nowhere"}).detail
    archive = {"KAB_DEBIAN_MIRROR": f"file://{tmp_path}/debian"}
    assert said(mirror(tmp_path, archive)) == (FAIL, True)
    (tmp_path / "debian" / "dists").mkdir(parents=True)
    assert mirror(tmp_path, archive).status is OK


def test_a_bare_host_fails_and_says_what_to_do(tmp_path: Path) -> None:
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    checks = examine(paths, root=pose(tmp_path, etc__passwd=""), environment={})
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    for check in checks:
        assert check.detail
        assert check.remedy or check.status is not FAIL
    failed = {check.name for check in checks if check.status is FAIL}
    assert {"qemu", "libvirt", "nbdkit", "mmdebstrap", "keyring", "mirror"} <= failed


def test_fingerprints(tmp_path: Path) -> None:
    assert fingerprint(tmp_path) == {"virtual": "no"}
    pose(
        tmp_path,
        proc__cpuinfo="processor\t: 0\nmodel name\t: AMD EPYC\nmicrocode\t: 0x1\nflags\t\t: fpu hypervisor\n",
        proc__meminfo="MemTotal:       2097152 kB\n",
        proc__sys__kernel__osrelease="6.1.0\n",
        proc__loadavg="0.10 0.20 0.30 1/100 42\n",
        sys__devices__system__cpu__cpufreq__boost="0\n",
        **{"etc__os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'},
    )
    assert fingerprint(tmp_path) == {
        "cpu": "AMD EPYC",
        "cpus": "1",
        "microcode": "0x1",
        "virtual": "yes",
        "memory": "2048 MiB",
        "distribution": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0",
        "turbo": "off",
        "load": "0.10 0.20 0.30",
    }
