"""The user's terminal joined to a shell in a guest."""

import os
import selectors
import shutil
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

import paramiko

from harness import interruption

_CHUNK = 65536
_LOOK_EVERY_S = 0.5


def interact(channel: paramiko.Channel, stdin: IO[str], stdout: IO[str]) -> int:
    """Join the terminal `stdin`/`stdout` to a shell on `channel` until that ends; returns its exit status.

    The status is -1 when the connection was cut or a signal ended the shell.
    """
    columns, rows = shutil.get_terminal_size()
    channel.get_pty(term=os.environ.get("TERM", "vt100"), width=columns, height=rows)
    channel.invoke_shell()
    with _raw(stdin.fileno()), _resized(channel), selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(stdin, selectors.EVENT_READ)
        while True:
            interruption.check()
            for key, _ in selector.select(_LOOK_EVERY_S):
                if key.fileobj is channel:
                    data = _receive(channel)
                    if not data:
                        return channel.recv_exit_status()
                    os.write(stdout.fileno(), data)
                else:
                    typed = os.read(stdin.fileno(), _CHUNK)
                    if typed:
                        channel.sendall(typed)
                    else:
                        selector.unregister(stdin)
                        channel.shutdown_write()


def _receive(channel: paramiko.Channel) -> bytes:
    try:
        return channel.recv(_CHUNK)
    except socket.timeout:  # noqa: UP041 - what paramiko documents
        return b""


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """The terminal sends every key, Ctrl-C too, to the guest."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _resized(channel: paramiko.Channel) -> Iterator[None]:
    """The guest's terminal follows the size of the user's window."""

    def resize(_number: int, _frame: FrameType | None) -> None:
        columns, rows = shutil.get_terminal_size()
        channel.resize_pty(width=columns, height=rows)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
