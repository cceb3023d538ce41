"""What can go wrong, sorted by whose fault it is, and the exit status that says so.

Four things must never be confused: a broken kernel (``KernelError``), a broken workload (``WorkloadError``), a
broken host (``HostError``) and a bug of ours (any other exception). Only the first two say anything about a kernel.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of every verb, safe under ``git bisect run`` (which takes 1-124, 126 and 127 for "bad")."""

    GOOD = 0
    BAD = 1
    CANNOT_TELL = 125
    BUG = 128
    USAGE = 129
    INTERRUPTED = 130
    HOST = 131


class KabError(Exception):
    """Something to tell the person at the keyboard: what failed, and what to do about it.

    ``message`` says what failed, naming the kernel, host, file or key; ``remedy`` says what to do, or is empty.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class ConfigError(KabError):
    """A wrong command line, configuration file or kernel spec: the user mends it."""

    exit_code = ExitCode.USAGE


class NoKernelError(ConfigError):
    """There is no such kernel: no suite offers it (any more), or a revision cannot be configured as asked."""


class HostError(KabError):
    """The host (or its network, mirror, disk, libvirt, QEMU) failed; it says nothing about any kernel."""

    exit_code = ExitCode.HOST


class TransientHostError(HostError):
    """A host failure that may pass by itself (a lock, a busy mirror): the only error that is retried."""


class GuestLostError(HostError):
    """The guest went away for a reason that is the host's: its QEMU was killed, its connection was cut."""


class KernelError(KabError):
    """The kernel under test failed; ``log`` holds the evidence (console, build log)."""

    exit_code = ExitCode.CANNOT_TELL

    def __init__(self, message: str, *, remedy: str = "", log: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.log = log


class BuildError(KernelError):
    """The kernel does not build; ``log`` is the build's output."""


class BootError(KernelError):
    """The kernel did not reach userspace."""


class CrashError(KernelError):
    """The kernel panicked, oopsed or hit a BUG while the trial ran."""


class HangError(KernelError):
    """The guest stopped answering, without any sign of a crash, and a bounded stage ran out of time."""


class DataError(KernelError):
    """Data read back differs from data written, or the filesystem check failed: fast and wrong is not fast."""


class WorkloadError(KabError):
    """The workload itself failed in a healthy guest (fio refused its job, mkfs failed)."""

    exit_code = ExitCode.CANNOT_TELL


class UserspaceError(WorkloadError):
    """A program of the guest died under a kernel that ran on: its sshd was killed, memory ran out.

    ``log`` holds the evidence, the console.
    """

    def __init__(self, message: str, *, remedy: str = "", log: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.log = log


class DoesNotApplyError(KabError):
    """A merge, a pick or a revert does not apply to a revision: there is no such kernel to speak of."""

    exit_code = ExitCode.CANNOT_TELL
