"""What `kab shell` does: a boot like a trial's, and a terminal or a command in it."""

import sys
from collections.abc import Sequence

import click

from harness.config import Request
from harness.errors import ConfigError, ExitCode
from harness.lab.boot import Booted
from harness.lab.lab import Lab


def run_shell(lab: Lab, spec: str, request: Request, command: Sequence[str], *, destroy_data: str) -> int:
    """Boot the kernel `spec` with the disk asked for; join the terminal, or run `command`. Returns an exit status.

    Without either, stdin is a script, read before anything is booted. Raises ConfigError where it cannot be read.
    """
    script = None if command or sys.stdin.isatty() else _script()
    with lab.boot(spec, request, destroy_data=destroy_data) as booted:
        return _in_guest(booted, command, script)


def _script() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"cannot read a script from stdin: {error}", remedy="Give a command after `--`.") from error


def _in_guest(booted: Booted, command: Sequence[str], script: bytes | None) -> int:
    if not command and script is None:
        booted.interact(sys.stdin, sys.stdout)
        # How somebody leaves a shell says nothing about a kernel.
        return ExitCode.GOOD
    # One word is a script of the user's own (`kab shell SPEC -- 'mount | grep btrfs'`); more are an argument list.
    line = (command[0] if len(command) == 1 else command) if command else "bash -s"
    result = booted.run(line, stdin=script)
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
