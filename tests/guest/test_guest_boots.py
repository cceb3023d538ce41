"""Real kernels in real guests: commands, crashes, hangs, lost guests, and nothing left behind."""

import os
import pickle
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from processes import qemu_of

from harness.errors import BootError, CrashError, GuestLostError, HangError, HostError, UserspaceError
from harness.guest.accelerator import probe_accelerator
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.keys import BootKeys
from harness.guest.machine import LibvirtGuest
from harness.guest.ssh import Session
from harness.host.leases import Lease
from harness.host.paths import Paths, default_paths
from harness.images.initramfs import BASE_MODULES, ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.guest import Accelerator, BootPlan, GuestSpec
from harness.model.trial import FindingKind
from harness.parse.console import findings

pytestmark = pytest.mark.guest

SERIES = ("6.12", "7.2")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The user's cache, for kernels and image; a state of our own."""
    return Paths(cache=default_paths().cache, state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def plans(paths: Paths) -> Iterator[dict[str, BootPlan]]:
    store = ImageStore(paths)
    image = store.ensure()
    with KernelLibrary(paths) as library:
        made = {}
        for series in SERIES:
            kernel = library.resolve(f"debian:{series}")
            modules = library.modules_for(kernel, BASE_MODULES)
            made[series] = BootPlan(
                name="",
                kernel=kernel.vmlinuz,
                initramfs=(
                    ensure_initramfs(
                        kernel.directory, modules, read_module, recipe=store.recipe, busybox=busybox_of(image)
                    ),
                ),
                root_image=image.path,
                guest=GuestSpec(memory_mib=512),
                accelerator=Accelerator.TCG,
                boot_timeout_s=90.0,
            )
        yield made


@pytest.fixture(scope="module")
def lease(paths: Paths) -> Iterator[Lease]:
    with Lease(paths) as lease:
        yield lease


@pytest.fixture(scope="module")
def hypervisor(paths: Paths, lease: Lease) -> Iterator[LibvirtHypervisor]:
    with Connection("embed", paths=paths, lease=lease) as connection:
        yield LibvirtHypervisor(connection, lease=lease)
        assert connection.libvirt.numOfDomains() == 0


@pytest.fixture
def plan(plans: dict[str, BootPlan], tmp_path: Path) -> BootPlan:
    return replace(plans["7.2"], name=new_name(), scratch=tmp_path)


def new_name() -> str:
    return f"kab-test-{secrets.token_hex(4)}"


@contextmanager
def booted(hypervisor: LibvirtHypervisor, plan: BootPlan) -> Iterator[LibvirtGuest]:
    with ExitStack() as stack:
        try:
            guest = stack.enter_context(hypervisor.boot(plan))
        except BootError as error:
            # One that is silent under emulation counts when another boot confirms it, as in a trial.
            if "did not reach userspace" not in error.message:
                raise
            guest = stack.enter_context(hypervisor.boot(plan))
        assert len(qemu_of(plan.name)) == 1
        yield guest
    assert qemu_of(plan.name) == []


@pytest.mark.parametrize("series", SERIES)
def test_commands(hypervisor: LibvirtHypervisor, plans: dict[str, BootPlan], series: str, tmp_path: Path) -> None:
    plan = replace(plans[series], name=new_name(), scratch=tmp_path)
    with booted(hypervisor, plan) as guest:
        done = guest.run("uname -r", timeout_s=20)
        assert done.status == 0
        assert done.stdout.startswith(f"{series}.")
        done = guest.run("echo out; echo err >&2; exit 3", timeout_s=20)
        assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")
        # Larger than any window, on both outputs and on standard input at once.
        done = guest.run("cat; head -c 3000000 /dev/zero >&2", timeout_s=60, stdin=b"x" * 3_000_000)
        assert (done.status, len(done.stdout), len(done.stderr)) == (0, 3_000_000, 3_000_000)
        assert guest.run("kill -9 $$", timeout_s=20).status == -1
        assert "[status 3 after " in guest.log()
        assert (tmp_path / "commands.log").read_bytes().startswith(b"$ uname -r\n")
        assert guest.console().count("KAB-READY") == 1
        assert findings(guest.console()) == ()
        assert 0 < guest.boot_s < plan.boot_timeout_s
        assert guest.connect_s > 0
        guest.shutdown(timeout_s=20)


def test_a_panic_is_a_crash_at_once(hypervisor: LibvirtHypervisor, plan: BootPlan) -> None:
    with booted(hypervisor, plan) as guest:
        started = time.monotonic()
        with pytest.raises(CrashError, match="sysrq triggered crash") as caught:
            guest.run("echo c > /proc/sysrq-trigger; sleep 300", timeout_s=300)
        assert time.monotonic() - started < 20
        [found] = findings(caught.value.log)
        assert found.kind is FindingKind.PANIC
        assert found.place == "sysrq_handle_crash"
        assert "Call Trace:" in found.excerpt
        with pytest.raises(CrashError):
            guest.run("true", timeout_s=20)


# /proc/PID/comm of the listener; sessions have names of their own.
_KILL_SSHD = (
    'for task in /proc/[0-9]*; do [ "$(cat "$task/comm")" != sshd ] || kill -9 "${task#/proc/}"; done; sleep 300'
)


def test_a_killed_sshd_accuses_no_kernel(hypervisor: LibvirtHypervisor, plan: BootPlan) -> None:
    with booted(hypervisor, plan) as guest:
        started = time.monotonic()
        with pytest.raises(
            UserspaceError, match=r"userspace died while running .*: sshd was killed by SIGKILL"
        ) as caught:
            guest.run(_KILL_SSHD, timeout_s=300)
        assert time.monotonic() - started < 20
        assert findings(caught.value.log) == ()


def test_silence_is_a_hang_and_a_killed_qemu_is_lost(hypervisor: LibvirtHypervisor, plan: BootPlan) -> None:
    with booted(hypervisor, plan) as guest:
        with pytest.raises(HangError, match="no end of `sleep 300` in 1 s"):
            guest.run("sleep 300", timeout_s=1)
        assert guest.run("true", timeout_s=20).status == 0
        [pid] = qemu_of(plan.name)
        os.kill(pid, signal.SIGSTOP)
        # Just as silent, and not the kernel's doing.
        with pytest.raises(GuestLostError, match="QEMU is stopped"):
            guest.run("true", timeout_s=1)
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(GuestLostError, match="QEMU went away"):
            guest.run("true", timeout_s=20)


def test_another_host_key_is_refused(hypervisor: LibvirtHypervisor, plan: BootPlan) -> None:
    keys = BootKeys.generate()
    with hypervisor.start(plan, keys) as started:
        assert started.console.wait(lambda: started.console.says("KAB-READY"), plan.boot_timeout_s)
        dial = partial(hypervisor.host.dial, started.port, timeout_s=30)
        with pytest.raises(HostError, match="host key"):
            Session.with_guest(dial(), BootKeys.generate(), timeout_s=30)
        with Session.with_guest(dial(), keys, timeout_s=30) as session:
            assert session.is_active


def test_a_boot_without_its_root_disk(hypervisor: LibvirtHypervisor, plan: BootPlan, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(bytes(1024 * 1024))
    with (
        pytest.raises(BootError, match=r"init gave up: .*root disk") as caught,
        booted(hypervisor, replace(plan, root_image=empty)),
    ):
        pass
    assert "KAB-INIT" in caught.value.log
    assert qemu_of(plan.name) == []


def test_a_kernel_that_panics_before_userspace(hypervisor: LibvirtHypervisor, plan: BootPlan) -> None:
    plan = replace(plan, guest=replace(plan.guest, cmdline=("rdinit=/nothing", "init=/nothing")))
    with pytest.raises(BootError, match="Kernel panic") as caught, booted(hypervisor, plan):
        pass
    assert findings(caught.value.log)[0].kind is FindingKind.PANIC


def test_the_accelerator_is_found_out_once(hypervisor: LibvirtHypervisor, plan: BootPlan, paths: Paths) -> None:
    first = probe_accelerator(hypervisor, plan, paths=paths)
    started = time.monotonic()
    assert probe_accelerator(hypervisor, plan, paths=paths) == first
    assert time.monotonic() - started < 1
    if first.accelerator is Accelerator.TCG:
        assert "emulated" in first.sentence
    assert qemu_of(f"{plan.name}-kvm") == []


OWNER = """
import pickle, sys
from pathlib import Path
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.host.leases import Lease
from harness.host.paths import Paths
paths, plan = pickle.loads(bytes.fromhex(sys.argv[1]))
with (
    Lease(paths) as lease,
    lease.folder(plan.scratch),
    Connection("embed", paths=paths, lease=lease) as connection,
    LibvirtHypervisor(connection, lease=lease).boot(plan) as guest,
):
    print(guest.run("uname", timeout_s=20).stdout, flush=True)
    guest.run("sleep 300", timeout_s=300)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_dead_owner_leaves_nothing(plan: BootPlan, paths: Paths, tmp_path: Path, how: signal.Signals) -> None:

    own = Paths(cache=paths.cache, state=tmp_path / "state")
    plan = replace(plan, scratch=own.scratch / plan.name)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, pickle.dumps((own, plan)).hex()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"Linux\n"
        assert len(qemu_of(plan.name)) == 1
        assert plan.scratch.is_dir()
        owner.send_signal(how)
        _, error = owner.communicate(timeout=20)
    deadline = time.monotonic() + 8
    while qemu_of(plan.name) or plan.scratch.exists() or list(own.leases.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list((own.state / "libvirt").glob("*")) == []
    if how is signal.SIGINT:
        assert error.decode().rstrip().endswith("KeyboardInterrupt")
