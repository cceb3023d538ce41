"""Ends what a dead process of kab left behind: QEMU, nbdkit, scratch folders, as its lease lists them.

Runs as a script of its own (``python -I -S reaper.py LEASE``) in its own session, and outlives its owner by seconds.
Standard library only, and nothing else of kab: it must start fast, stay small and not fail on a half-upgraded install.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A process that was being started when its owner died gets its own command line only at exec: look again until then.
_LAST_STARTS_S = 1.5
_LOOK_EVERY_S = 0.1
_END_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 30.0
# A shorter mark could be anybody's.
LEAST_MARK = 8
# Suffix of what is no lease and was found among them.
ASIDE = ".unreadable"


def boot_id() -> str:
    """Identity of the host's boot: process ids and start times mean nothing across boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22), or None when it is gone.

    A zombie counts as gone: it holds nothing any more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    # The command name may hold blanks and brackets, so count from the last bracket: state is field 3.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by a signal or by a debugger (proc(5): states T and t)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, UnicodeDecodeError, IndexError):
        return False


def marked_processes(marks: list[str]) -> Iterator[int]:
    """Processes with one of the marks in an argument of their command line; never this one."""
    wanted = [os.fsencode(mark) for mark in marks]
    for entry in Path("/proc").iterdir() if wanted else ():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        try:
            cmdline = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if any(mark in cmdline for mark in wanted):
            yield int(entry.name)


def end_process(pid: int, started: int | None) -> bool:
    """Kill a process, when it is still the one that started at `started`; True when it is gone afterwards.

    SIGKILL at once: a stopped or stuck QEMU ignores anything else, and nothing that it holds is worth keeping.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    while started is not None and start_ticks(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                return False
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end_group(leader: int, started: int | None) -> bool:
    """Kill a process group; True when its leader is gone afterwards.

    `started` is the leader's start time. A group may outlive its leader, and its number is not given to anybody else
    before its last process has ended.
    """
    if start_ticks(leader) not in (None, started):
        return True
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(leader, signal.SIGKILL)
        except PermissionError:
            return False
    return end_process(leader, started)


def remove_path(path: Path) -> bool:
    """Remove a file or a whole folder; True when it is gone afterwards."""
    if not path.is_absolute() or len(path.parts) < 3:
        # A lease never names so much; a damaged one must not cost anybody a home folder.
        return True
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return not os.path.lexists(path)
    return True


def read_lease(lease: Path) -> dict[str, Any] | None:
    """The content of a lease file; None when there is none, or none of the shape that `write_lease` gives it."""
    try:
        content = json.loads(lease.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if _is_lease(content) else None


def _is_lease(content: object) -> bool:
    """Whether each entry is one that can be acted on: what is ended and removed here must be meant."""
    if not isinstance(content, dict) or not isinstance(content.get("boot_id"), str):
        return False
    processes, marks, paths = (content.get(kind) for kind in ("processes", "marks", "paths"))
    return (
        isinstance(processes, list)
        and isinstance(marks, list)
        and isinstance(paths, list)
        and all(_is_process(entry) for entry in processes)
        and all(isinstance(mark, str) and len(mark) >= LEAST_MARK for mark in marks)
        and all(isinstance(path, str) and path.startswith("/") and "\0" not in path for path in paths)
    )


def _is_process(entry: object) -> bool:
    # Ids below 2 stand for everybody, for one's own group, and for the host's first process.
    return (
        isinstance(entry, dict)
        and type(entry.get("pid")) is int
        and 1 < entry["pid"] < 1 << 31
        and (entry.get("started") is None or type(entry["started"]) is int)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("group", False), bool)
    )


def write_lease(lease: Path, content: dict[str, Any]) -> None:
    """Replace a lease file, durably: what it lists may be created once this returns."""
    temporary = lease.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(lease)


def _end_processes(content: dict[str, Any], removed: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """End the lease's processes; returns the process entries and the marks of what could not be ended."""
    left: list[dict[str, Any]] = []
    stuck: list[str] = []
    for entry in content["processes"]:
        group = entry.get("group", False)
        if start_ticks(entry["pid"]) != entry["started"]:
            # Its leader is gone, and it may not be.
            if group:
                end_group(entry["pid"], entry["started"])
            continue
        if (end_group if group else end_process)(entry["pid"], entry["started"]):
            removed.append(f"process {entry['pid']} ({entry['name']})")
        else:
            left.append(entry)
    marks = content["marks"]
    deadline = time.monotonic() + (_LAST_STARTS_S if marks else 0.0)
    refused: set[int] = set()
    while marks:
        for pid in set(marked_processes(marks)) - refused:
            if end_process(pid, start_ticks(pid)):
                removed.append(f"process {pid}")
            else:
                refused.add(pid)
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY_S)
    if refused:
        stuck = list(marks)
    return left, stuck


def sweep(lease: Path, lock_timeout_s: float = 0.0) -> list[str]:
    """End and remove what the lease of a dead owner lists; returns what was removed, a phrase each.

    Does nothing while the owner (or another sweeper) holds the lease's lock. What could not be removed stays listed.
    """
    removed: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(lease.with_suffix(".lock").open("a"))
        except OSError:
            return removed
        deadline = time.monotonic() + lock_timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    return removed
                time.sleep(0.05)
        content = read_lease(lease)
        if content is None:
            aside = lease.with_suffix(ASIDE)
            with contextlib.suppress(FileNotFoundError):
                lease.rename(aside)
                removed.append(f"{lease}, which is no lease that can be read (it is put aside as {aside.name})")
            _forget(lease)
            return removed
        processes: list[dict[str, Any]] = []
        marks: list[str] = []
        if content["boot_id"] == boot_id():
            processes, marks = _end_processes(content, removed)
        paths: list[str] = []
        # Newest first: what was made inside another path goes before it.
        for name in reversed(content["paths"]):
            existed = os.path.lexists(name)
            if not remove_path(Path(name)):
                paths.insert(0, name)
            elif existed:
                removed.append(name)
        if processes or marks or paths:
            write_lease(lease, {**content, "processes": processes, "marks": marks, "paths": paths})
        else:
            _forget(lease)
    return removed


def is_held(lease: Path) -> bool:
    """Whether the owner of a lease lives, or somebody sweeps it now."""
    try:
        with lease.with_suffix(".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _forget(lease: Path) -> None:
    for suffix in (".json", ".tmp", ".lock"):
        with contextlib.suppress(OSError):
            lease.with_suffix(suffix).unlink(missing_ok=True)


def main(lease: Path) -> None:
    """Wait for the end of standard input, which only the owner's life keeps open; then sweep."""
    while sys.stdin.buffer.read(1):
        pass
    if lease.exists():
        sweep(lease, lock_timeout_s=_LOCK_TIMEOUT_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
