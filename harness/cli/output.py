"""The process's stdin, stdout and stderr, whatever they are: closed, full, or a pipe that nobody reads.

An exit status of kab speaks about a kernel, so no trouble with a stream may make one. Writes to the streams installed
here never raise. A reader that went away has seen enough: kab goes on to its end and ends as it would have. A result
that stdout could not take for another reason (a full disk) is lost, which ``settle`` turns into ExitCode.HOST.
"""

import errno
import io
import os
import select
import sys
from typing import TextIO

from harness.errors import ExitCode

# The reader went away, or there never was one.
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN})
_STANDARD = (0, 1, 2)


class GuardedWriter(io.RawIOBase):
    """The writing side of a descriptor, which it never closes. What cannot be written is dropped, and why is kept."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._gone = False
        # The first failure but a reader's going.
        self.failure: OSError | None = None

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always, as far as a caller can see."""
        return True

    def write(self, data: object, /) -> int:
        """Write some of the bytes `data`; returns how many are dealt with, dropped ones among them."""
        assert isinstance(data, bytes | bytearray | memoryview)
        while not self._gone:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Whoever shares the open file has made it non-blocking; ours is to wait, as for any slow reader.
                _wait_until_writable(self._descriptor)
            except OSError as error:
                if error.errno not in _GONE:
                    self.failure = self.failure or error
                    break
                self._gone = True
        return len(data)


def guard_streams() -> None:
    """Replace ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` by ones that are always there and take every write."""
    _open_closed_descriptors()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = _guarded(1, sys.stdout, each_line=os.isatty(1))
    sys.stderr = _guarded(2, sys.stderr, each_line=True)


def settle(status: int) -> int:
    """The exit status of a command that was to end with `status`, after the last flush of both streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    failure = _failure(sys.stdout)
    if failure is None or status in _ERRORS:
        return status
    sys.stderr.write(
        f"kab: the result could not be written to stdout: {failure.strerror}\n"
        "Free some space or name another place; `kab report` prints a stored result again.\n"
    )
    sys.stderr.flush()
    return ExitCode.HOST


# Statuses that say already that something failed, and what.
_ERRORS = frozenset({ExitCode.BUG, ExitCode.USAGE, ExitCode.INTERRUPTED, ExitCode.HOST})


def _open_closed_descriptors() -> None:
    """Open the standard descriptors that are closed on /dev/null: no file or socket of ours may become stdout."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            # As a shell leaves them; Python opens everything close-on-exec.
            os.set_inheritable(descriptor, True)


def _guarded(descriptor: int, replaced: TextIO | None, *, each_line: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(GuardedWriter(descriptor)),
        encoding=replaced.encoding if replaced is not None else "utf-8",
        # A locale without a character is no reason to fail either.
        errors="backslashreplace",
        line_buffering=each_line,
    )


def _failure(stream: TextIO) -> OSError | None:
    """Why something that was written to `stream` is lost, or None."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, GuardedWriter) else None


def _wait_until_writable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
