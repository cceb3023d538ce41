"""What `kab shell` does: a boot like a trial's, and a terminal or a command in it."""

import shlex
import sys
from collections.abc import Sequence

import click

from harness.config import Request
from harness.errors import ConfigError, ExitCode
from harness.guest.machine import LibvirtGuest
from harness.lab.bench import Session
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM
from harness.model.guest import GuestSpec
from harness.run.trial import modules_wanted, new_boot_name

# A command of the user's own may take its time; the guest's end or Ctrl-C stops it sooner.
_COMMAND_TIMEOUT_S = 7 * 24 * 3600.0
_SHUTDOWN_TIMEOUT_S = 20.0


def run_shell(session: Session, spec: str, request: Request, command: Sequence[str], *, destroy_data: str) -> int:
    """Boot the kernel `spec` with the disk asked for; join the terminal, or run `command`. Returns an exit status.

    Without either, stdin is a script, read before anything is booted. Raises ConfigError where it cannot be read.
    """
    script = None if command or sys.stdin.isatty() else _script()
    kernel = session.resolve(spec)
    disk_spec = request.disk or DEFAULT_DISK
    wanted = modules_wanted(disk_spec, request.filesystem or DEFAULT_FILESYSTEM)
    with session.bench(
        kernel, accelerator=request.accelerator, connect=request.connect, destroy_data=destroy_data
    ) as bench:
        name = new_boot_name()
        with (
            bench.scratch(name) as scratch,
            bench.disks.attach(disk_spec, serial=f"kab-{name[-8:]}", scratch=scratch) as disk,
        ):
            plan = bench.boot_plan(kernel, _guest(request), [disk], wanted, scratch)
            with bench.hypervisor.boot(plan) as guest:
                assert isinstance(guest, LibvirtGuest)
                session.progress.note(
                    f"{kernel.release} booted in {guest.boot_s + guest.connect_s:.1f} s; the test disk has the serial "
                    f"number {disk.serial}"
                )
                status = _in_guest(guest, command, script)
                guest.shutdown(timeout_s=_SHUTDOWN_TIMEOUT_S)
    return status


def _guest(request: Request) -> GuestSpec:
    default = GuestSpec()
    return GuestSpec(
        vcpus=request.vcpus or default.vcpus,
        memory_mib=request.memory_mib or default.memory_mib,
        cmdline=request.cmdline or default.cmdline,
        cpu_model=request.cpu_model or default.cpu_model,
    )


def _script() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"cannot read a script from stdin: {error}", remedy="Give a command after `--`.") from error


def _in_guest(guest: LibvirtGuest, command: Sequence[str], script: bytes | None) -> int:
    if not command and script is None:
        guest.interact(sys.stdin, sys.stdout)
        # How somebody leaves a shell says nothing about a kernel.
        return ExitCode.GOOD
    if command:
        # One word is a script of the user's own (`kab shell SPEC -- 'mount | grep btrfs'`); more are an argument list.
        line, stdin = (command[0] if len(command) == 1 else shlex.join(command)), None
    else:
        line, stdin = "bash -s", script
    result = guest.run(line, timeout_s=_COMMAND_TIMEOUT_S, stdin=stdin)
    click.echo(result.stdout, nl=False)
    click.echo(result.stderr, nl=False, err=True)
    return exit_status(result.status)


def exit_status(status: int) -> int:
    """A guest command's status as one of kab's own, so that `kab shell` is safe under `git bisect run`."""
    if status in {ExitCode.GOOD, ExitCode.CANNOT_TELL}:
        return status
    if status in {126, 127}:
        click.echo(f"kab: the guest has no such command (status {status})", err=True)
        return ExitCode.USAGE
    if status != ExitCode.BAD:
        click.echo(f"kab: the command ended with status {status} in the guest", err=True)
    return ExitCode.BAD
