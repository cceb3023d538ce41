"""One SSH connection: to a guest with a pinned host key; commands with timeout, output as it comes."""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Self

import paramiko

from harness.errors import HostError
from harness.guest import terminal
from harness.guest.keys import BootKeys
from harness.model.guest import CommandResult
from harness.parse.headtail import HeadTail

USER = "root"

_KEEPALIVE_S = 10
_CHUNK = 65536
_SHELL_TIMEOUT_S = 30.0
# Kept of each output of a command, half of its beginning and half of its end.
OUTPUT_BYTES = 8 * 1024 * 1024
# How often a running command looks at what does not wake it up: the console, its standard input's window, the clock.
_LOOK_EVERY_S = 0.05
# Cheap under emulation, and spoken by every sshd of the last ten years.
_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
_CIPHERS = ("aes128-ctr",)
_HOST_KEYS = ("ssh-ed25519",)

# Paramiko's own thread reports a guest that went away as an error; we report it ourselves, in the guest's words.
_CHANNEL_LOG = f"{__name__}.paramiko"
logging.getLogger(_CHANNEL_LOG).setLevel(logging.CRITICAL)


class SshError(Exception):
    """The connection failed or was cut. The caller knows the guest, and says whose fault it is."""


class CommandTimeoutError(Exception):
    """The command did not end in time; its channel is closed."""


@contextmanager
def ssh_errors() -> Iterator[None]:
    """Turn what a connection raises into SshError."""
    try:
        yield
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise SshError(f"{type(error).__name__}: {error}") from error


class Session:
    """An authenticated connection that runs one command after the other."""

    def __init__(self, transport: paramiko.Transport) -> None:
        """Owns `transport`."""
        self._transport = transport
        self._transport.set_keepalive(_KEEPALIVE_S)

    @classmethod
    def with_guest(cls, connected: socket.socket | paramiko.Channel, keys: BootKeys, *, timeout_s: float) -> Self:
        """Log in to the guest whose sshd is at the other end of `connected`, which then belongs to the session.

        Raises SshError when it does not answer, HostError when something with another host key does.
        """
        try:
            with ssh_errors():
                transport = cls._negotiate(connected, timeout_s)
        except BaseException:
            connected.close()
            raise
        try:
            if transport.get_remote_server_key() != keys.host:
                raise HostError(
                    "what answers on the guest's forwarded port shows a host key that is not the guest's",
                    remedy="Something else answers there; nothing was sent to it.",
                )
            with ssh_errors():
                transport.auth_timeout = timeout_s
                transport.auth_publickey(USER, keys.user)
        except BaseException:
            transport.close()
            raise
        return cls(transport)

    @staticmethod
    def _negotiate(connected: socket.socket | paramiko.Channel, timeout_s: float) -> paramiko.Transport:
        transport = paramiko.Transport(connected)
        transport.set_log_channel(_CHANNEL_LOG)
        transport.banner_timeout = timeout_s
        options = transport.get_security_options()
        options.kex, options.ciphers, options.key_types = _KEX, _CIPHERS, _HOST_KEYS
        try:
            transport.start_client(timeout=timeout_s)
        except BaseException:
            transport.close()
            raise
        return transport

    @property
    def is_active(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return bool(self._transport.is_active())

    def run(
        self,
        command: str,
        *,
        timeout_s: float,
        stdin: bytes | None = None,
        output: Callable[[bytes], None],
        look: Callable[[], None],
    ) -> CommandResult:
        """Run a shell command; `output` gets what it writes as it comes, `look` may raise to give it up.

        Of an output longer than `OUTPUT_BYTES` the beginning and the end are returned. The status is -1 for a command
        that a signal ended. Raises SshError, CommandTimeoutError.
        """
        started = time.monotonic()
        channel = self._open(timeout_s)
        try:
            with ssh_errors():
                running = _Running(channel, stdin or b"", output)
                running.begin(command, started + timeout_s)
                running.follow(started + timeout_s, look)
                status = channel.recv_exit_status()
            if status == -1 and not self.is_active:
                raise SshError("the connection was cut")
            return CommandResult(
                command=command,
                status=status,
                stdout=running.stdout.text(),
                stderr=running.stderr.text(),
                duration_s=time.monotonic() - started,
                cut_bytes=running.stdout.cut_bytes,
            )
        finally:
            channel.close()

    def interact(self, stdin: IO[str], stdout: IO[str]) -> int:
        """Join the user's terminal to a shell; returns its status, -1 when it was cut. Raises SshError."""
        with ssh_errors():
            channel = self._transport.open_session(timeout=_SHELL_TIMEOUT_S)
        try:
            with ssh_errors():
                return terminal.interact(channel, stdin, stdout)
        finally:
            channel.close()

    def _open(self, timeout_s: float) -> paramiko.Channel:
        started = time.monotonic()
        try:
            with ssh_errors():
                return self._transport.open_session(timeout=timeout_s)
        except SshError as error:
            if self.is_active and time.monotonic() - started >= timeout_s:
                raise CommandTimeoutError from error
            raise

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Running:
    """A command on its channel. Both outputs are read as they come, so that neither window fills and blocks it."""

    def __init__(self, channel: paramiko.Channel, stdin: bytes, output: Callable[[bytes], None]) -> None:
        self.stdout = HeadTail(OUTPUT_BYTES // 2, OUTPUT_BYTES // 2)
        self.stderr = HeadTail(OUTPUT_BYTES // 2, OUTPUT_BYTES // 2)
        self._channel = channel
        self._stdin = memoryview(stdin)
        self._output = output
        # Before anything can arrive, so that the descriptor tells of all of it.
        self._descriptor = channel.fileno()

    def begin(self, command: str, deadline: float) -> None:
        """Have the guest start the command."""
        # Paramiko waits for the guest's answer for ever; closing the channel is what ends that.
        timer = threading.Timer(deadline - time.monotonic(), self._channel.close)
        timer.daemon = True
        timer.start()
        try:
            self._channel.exec_command(command)
        except paramiko.SSHException as error:
            if time.monotonic() >= deadline:
                raise CommandTimeoutError from error
            raise
        finally:
            timer.cancel()

    def follow(self, deadline: float, look: Callable[[], None]) -> None:
        """Feed and read until the command has ended and both outputs are read."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            self._write()
            while not self._step():
                look()
                if time.monotonic() >= deadline:
                    raise CommandTimeoutError
                selector.select(_LOOK_EVERY_S)
                self._write()

    def _write(self) -> None:
        if self._channel.closed:
            return
        while self._stdin and self._channel.send_ready():
            self._stdin = self._stdin[self._channel.send(bytes(self._stdin[:_CHUNK])) :]
        if not self._stdin and not self._channel.eof_sent:
            self._channel.shutdown_write()

    def _step(self) -> bool:
        # Asked first: what has arrived before the end is in the buffers now.
        ended = bool(self._channel.closed) or bool(self._channel.eof_received and self._channel.exit_status_ready())
        while self._channel.recv_ready():
            self._take(self._channel.recv(_CHUNK), self.stdout)
        while self._channel.recv_stderr_ready():
            self._take(self._channel.recv_stderr(_CHUNK), self.stderr)
        return ended

    def _take(self, data: bytes, into: HeadTail) -> None:
        into.feed(data)
        self._output(data)
