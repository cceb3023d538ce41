"""Leases: what a live process of kab owns on the host, listed before it is made, so that a dead one leaks nothing.

Each process holds one lease: a JSON file in ``Paths.leases``, and a lock that the kernel drops when the process dies,
however it dies. A small reaper process then ends and removes what the lease lists; where the reaper died too (reboot),
``reclaim`` does it at the next start.
"""

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from harness import interruption
from harness.errors import HostError
from harness.host import reaper
from harness.host.paths import Paths
from harness.host.strays import remove_strays
from harness.host.watch import ReaperWatch

_log = logging.getLogger(__name__)


class Lease:
    """What this process owns: processes, marks (words in command lines of processes to come) and paths.

    List a thing *before* it is made and release it *after* it is gone. Safe to use from several threads.
    """

    def __init__(self, paths: Paths) -> None:
        """Take a lease and start its reaper. Raises HostError when the leases' folder cannot be written."""
        self.paths = paths
        self._mutex = threading.Lock()
        self._content: dict[str, Any] = {
            "owner": os.getpid(),
            "boot_id": reaper.boot_id(),
            "processes": [],
            "marks": [],
            "paths": [],
        }
        self._file = paths.leases / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._closed = False
        try:
            paths.leases.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = self._file.with_suffix(".lock").open("w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write()
        except OSError as error:
            raise HostError(
                f"cannot write a lease in {paths.leases}: {error}",
                remedy="Free some space or mend the folder's permissions, or set KAB_STATE_DIR.",
            ) from error
        self._reaper = ReaperWatch(self._file)

    def _write(self) -> None:
        reaper.write_lease(self._file, self._content)

    def _change(self, kind: str, entry: Any, *, add: bool) -> None:
        with self._mutex:
            if self._closed:
                raise HostError("the lease of this process is closed")
            if add:
                self._reaper.check()
            entries = [known for known in self._content[kind] if known != entry]
            self._content[kind] = [*entries, entry] if add else entries
            try:
                self._write()
            except OSError as error:
                raise HostError(f"cannot write {self._file}: {error}", remedy="Is the disk full?") from error

    def add_process(self, pid: int, name: str, *, group: bool = False) -> None:
        """List a running process that must not outlive us, with `group` all of its group; `name` is for people."""
        entry = {"pid": pid, "started": reaper.start_ticks(pid), "name": name} | ({"group": True} if group else {})
        self._change("processes", entry, add=True)

    def add_mark(self, mark: str) -> None:
        """List any process, started or to be started, with `mark` in its command line.

        `mark` must be a word that nobody else uses: a random name or a path in our own scratch.
        """
        if len(mark) < reaper.LEAST_MARK:
            raise ValueError(f"too short for a mark: {mark!r}")
        self._change("marks", mark, add=True)

    def add_path(self, path: Path) -> None:
        """List a file or a folder (with all in it) that must not outlive us."""
        if not path.is_absolute():
            raise ValueError(f"not an absolute path: {path}")
        self._change("paths", str(path), add=True)

    def release(self, *things: int | str | Path) -> None:
        """Take things off the list that are gone: process ids, marks (str) or paths (Path)."""
        for thing in things:
            if isinstance(thing, int):
                for entry in [entry for entry in self._content["processes"] if entry["pid"] == thing]:
                    self._change("processes", entry, add=False)
            else:
                self._change("paths" if isinstance(thing, Path) else "marks", str(thing), add=False)

    @contextmanager
    def process(self, pid: int, name: str = "process") -> Iterator[None]:
        """List a process for the length of the context, and kill it at the end where it still runs."""
        started = reaper.start_ticks(pid)
        self.add_process(pid, name)
        try:
            yield
        finally:
            with interruption.shielded():
                if reaper.end_process(pid, started):
                    self.release(pid)
                else:
                    _log.warning("cannot end process %s (%s)", pid, name)

    @contextmanager
    def mark(self, mark: str) -> Iterator[None]:
        """List a mark for the length of the context, and kill what still runs under it at the end."""
        self.add_mark(mark)
        try:
            yield
        finally:
            with interruption.shielded():
                if self.end(mark):
                    self.release(mark)
                else:
                    _log.warning("cannot end the processes of %s", mark)

    @staticmethod
    def end(mark: str) -> bool:
        """Kill what runs under a mark; True when nothing does any more."""
        # A list: the rest is ended where one cannot be.
        ended = [reaper.end_process(pid, reaper.start_ticks(pid)) for pid in reaper.marked_processes([mark])]
        return all(ended)

    @contextmanager
    def folder(self, path: Path) -> Iterator[Path]:
        """Make a private folder for the length of the context, and remove it with all in it."""
        if os.path.lexists(path):
            raise HostError(f"{path} exists already")
        self.add_path(path)
        try:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir(mode=0o700)
            except OSError as error:
                raise HostError(f"cannot make {path}: {error}") from error
            yield path
        finally:
            with interruption.shielded():
                if reaper.remove_path(path):
                    self.release(path)
                else:
                    _log.warning("cannot remove %s", path)

    def close(self) -> None:
        """End and remove what is still listed, and give the lease back. May be called twice."""
        with interruption.shielded():
            with self._mutex:
                if self._closed:
                    return
                self._closed = True
            self._lock.close()
            try:
                if any(self._content[kind] for kind in ("processes", "marks", "paths")):
                    for thing in reaper.sweep(self._file):
                        _log.warning("was still there at the end: %s", thing)
                else:
                    for suffix in (".json", ".lock"):
                        self._file.with_suffix(suffix).unlink(missing_ok=True)
            finally:
                self._reaper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reclaim(paths: Paths) -> list[str]:
    """Remove what dead processes of kab left behind; returns what was removed, a phrase each.

    First what their leases list, then guests that no lease lists, known by what they are. Raises HostError.
    """
    removed: list[str] = []
    try:
        leases = sorted(paths.leases.glob("*.json"), key=lambda lease: lease.name)
    except OSError as error:
        raise HostError(f"cannot read {paths.leases}: {error}") from error
    for lease in leases:
        try:
            removed += reaper.sweep(lease)
        except OSError as error:
            raise HostError(
                f"cannot tidy up by {lease}: {error}", remedy="Mend the permissions of its folder, or free some space."
            ) from error
    return removed + remove_strays(paths)
