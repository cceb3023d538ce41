"""Real kernels through libvirt's daemons: the system's, on "another host" over SSH, and an ordinary user's own."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from daemons import no_ssh_server, no_system_daemon, ssh_server, system_daemon

from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
from harness.host.paths import Paths, default_paths
from harness.images.initramfs import BASE_MODULES, ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.guest import MIB, Accelerator, BootPlan, DiskSpec, GuestSpec

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def plan() -> Iterator[BootPlan]:
    """Kernel and image from the user's cache."""
    paths = default_paths()
    store = ImageStore(paths)
    image = store.ensure()
    with KernelLibrary(paths) as library:
        kernel = library.resolve("debian:7.2")
        modules = library.modules_for(kernel, BASE_MODULES)
        initramfs = ensure_initramfs(
            kernel.directory, modules, read_module, recipe=store.recipe, busybox=busybox_of(image)
        )
        yield BootPlan(
            name="",
            kernel=kernel.vmlinuz,
            initramfs=(initramfs,),
            root_image=image.path,
            guest=GuestSpec(memory_mib=512),
            accelerator=Accelerator.TCG,
            boot_timeout_s=90.0,
        )


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that anybody may enter, with a name short enough for sockets."""
    folder = Path(f"/tmp/kab-gd-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def is_running(name: str) -> bool:
    return subprocess.run(["pgrep", "-f", f"guest={name},"], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.skipif(bool(no_system_daemon), reason=no_system_daemon)
@pytest.mark.skipif(bool(no_ssh_server), reason=no_ssh_server)
def test_system_daemon_of_another_host(plan: BootPlan, home: Path, tmp_path: Path) -> None:
    paths = Paths(cache=default_paths().cache, state=tmp_path)
    with ssh_server(home) as server, system_daemon(home) as socket, Lease(paths) as lease:
        plan = replace(plan, name=f"kab-gd-{os.getpid()}", scratch=tmp_path)
        with Connection(server.uri("system", socket=socket), paths=paths, lease=lease) as connection:
            disks = connection.host.disks(destroy_data="")
            spec = DiskSpec(size_bytes=64 * MIB, latency_s=0.002)
            with disks.attach(spec, serial="kab-remote", scratch=Path(plan.name)) as disk:
                plan = replace(plan, disks=(disk,))
                with LibvirtHypervisor(connection, lease=lease).boot(plan) as guest:
                    assert guest.run("uname -r", timeout_s=20).stdout.startswith("7.2.")
                    serial = guest.run("cat /sys/block/nvme0n1/device/serial", timeout_s=20)
                    assert serial.stdout.strip() == "kab-remote"
                    assert str(server.base / "files") in guest.domain_xml
                    guest.shutdown(timeout_s=20)
        assert not is_running(plan.name)
        assert [path.name for path in (server.base / "runs").iterdir()] == ["lock"]
        # Kernel and image, for the next boot; this one's initramfs, with its keys, is gone.
        assert len(list((server.base / "files").iterdir())) == 2


OWNER = """
import pickle, sys
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
paths, plan = pickle.loads(bytes.fromhex(sys.argv[1]))
with (
    Lease(paths) as lease,
    lease.folder(plan.scratch),
    Connection("qemu:///session", paths=paths, lease=lease) as connection,
    LibvirtHypervisor(connection, lease=lease).boot(plan) as guest,
):
    print(guest.run("uname -r", timeout_s=20).stdout, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(shutil.which("libvirtd") is None, reason="needs libvirt's daemon")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_session_daemon_of_an_ordinary_user(plan: BootPlan, home: Path) -> None:
    """The guest goes with whoever asked for it, even when nobody is left to tidy up."""
    become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "env"]
    become += [f"HOME={home}", f"XDG_RUNTIME_DIR={home}/run", f"PYTHONPATH={os.pathsep.join(filter(None, sys.path))}"]
    python = next((path for path in pythons() if can_run([*become, path])), None)
    if python is None:
        pytest.skip("another user can run no interpreter here")
    (home / "run").mkdir()
    for folder in (home, home / "run"):
        shutil.chown(folder, "nobody", "nogroup")
    copies = [shutil.copy(path, home) for path in (plan.kernel, plan.root_image, *plan.initramfs)]
    kernel, root_image, *initramfs = map(Path, copies)
    paths = Paths(cache=home / "cache", state=home / "state")
    plan = replace(
        plan,
        name=f"kab-gs-{os.getpid()}",
        kernel=kernel,
        root_image=root_image,
        initramfs=tuple(initramfs),
        scratch=home / "state/scratch/boot",
    )
    log = (home / "log").open("wb")
    # Else libvirt starts them by itself, and they stay for minutes.
    with log, daemon([*become, "virtlogd"], log), daemon([*become, "libvirtd"], log):
        until((home / "run/libvirt/libvirt-sock").exists)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([*become, python, "-c", OWNER, pickle.dumps((paths, plan)).hex()], **pipes) as owner:
            assert owner.stdout is not None
            assert owner.stderr is not None
            said = owner.stdout.readline()
            assert said.startswith(b"7.2."), owner.stderr.read().decode()
            # Its reaper first: libvirt alone must see to it.
            subprocess.run(["pkill", "-KILL", "-P", str(owner.pid), "-f", "reaper.py"], check=True)
            owner.kill()
        until(lambda: not is_running(plan.name))


def pythons() -> list[str]:
    # The one of this environment may be in a home that nobody else may enter.
    return [sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"]


def can_run(python: list[str]) -> bool:
    return subprocess.run([*python, "-c", "import harness"], capture_output=True, check=False).returncode == 0


@contextmanager
def daemon(argv: list[str], log: IO[bytes]) -> Iterator[None]:
    """A process that ends with its context."""
    with subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
