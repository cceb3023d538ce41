"""Guests and folders of no living kab, known by what they are: what no lease lists, or none that can be read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.host import reaper
from harness.host.paths import Paths

# What kab has run below its scratch folder; anybody else may look at files there with other programs.
_PROGRAMS = re.compile(rb"(?:.*/)?(qemu-system-\w+|nbdkit)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    pid: int
    started: int | None
    program: str
    # The folder in scratch that its command line names.
    folder: Path


def remove_strays(paths: Paths) -> list[str]:
    """End QEMU and nbdkit processes and remove folders below ``paths.scratch`` that no living kab owns.

    Returns what was removed, a phrase each. Does nothing where a living kab's lease cannot be read.
    """
    # In this order: what is there is listed before it is made, and until it is gone.
    processes = list(_processes(paths.scratch))
    folders = sorted(paths.scratch.glob("*"))
    owned = _owned(paths.leases) if processes or folders else None
    if owned is None:
        return []
    ended = [
        f"process {found.pid} ({found.program} of {found.folder.name}, which no living kab owns)"
        for found in processes
        if found.folder not in owned and reaper.end_process(found.pid, found.started)
    ]
    removed = [
        str(folder)
        for folder in folders
        if folder not in owned and os.path.lexists(folder) and reaper.remove_path(folder)
    ]
    return ended + removed


def _processes(scratch: Path) -> Iterator[_Found]:
    within = re.compile(re.escape(os.fsencode(scratch)) + rb"/([^/\0]+)")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command_line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        program = _PROGRAMS.fullmatch(command_line.partition(b"\0")[0])
        folder = within.search(command_line)
        if program and folder:
            yield _Found(
                pid=int(entry.name),
                started=reaper.start_ticks(int(entry.name)),
                program=os.fsdecode(program[1]),
                folder=scratch / os.fsdecode(folder[1]),
            )


def _owned(leases: Path) -> set[Path] | None:
    """Paths of all leases whose owners live; None where one of them cannot be read."""
    owned: set[Path] = set()
    for lease in leases.glob("*.json"):
        if not reaper.is_held(lease):
            continue
        content = reaper.read_lease(lease)
        if content is None:
            # Gone since, or nobody knows what is whose.
            if lease.exists():
                return None
            continue
        owned.update(map(Path, content["paths"]))
    return owned
