"""Processes of the host: the only place that starts one. Argument lists, never shell strings."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from harness.errors import HostError
from harness.model.arch import ARCHITECTURES

# What `spawn` gives.
Process: TypeAlias = "subprocess.Popen[bytes]"
# For `spawn`: what is written to the process's `stdin` reaches it.
PIPE = subprocess.PIPE

# Debian package that brings a tool, for the remedy of "not found".
TOOL_PACKAGES: dict[str, str] = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "apt-helper": "apt",
    "bc": "bc",
    "bison": "bison",
    "btrfs": "btrfs-progs",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "ccache": "ccache",
    "clang": "clang",
    "dpkg-deb": "dpkg",
    "flex": "flex",
    "gcc": "gcc",
    "git": "git",
    "gpgv": "gpgv",
    "ld": "binutils",
    "make": "make",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "nbdkit": "nbdkit",
    "nbdinfo": "libnbd-bin",
    "qemu-img": "qemu-utils",
    **{architecture.emulator: architecture.emulator_package for architecture in ARCHITECTURES},
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "strip": "binutils",
    "virsh": "libvirt-clients",
    "wipefs": "util-linux",
}


_UNLESS_ORPHANED = '[ "$PPID" -eq "$1" ] || exit 137; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A finished process with its decoded output."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    check: bool = True,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a process to its end.

    ``env`` replaces the environment when given. Raises HostError when the tool is missing, takes longer than
    ``timeout_s`` seconds, or (with ``check``) ends with a status other than 0.
    """
    words = tuple(str(word) for word in argv)
    try:
        # input=b"" and not None: a child must never read the user's terminal.
        done = subprocess.run(
            _found(words), input=stdin or b"", capture_output=True, timeout=timeout_s, check=False, env=env, cwd=cwd
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise HostError(f"no such folder: {cwd}") from error
        raise missing_tool(words[0]) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"`{shlex.join(words)}` did not finish in {timeout_s:g} s") from error
    except OSError as error:
        raise HostError(f"cannot run `{shlex.join(words)}`: {error}") from error
    result = Completed(
        argv=words,
        status=done.returncode,
        stdout=done.stdout.decode(errors="replace"),
        stderr=done.stderr.decode(errors="replace"),
    )
    if check and result.status != 0:
        tail = (result.stderr.strip() or result.stdout.strip())[-2000:]
        raise HostError(f"`{shlex.join(words)}` failed with status {result.status}:\n{tail}")
    return result


def spawn(
    argv: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Process:
    """Start a process that goes on; whoever starts it ends it. ``new_session`` keeps Ctrl-C away from it."""
    words = tuple(str(word) for word in argv)
    try:
        return subprocess.Popen(
            _found(words),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            start_new_session=new_session,
            pass_fds=pass_fds,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise missing_tool(words[0]) from error
    except OSError as error:
        raise HostError(f"cannot run `{shlex.join(words)}`: {error}") from error


def dying_with_us(argv: Sequence[str | Path] = ()) -> tuple[str | Path, ...]:
    """`argv` as a command that is killed when the thread of kab that starts it ends, at whatever moment that is.

    The signal is asked for by the new process itself, so that one whose parent died before it could ask looks for that.
    """
    return ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _UNLESS_ORPHANED, "sh", str(os.getpid()), *argv)


def stop(process: Process, *, timeout_s: float) -> bool:
    """End a process that `spawn` started; False when it took longer than ``timeout_s`` seconds and was killed."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def stop_group(process: Process, *, timeout_s: float) -> bool:
    """End a process that `spawn` started with ``new_session``, and all that it started; False as ``stop``."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(timeout_s)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        # Also where it ended in order: something that it left behind would go on.
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def find_tool(name: str, root: Path = Path("/")) -> Path | None:
    """A program in PATH, or in the folders for administration that an ordinary user's PATH lacks, under `root`."""
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=":".join(str(root / folder.lstrip("/")) for folder in folders if folder))
    return Path(found) if found else None


def _found(words: Sequence[str]) -> list[str]:
    """The same command with its program's full path, if it has one."""
    program = None if "/" in words[0] else find_tool(words[0])
    return [str(program or words[0]), *words[1:]]


def missing_tool(name: str) -> HostError:
    """The error for a tool that is not installed, naming the package that brings it."""
    package = TOOL_PACKAGES.get(Path(name).name)
    remedy = f"Install it: apt-get install {package}" if package else "Install it, or see `kab doctor`."
    return HostError(f"{name} is not installed", remedy=remedy)
