"""Another host, played by an sshd of our own on the loopback: files, disks, refusals, and what a dead kab leaves."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest
from daemons import SshServer, no_ssh_server, no_system_daemon, ssh_server, system_daemon

from harness.errors import ConfigError, GuestLostError, HostError
from harness.guest.connection import Connection
from harness.guest.domain import domain_xml
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.remote import RemoteHost
from harness.guest.ssh import SshError
from harness.guest.uri import SshAddress
from harness.host.fingerprint import fingerprint
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.model.arch import X86_64
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBackend, DiskBus, DiskSpec, GuestSpec

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(no_ssh_server), reason=no_ssh_server)]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    # A name short enough for sockets below it.
    folder = Path(f"/tmp/kab-ir-{os.getpid()}")
    folder.mkdir(mode=0o755)
    with ssh_server(folder) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(cache=tmp_path / "cache", state=tmp_path / "state")


@pytest.fixture
def lease(paths: Paths) -> Iterator[Lease]:
    with Lease(paths) as lease:
        yield lease


@pytest.fixture
def address(server: SshServer) -> SshAddress:
    return SshAddress(
        host="127.0.0.1",
        port=server.port,
        keyfile=str(server.folder / "user_key"),
        known_hosts=str(server.folder / "known_hosts"),
    )


@pytest.fixture
def host(address: SshAddress, lease: Lease, paths: Paths, server: SshServer) -> Iterator[RemoteHost]:
    host = RemoteHost(address, lease=lease, paths=paths)
    yield host
    host.close()
    assert sorted(path.name for path in (server.base / "runs").iterdir()) == ["lock"]
    assert not host.root.exists()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_files_are_sent_once_and_by_content(host: RemoteHost, server: SshServer, tmp_path: Path) -> None:
    image = tmp_path / "image"
    content = b"head" + bytes(3 * MIB) + os.urandom(MIB) + bytes(2 * MIB)
    image.write_bytes(content)
    there = host.share(image)
    assert there.parent == server.base / "files"
    assert there.read_bytes() == content
    # The hole at its end did not travel, nor did the one in its middle.
    assert there.stat().st_blocks * 512 < len(content)
    first = there.stat()
    host._shared.clear()
    os.utime(there, (1, 1))
    assert host.share(image) == there
    again = there.stat()
    assert again.st_ino == first.st_ino
    # In use: not for the next sweep.
    assert again.st_mtime > first.st_mtime - 60
    with host.lend(image) as lent:
        assert lent.parent == host.folder
        assert lent.read_bytes() == content
        assert host.folder.stat().st_mode & 0o077 == 0
    assert not lent.exists()


def test_a_file_that_arrives_broken_is_not_kept(
    host: RemoteHost, server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"content")
    files = set((server.base / "files").iterdir())
    monkeypatch.setattr(host, "_send", lambda _path, target: target.write_bytes(b"garbage"))
    with pytest.raises(HostError, match="sha256sum"):
        host.share(image)
    with pytest.raises(HostError, match="cannot read"):
        host.share(tmp_path / "none")
    assert set((server.base / "files").iterdir()) == files


def test_the_host_is_described(host: RemoteHost) -> None:
    here, there = fingerprint(), fingerprint(host.root)
    for facts in (here, there):
        facts.pop("load")
    assert there == here
    assert host.user == f"+{os.geteuid()}"
    assert host.emulator(X86_64).name == "qemu-system-x86_64"


def test_ports_are_reached_through_the_connection(host: RemoteHost, server: SshServer) -> None:
    channel = host.dial(server.port, timeout_s=10)
    assert channel.recv(4) == b"SSH-"
    channel.close()
    with pytest.raises(SshError):
        host.dial(1, timeout_s=10)


def test_disks(host: RemoteHost, tmp_path: Path) -> None:
    disks = host.disks(destroy_data="")
    scratch = tmp_path / "kab-0123"
    spec = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=16 * MIB)
    with disks.attach(spec, serial="kab-1", scratch=scratch) as disk:
        assert disk.path is not None
        assert disk.path.stat().st_blocks * 512 >= 16 * MIB
        assert isinstance(host.takes_direct_io(disk.path), bool)
    assert not disk.path.exists()
    with disks.attach(DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE), serial="k", scratch=scratch) as disk:
        assert disk.path is None
    spec = DiskSpec(bus=DiskBus.NVME, backend=DiskBackend.BLOCK, size_bytes=0, device="/dev/sdz")
    with pytest.raises(ConfigError, match="block device of"):
        disks.check(spec)
    with (
        pytest.raises(HostError, match="too little space"),
        disks.attach(DiskSpec(backend=DiskBackend.FILE, size_bytes=2**60), serial="kab-1", scratch=scratch),
    ):
        pass


def nbdkits(path: Path) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"nbdkit .*{path}"], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def command_name(pid: int) -> str:
    """Name of a process, "" when it has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_disks_with_latency(host: RemoteHost, tmp_path: Path) -> None:
    disks = host.disks(destroy_data="")
    spec = DiskSpec(size_bytes=16 * MIB, latency_s=0.002)
    with disks.attach(spec, serial="kab-1", scratch=tmp_path / "kab-0") as disk:
        assert disk.path is not None
        assert disk.path.is_socket()
        assert len(nbdkits(disk.path)) > 0
    assert nbdkits(disk.path) == []
    attached = disks.attach(spec, serial="kab-1", scratch=tmp_path / "kab-1")
    path = attached.__enter__().path
    assert path is not None
    for pid in nbdkits(path):
        if command_name(pid) == "nbdkit":
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(command_name(pid) == "nbdkit" for pid in nbdkits(path)))
    with pytest.raises(GuestLostError, match="ended early"):
        attached.__exit__(None, None, None)


