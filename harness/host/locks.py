"""Locks between processes, by flock(2): the kernel drops them when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import HostError, TransientHostError

_POLL_S = 0.1


class FileLock:
    """A lock held on a file; released by ``close``, the end of its context, or the end of the process.

    The file itself stays: removing it would let two processes lock two files of one name.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        """Owns `descriptor`, which holds the lock; made by ``try_lock`` and ``lock``."""
        self._descriptor = descriptor
        self.path = path

    def touch(self) -> None:
        """Set the file's modification time to now, to remember when the lock was last taken."""
        os.utime(self._descriptor)

    def close(self) -> None:
        """Release; harmless when done twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def try_lock(path: Path, *, shared: bool = False) -> FileLock | None:
    """The lock on `path` (made, with its folder, where missing), or None when another holds it. Raises HostError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostError(
            f"cannot open the lock file {path}: {error.strerror}", remedy="Mend the permissions of its folder."
        ) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if not shared:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise HostError(
            f"cannot lock {path}: {error.strerror}", remedy="Is the folder on a filesystem that can lock (not old NFS)?"
        ) from error
    return FileLock(descriptor, path)


@contextmanager
def lock(
    path: Path, *, what: str, timeout_s: float, shared: bool = False, waiting: Callable[[str], None] | None = None
) -> Iterator[FileLock]:
    """Hold the lock on `path`; `what` completes "another process is ..." in messages.

    `waiting` is told once, in a sentence, when another process holds it. Raises TransientHostError after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    told = False
    while (held := try_lock(path, shared=shared)) is None:
        sentence = f"another process{holder(path)} is {what}"
        if time.monotonic() >= deadline:
            raise TransientHostError(
                f"{sentence} and did not finish in {timeout_s:g} s", remedy="Let it finish, or end it, and try again."
            )
        if waiting is not None and not told:
            waiting(f"{sentence}: waiting for it")
            told = True
        time.sleep(_POLL_S)
    with held:
        yield held


def holder(path: Path) -> str:
    """`` (pid 123)``: who holds, or last held, the lock on `path`; empty where that is not known."""
    try:
        text = path.read_text().strip()
    except OSError:
        return ""
    return f" (pid {text})" if text.isdigit() else ""
