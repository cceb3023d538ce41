"""libvirt takes our domains: embedded driver, session daemon, root and not; nothing boots, guests stay paused."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest
from daemons import no_system_daemon, system_daemon
from processes import qemu_of

from harness.errors import ConfigError, HostError
from harness.guest.connection import Connection
from harness.guest.domain import domain_xml
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.keys import BootKeys
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBackend, DiskBus, DiskSpec, GuestSpec

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("kab")
    return Paths(cache=root / "cache", state=root / "state")


@pytest.fixture
def lease(paths: Paths):
    with Lease(paths) as lease:
        yield lease


@pytest.fixture
def plan(tmp_path: Path) -> BootPlan:
    for name in ("kernel", "initramfs", "root"):
        (tmp_path / name).write_bytes(bytes(MIB))
    return BootPlan(
        name=f"kab-it-{os.getpid()}-{time.monotonic_ns() % 10**6}",
        kernel=tmp_path / "kernel",
        initramfs=(),
        root_image=tmp_path / "root",
        guest=GuestSpec(memory_mib=128),
        accelerator=Accelerator.TCG,
        scratch=tmp_path,
    )


def start_paused(connection: Connection, lease: Lease, plan: BootPlan) -> None:
    """Every device is made by QEMU, and the XML passes libvirt's schema."""
    # Without a kernel: QEMU would look into it.
    parts = LibvirtHypervisor(connection, lease=lease)._parts(plan, plan.scratch / "initramfs")
    document = domain_xml(plan, parts)
    document = "\n".join(
        line for line in document.splitlines() if not line.strip().startswith(("<kernel", "<initrd", "<cmdline"))
    )
    domain = connection.libvirt.createXML(document, libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_VALIDATE)
    try:
        assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    finally:
        domain.destroy()


def test_every_kind_of_disk(paths: Paths, lease: Lease, plan: BootPlan, tmp_path: Path) -> None:
    disks = []
    exports = []
    try:
        for bus in (DiskBus.VIRTIO_BLK, DiskBus.NVME):
            file = tmp_path / f"{bus}, comma.raw"
            file.write_bytes(bytes(MIB))
            disks.append(
                AttachedDisk(spec=DiskSpec(bus=bus, backend=DiskBackend.FILE), serial=f"{bus}-file", path=file)
            )
            socket = tmp_path / f"{bus}.sock"
            exports.append(subprocess.Popen(["nbdkit", "--foreground", "--unix", socket, "memory", "1M"]))
            disks.append(
                AttachedDisk(spec=DiskSpec(bus=bus, backend=DiskBackend.NBD), serial=f"{bus}-nbd", path=socket)
            )
        while not all(disk.path and disk.path.exists() for disk in disks):
            assert all(export.poll() is None for export in exports)
            time.sleep(0.02)
        with Connection("embed", paths=paths, lease=lease) as connection:
            start_paused(connection, lease, replace(plan, disks=tuple(disks)))
    finally:
        for export in exports:
            export.kill()
            export.wait()
    assert qemu_of(plan.name) == []


def test_a_refused_guest_leaves_nothing(paths: Paths, lease: Lease, plan: BootPlan) -> None:
    """A file of zeros is no kernel: QEMU says so and ends."""
    started = time.monotonic()
    with Connection("embed", paths=paths, lease=lease) as connection:
        hypervisor = LibvirtHypervisor(connection, lease=lease)
        with pytest.raises(HostError, match="cannot start a guest"), hypervisor.start(plan, BootKeys.generate()):
            pass
    assert qemu_of(plan.name) == []
    assert time.monotonic() - started < 15
    assert list(paths.leases.glob("*.json")) != []


SCRIPT = """
import sys, time
from pathlib import Path
from harness.guest.connection import Connection, libvirt_errors
from harness.host.leases import Lease
from harness.host.paths import Paths
root = Path(sys.argv[1])
paths = Paths(cache=root / "cache", state=root / "state")
with Lease(paths) as lease, Connection("embed", paths=paths, lease=lease) as connection:
    print(connection.versions()["libvirt"], connection.libvirt.numOfDomains(), flush=True)
    sys.stdin.read()
"""


def test_two_processes_at_once_and_nothing_on_stderr(tmp_path: Path) -> None:
    argv = [sys.executable, "-X", "dev", "-c", SCRIPT, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as one, subprocess.Popen(argv, **pipes) as other:
        assert one.stdout is not None
        assert other.stdout is not None
        # Both are inside at the same time now.
        answers = [one.stdout.readline(), other.stdout.readline()]
        ends = [process.communicate("", timeout=30) for process in (one, other)]
    assert all(answer.endswith(" 0\n") for answer in answers)
    assert [error for _, error in ends] == ["", ""]
    assert list((tmp_path / "state" / "libvirt").glob("*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user() -> None:
    home = Path(f"/tmp/kab-it-{os.getpid()}")
    home.mkdir()
    shutil.chown(home, "nobody", "nogroup")
    become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all"]
    become += ["env", f"HOME={home}", f"PYTHONPATH={os.pathsep.join(filter(None, sys.path))}"]
    try:
        # The one of this environment may be in a home that nobody else may enter.
        for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
            done = subprocess.run([*become, python, "-c", "import harness"], capture_output=True, check=False)
            if done.returncode == 0:
                break
        else:
            pytest.skip("another user can run no interpreter here")
        done = subprocess.run(
            [*become, python, "-c", SCRIPT, str(home)],
            input=b"", capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr.decode()) == (0, "")
        assert done.stdout.endswith(b" 0\n")
    finally:
        shutil.rmtree(home)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder with a name short enough for sockets."""
    folder = Path(f"/tmp/kab-is-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(bool(no_system_daemon), reason=no_system_daemon)
def test_system_daemon(paths: Paths, lease: Lease, plan: BootPlan, runtime: Path) -> None:
    """A daemon of our own, on its own socket; its QEMU runs as this user, and may have what this user may have."""
    plan.scratch.chmod(0o700)
    with (
        system_daemon(runtime) as socket,
        Connection(f"qemu+unix:///system?socket={socket}", paths=paths, lease=lease) as connection,
    ):
        assert not connection.is_embedded
        assert "dac" in connection.confinements
        before = plan.root_image.stat()
        start_paused(connection, lease, plan)
        after = plan.root_image.stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        hidden = DiskSpec(bus=DiskBus.NVME, backend=DiskBackend.BLOCK, size_bytes=0, device="/dev/sdz")
        with pytest.raises(ConfigError, match="hides /dev/sdz"):
            connection.host.disks(destroy_data="").check(hidden)
    assert qemu_of(plan.name) == []


def test_no_daemon_is_said(paths: Paths, lease: Lease, tmp_path: Path) -> None:
    uri = f"qemu+unix:///session?socket={tmp_path}/none"
    with pytest.raises(HostError) as caught:
        Connection(uri, paths=paths, lease=lease)
    assert "Does a daemon answer?" in caught.value.remedy
