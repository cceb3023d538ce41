"""One boot like a trial's, for whoever wants to look around in a guest."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from harness.config import Request
from harness.guest.machine import LibvirtGuest
from harness.lab.bench import BenchChoice
from harness.lab.workspace import Workspace
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM
from harness.model.guest import CommandResult, GuestSpec
from harness.model.kernel import Kernel
from harness.run.trial import modules_wanted, new_boot_name

# A command of the user's own may take its time; the guest's end or Ctrl-C stops it sooner.
COMMAND_TIMEOUT_S = 7 * 24 * 3600.0
_SHUTDOWN_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A guest that runs, with the test disk attached and no filesystem on it."""

    kernel: Kernel
    # By which the guest finds the test disk.
    disk_serial: str
    _guest: LibvirtGuest

    def run(
        self, command: str | Sequence[str], *, timeout_s: float = COMMAND_TIMEOUT_S, stdin: bytes | None = None
    ) -> CommandResult:
        """Run a shell command, or a list of words, as root. Raises as interfaces.Guest.run."""
        line = command if isinstance(command, str) else shlex.join(command)
        return self._guest.run(line, timeout_s=timeout_s, stdin=stdin)

    def interact(self, stdin: IO[str], stdout: IO[str]) -> None:
        """Join a terminal to a shell in the guest, until that ends."""
        self._guest.interact(stdin, stdout)

    def console(self) -> str:
        """The serial console from the first byte until now."""
        return self._guest.console()


@contextmanager
def boot(workspace: Workspace, spec: str, request: Request, *, bench: BenchChoice) -> Iterator[Booted]:
    """As Lab.boot."""
    kernel = workspace.resolve(spec)
    disk_spec = request.disk or DEFAULT_DISK
    wanted = modules_wanted(disk_spec, request.filesystem or DEFAULT_FILESYSTEM)
    with bench.open(request) as opened:
        ready = opened.ready(kernel)
        name = new_boot_name()
        with (
            ready.scratch(name) as scratch,
            ready.disks.attach(disk_spec, serial=f"kab-{name[-8:]}", scratch=scratch) as disk,
        ):
            plan = ready.boot_plan(kernel, _guest(request), [disk], wanted, scratch)
            with ready.hypervisor.boot(plan) as guest:
                assert isinstance(guest, LibvirtGuest)
                workspace.progress.note(
                    f"{kernel.release} booted in {guest.boot_s + guest.connect_s:.1f} s; the test disk has the serial "
                    f"number {disk.serial}"
                )
                yield Booted(kernel=kernel, disk_serial=disk.serial, _guest=guest)
                guest.shutdown(timeout_s=_SHUTDOWN_TIMEOUT_S)


def _guest(request: Request) -> GuestSpec:
    default = GuestSpec()
    return GuestSpec(
        vcpus=request.vcpus or default.vcpus,
        memory_mib=request.memory_mib or default.memory_mib,
        cmdline=request.cmdline or default.cmdline,
        cpu_model=request.cpu_model or default.cpu_model,
    )