OWNER = """
import sys, time
from pathlib import Path
from harness.guest.remote import RemoteHost
from harness.guest.uri import SshAddress
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.model.guest import DiskSpec
state, port, key, known = sys.argv[1:]
paths = Paths(cache=Path(state), state=Path(state))
address = SshAddress(host="127.0.0.1", port=int(port), keyfile=key, known_hosts=known)
with Lease(paths) as lease:
    host = RemoteHost(address, lease=lease, paths=paths)
    spec = DiskSpec(size_bytes=2**24)
    with host.disks(destroy_data="").attach(spec, serial="kab-1", scratch=Path("kab-2")) as disk:
        print(disk.path, flush=True)
        time.sleep(300)
"""


def test_a_killed_kab_leaves_nothing(address: SshAddress, server: SshServer, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", OWNER, tmp_path, str(address.port), address.keyfile, address.known_hosts]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        assert path.is_socket()
        owner.kill()
    eventually(lambda: not nbdkits(path) and not path.parent.exists())
    eventually(lambda: [entry.name for entry in (server.base / "runs").iterdir()] == ["lock"])


def test_what_a_dead_keeper_left_is_removed(
    host: RemoteHost, address: SshAddress, lease: Lease, paths: Paths, server: SshServer
) -> None:
    """As after a power failure there; the folder of a connection that lives stays."""
    left = server.base / "runs/deadbeef"
    left.mkdir()
    (left / "kab-0.raw").touch()
    left.with_suffix(".lock").touch()
    old = server.base / "files" / "old"
    old.touch()
    os.utime(old, (1, 1))
    RemoteHost(address, lease=lease, paths=paths).close()
    assert not left.exists()
    assert not old.exists()
    assert host.folder.is_dir()


def test_an_unknown_host_is_refused(address: SshAddress, lease: Lease, paths: Paths, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.touch()
    stranger = SshAddress(host="127.0.0.1", port=address.port, keyfile=address.keyfile, known_hosts=str(known_hosts))
    with pytest.raises(HostError, match="not found in known_hosts") as caught:
        RemoteHost(stranger, lease=lease, paths=paths)
    assert "compare its fingerprint" in caught.value.remedy
    assert known_hosts.read_text() == ""
    key = Path(address.keyfile).with_name("host_key.pub").read_text().split()
    other = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True, capture_output=True
    )
    assert other.returncode == 0
    key[1] = (tmp_path / "other.pub").read_text().split()[1]
    known_hosts.write_text(f"[127.0.0.1]:{address.port} {key[0]} {key[1]}\n")
    with pytest.raises(HostError, match="does not match") as caught:
        RemoteHost(stranger, lease=lease, paths=paths)
    assert "Somebody else answers" in caught.value.remedy


def test_a_refused_key(
    address: SshAddress, lease: Lease, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    stranger = SshAddress(
        host="127.0.0.1", port=address.port, keyfile=str(tmp_path / "other"), known_hosts=address.known_hosts
    )
    with pytest.raises(HostError, match="cannot log in") as caught:
        RemoteHost(stranger, lease=lease, paths=paths)
    assert "asks for no password" in caught.value.remedy


def test_the_users_own_configuration_of_ssh_is_heeded(
    address: SshAddress, lease: Lease, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    known_hosts = tmp_path / "known"
    known_hosts.write_text(Path(address.known_hosts).read_text().replace(f"[127.0.0.1]:{address.port}", "lab7"))
    (tmp_path / ".ssh").mkdir()
    netcat = tmp_path / "nc.py"
    netcat.write_text(Path(address.keyfile).with_name("nc").read_text().replace("AF_UNIX", "AF_INET").replace(
        "sys.argv[-1]", '("127.0.0.1", int(sys.argv[-1]))'
    ))  # fmt: skip
    (tmp_path / ".ssh/config").write_text(
        f"Host lab\n  HostName lab7\n  IdentityFile {address.keyfile}\n  UserKnownHostsFile {known_hosts}\n"
        f"  ProxyCommand {sys.executable} {netcat} {address.port}\n"
    )
    host = RemoteHost(SshAddress(host="lab"), lease=lease, paths=paths)
    assert host.folder.is_dir()
    host.close()


@pytest.mark.skipif(bool(no_system_daemon), reason=no_system_daemon)
def test_a_guest_there(server: SshServer, lease: Lease, paths: Paths, tmp_path: Path) -> None:
    """libvirt's daemon takes the domain, with files and disks that are there."""
    for name in ("kernel", "root"):
        (tmp_path / name).write_bytes(os.urandom(MIB))
    name = f"kab-ir-{os.getpid()}"
    (tmp_path / name).mkdir()
    with system_daemon(server.folder) as socket:
        with Connection(server.uri("system", socket=socket), paths=paths, lease=lease) as connection:
            host = connection.host
            assert connection.versions()["libvirt"]
            specs = [
                DiskSpec(bus=DiskBus.NVME, size_bytes=16 * MIB),
                DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=16 * MIB),
            ]
            disks = host.disks(destroy_data="")
            with (
                disks.attach(specs[0], serial="kab-0", scratch=tmp_path / f"{name}-0") as one,
                disks.attach(specs[1], serial="kab-1", scratch=tmp_path / f"{name}-1") as other,
            ):
                plan = plan_of(name, host.share(tmp_path / "root"), tmp_path, (one, other))
                parts = LibvirtHypervisor(connection, lease=lease)._parts(plan, tmp_path / "initramfs")
                # Without a kernel: QEMU would look into it.
                document = "\n".join(
                    line
                    for line in domain_xml(plan, parts).splitlines()
                    if not line.strip().startswith(("<kernel", "<initrd", "<cmdline"))
                )
                flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
                domain = connection.libvirt.createXML(document, flags)
                assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        # The end of the connection was the end of the domain.
        eventually(lambda: subprocess.run(["pgrep", "-f", f"guest={name},"], check=False).returncode == 1)
    assert [entry.name for entry in (server.base / "runs").iterdir()] == ["lock"]


def plan_of(name: str, root_image: Path, scratch: Path, disks: tuple[AttachedDisk, ...]) -> BootPlan:
    return BootPlan(
        name=name,
        kernel=scratch / "kernel",
        initramfs=(),
        root_image=root_image,
        guest=GuestSpec(memory_mib=128),
        accelerator=Accelerator.TCG,
        disks=disks,
        scratch=scratch,
    )
