"""A running guest: commands over SSH, with the console watched meanwhile; whose fault it is when it ends."""

import time
from collections.abc import Callable
from typing import IO

from harness import interruption
from harness.errors import CrashError, GuestLostError, HangError, KernelError, UserspaceError
from harness.guest.console import Console, End
from harness.guest.ssh import CommandTimeoutError, Session, SshError
from harness.guest.transcript import Transcript
from harness.model.guest import BootPlan, CommandResult
from harness.parse.console import death, starved

# After a cut connection, the console gets this long to tell why.
_LAST_WORDS_S = 3.0
# The names of its processes begin so; one of them is what keeps our connection.
_SSHD = "sshd"
_POWER_OFF = "sync; echo o > /proc/sysrq-trigger"


class _GuestEndedError(Exception):
    """The console tells of a crash, or QEMU is gone; raised out of a running command."""


class LibvirtGuest:
    """Implements harness.interfaces.Guest."""

    def __init__(
        self,
        plan: BootPlan,
        *,
        domain_xml: str,
        console: Console,
        session: Session,
        is_stopped: Callable[[], bool],
        boot_s: float,
        connect_s: float,
    ) -> None:
        self._name = plan.name
        self._domain_xml = domain_xml
        self._console = console
        self._session = session
        self._is_stopped = is_stopped
        self._boot_s = boot_s
        self._connect_s = connect_s
        self._log = Transcript(plan.scratch / "commands.log")

    @property
    def domain_xml(self) -> str:
        """The domain as it was defined."""
        return self._domain_xml

    @property
    def boot_s(self) -> float:
        """Seconds from the start of QEMU to the console marker."""
        return self._boot_s

    @property
    def connect_s(self) -> float:
        """Seconds from the console marker to an authenticated SSH connection."""
        return self._connect_s

    def console(self) -> str:
        """The serial console from the first byte until now; of a flood the beginning and the end."""
        return self._console.text()

    def log(self) -> str:
        """Every command, its output, status and duration, in order; of a flood the beginning and the end."""
        return self._log.text()

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        """Run a shell command as root in the guest; see harness.interfaces.Guest.run for what it raises."""
        doing = f"running `{_short(command)}`"
        self._write(f"$ {command}\n".encode())
        started = time.monotonic()
        try:
            self._look()
            result = self._session.run(command, timeout_s=timeout_s, stdin=stdin, output=self._write, look=self._look)
            # A crash that did not stop this command must not be blamed on the next one.
            self._look()
        except _GuestEndedError as error:
            self._write(_outcome("the guest ended", started))
            raise ended(self._name, self._console, doing) from error
        except SshError as error:
            self._write(_outcome("the connection was cut", started))
            self._console.wait(lambda: self._has_ended, _LAST_WORDS_S)
            if self._has_ended:
                raise ended(self._name, self._console, doing) from error
            raise cut(self._name, self._console, doing, error) from error
        except CommandTimeoutError as error:
            self._write(_outcome("given up", started))
            if self._is_stopped():
                raise stopped(self._name, doing) from error
            raise HangError(
                f"{self._name}: no end of `{_short(command)}` in {timeout_s:g} s, and no crash on the console",
                log=self._console.text(),
            ) from error
        self._write(_outcome(f"status {result.status}", started))
        return result

    def interact(self, stdin: IO[str], stdout: IO[str]) -> int:
        """Join the user's terminal to a shell in the guest until it ends; returns the shell's status.

        Raises CrashError and GuestLostError as ``run`` does.
        """
        try:
            status = self._session.interact(stdin, stdout)
        except SshError as error:
            self._console.wait(lambda: self._has_ended, _LAST_WORDS_S)
            if self._has_ended:
                raise ended(self._name, self._console, "in a shell") from error
            raise cut(self._name, self._console, "in a shell", error) from error
        if status == -1:
            self._console.wait(lambda: self._has_ended, _LAST_WORDS_S)
        if self._has_ended:
            raise ended(self._name, self._console, "in a shell")
        return status

    def shutdown(self, *, timeout_s: float) -> None:
        """Power off in order; raises HangError when the guest does not."""
        self._write(b"$ (power off)\n")
        started = time.monotonic()
        try:
            self._look()
            self._session.run(_POWER_OFF, timeout_s=timeout_s, output=self._write, look=self._look_at_crash)
        except _GuestEndedError as error:
            raise ended(self._name, self._console, "powering off") from error
        except (SshError, CommandTimeoutError):
            # The guest may go before it answers: whether it goes is what counts.
            pass
        self._console.wait(lambda: self._has_ended, started + timeout_s - time.monotonic())
        if self._console.has_crashed or (self._console.is_over and self._console.end() is End.KILLED):
            raise ended(self._name, self._console, "powering off")
        if not self._console.is_over:
            if self._is_stopped():
                raise stopped(self._name, "powering off")
            raise HangError(f"{self._name}: still on after {timeout_s:g} s of powering off", log=self._console.text())
        self._write(_outcome("off", started))

    @property
    def _has_ended(self) -> bool:
        return self._console.has_crashed or self._console.is_over

    def _look(self) -> None:
        interruption.check()
        if self._has_ended:
            raise _GuestEndedError

    def _look_at_crash(self) -> None:
        interruption.check()
        if self._console.has_crashed:
            raise _GuestEndedError

    def _write(self, data: bytes) -> None:
        self._log.feed(data)


def ended(name: str, console: Console, doing: str) -> KernelError | UserspaceError | GuestLostError:
    """The error for a guest that crashed or went away while `doing`: the kernel, its userspace or the host failed."""
    end = console.end() if console.is_over else None
    crash = console.crash()
    if crash is not None:
        return CrashError(f"{name}: kernel crashed while {doing}: {crash.message}", log=console.text())
    if death(console.text()) is not None:
        return _userspace_died(name, console, doing)
    if end is End.GUEST:
        return CrashError(f"{name}: the guest reset or powered off by itself while {doing}", log=console.text())
    return GuestLostError(
        f"{name}: QEMU went away while {doing}",
        remedy="Was it killed? Look for it in the host's kernel log (dmesg | grep -i oom), and free some memory.",
    )


def stopped(name: str, doing: str) -> GuestLostError:
    """The error for a guest that is silent because its QEMU has been stopped from outside."""
    return GuestLostError(
        f"{name}: QEMU is stopped (SIGSTOP, or a debugger) while {doing}",
        remedy="What such a boot shows is not the kernel's doing. Leave the guest's QEMU alone while kab measures.",
    )


def cut(name: str, console: Console, doing: str, error: SshError) -> UserspaceError | GuestLostError:
    """The error for a guest that runs on when its connection is cut: its sshd died, or something on the host."""
    if death(console.text()) is not None or starved(console.text(), _SSHD) is not None:
        return _userspace_died(name, console, doing)
    return GuestLostError(f"{name}: the connection was cut while {doing}: {error}")


def _userspace_died(name: str, console: Console, doing: str) -> UserspaceError:
    text = console.text()
    killed = starved(text, _SSHD)
    told = [word for word in (death(text), killed and killed.message) if word]
    return UserspaceError(
        f"{name}: the guest's userspace died while {doing}: {'; '.join(told)}",
        remedy="The kernel is not accused. Where memory ran out, give the guest more (--memory).",
        log=text,
    )


def _short(command: str) -> str:
    line = command.strip().split("\n", 1)[0]
    return line if line == command.strip() and len(line) <= 80 else f"{line[:77]}..."


def _outcome(what: str, started: float) -> bytes:
    return f"\n[{what} after {time.monotonic() - started:.3f} s]\n".encode()
